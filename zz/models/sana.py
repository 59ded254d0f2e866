"""Sana 1.0 and 1.5 (Xie et al., ICLR 2025, arXiv:2410.10629), loaded by diffusers from a folder or a hub id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from zz.diffusion.validate import check_count
from zz.models.attention.reading import TextAttention
from zz.models.pretrained.pipeline import FLOW, LatentPipeline
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

TOKENS = 300  # that Gemma reads of a prompt, in diffusers


class Masked(NamedTuple):
    """A condition: encoded tokens, and which of them are text. A negative prompt of None is encoded as ""."""

    tokens: Tensor  # (B, tokens, width)
    mask: Tensor  # (B, tokens)


class SanaPipeline(TransformerPipeline):
    """An open Sana: a rectified flow. Sizes are those asked for; diffusers would round them to those of its table.

    text_tokens: number of tokens that Gemma reads of a prompt
    instructed:  whether Gemma reads diffusers' instruction to enhance a prompt before it; never before a negative one
    """

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
    unread: ClassVar[Mapping[str, str]] = {"guidance_embeds": "Sana-Sprint"}
    by_size: ClassVar[bool] = False
    widths: ClassVar[tuple[str, ...]] = ("caption_channels",)

    def __init__(
        self,
        parts: Any,
        size: tuple[int, int] | None = None,
        release: bool = False,
        text_tokens: int = TOKENS,
        instructed: bool = True,
    ) -> None:
        super().__init__(parts, size, release)
        self._text_tokens, self._instruction = text_tokens, instruction() if instructed else []

    @classmethod
    def channels(cls, network: Mapping[str, Any]) -> int:
        return network.get("in_channels", 32)

    @classmethod
    def depth(cls, vae: Mapping[str, Any]) -> int:
        return vae.get("latent_channels", 32)

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return 2 ** (len(vae["encoder_block_out_channels"]) - 1) * network.get("patch_size", 1)

    @property
    def attends(self) -> TextAttention:
        """Of the instruction's tokens the network is shown the start and the last one or two."""
        return TextAttention(
            network="transformer",
            modules=r"transformer_blocks\.\d+\.attn2",
            tokenizers={"tokenizer": slice(0, self._text_tokens)},
            text=slice(None),
            image=slice(None),
            before="\n".join(self._instruction),
            cleaned=lambda prompt: self.parts._text_preprocessing(prompt)[0],
        )

    @property
    def reads(self) -> Mapping[str, int]:
        return dict.fromkeys(super().reads, self._text_tokens)

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Masked, Masked]:
        tokenizer = self.parts.tokenizer
        side = tokenizer.padding_side  # which diffusers sets
        try:
            cond, mask, uncond, unmask = self.parts.encode_prompt(
                prompts,
                device=self.device,
                negative_prompt=[text or "" for text in negative_prompts],
                max_sequence_length=self._text_tokens,
                complex_human_instruction=self._instruction,
            )
        finally:
            tokenizer.padding_side = side
        return Masked(cond, mask), Masked(uncond, unmask)

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Masked]) -> Tensor:
        tokens, mask = (torch.cat(parts) for parts in zip(*conds, strict=True))
        output = self.net(
            batch,
            encoder_hidden_states=tokens.to(batch.dtype),
            encoder_attention_mask=mask,
            timestep=time.expand(len(batch)) * self.net.config.timestep_scale,
            return_dict=False,
        )[0]
        return output[:, : batch.shape[1]]  # the other channels, if any, are a learned variance

    def _vae_encode(self, vae: Any, x: Tensor) -> Tensor:
        return vae.encode(x).latent


def instruction() -> list[str]:
    """The lines that diffusers puts before a prompt unless told otherwise (`complex_human_instruction`)."""
    from diffusers import SanaPipeline as Theirs

    return signature(Theirs.__call__).parameters["complex_human_instruction"].default


@dataclass(frozen=True)
class Sana(TransformerModel):
    """Any folder or hub repository for diffusers' SanaPipeline; fields as in `TransformerModel`, and

    text_tokens: number of tokens that Gemma reads of a prompt
    instructed:  whether Gemma reads diffusers' instruction to enhance a prompt before it; never before a negative one
    """

    kind: ClassVar[str] = "SanaPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = SanaPipeline
    classes: ClassVar[Mapping[str, str]] = {"transformer": "SanaTransformer2DModel", "vae": "AutoencoderDC"}
    parts: ClassVar[tuple[str, ...]] = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
    without: ClassVar[Mapping[str, Any]] = {}

    gamma1: float = 4.5
    steps: int = 20
    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 2
    name: str = "sana"
    text_tokens: int = TOKENS
    instructed: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("model.text_tokens", self.text_tokens, 2)
        if not isinstance(self.instructed, bool):
            raise ValueError(f"model.instructed={self.instructed} must be true or false")

    def identity(self) -> Mapping[str, Any]:
        return {**super().identity(), "text_tokens": self.text_tokens, "instructed": self.instructed}

    def _opened(self, loaded: Any) -> SanaPipeline:
        return SanaPipeline(loaded, self.size, self.savings.release, self.text_tokens, self.instructed)


__all__ = ["Masked", "Sana", "SanaPipeline"]
