"""Stable Diffusion 3 and 3.5 (Esser et al., 2024, arXiv:2403.03206), loaded by diffusers from a folder or a hub id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from zz.diffusion.validate import check_count
from zz.models.attention.reading import TextAttention
from zz.models.base import Can
from zz.models.pretrained.pipeline import FLOW, LatentPipeline, Text
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

T5_TOKENS, MOST_TOKENS = 256, 512  # that T5 reads of a text, in diffusers, unless asked for others; and at most
T5 = ("text_encoder_3", "tokenizer_3")


class StableDiffusion3Pipeline(TransformerPipeline):
    """An open Stable Diffusion 3: a rectified flow. A negative prompt of None is encoded as ""."""

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
    widths: ClassVar[tuple[str, ...]] = ("joint_attention_dim", "pooled_projection_dim")
    spare: ClassVar[tuple[str, ...]] = T5

    t5_tokens: int = T5_TOKENS

    @property
    def can(self) -> Can:
        return Can(tokens=True, inside=True, blocks=True)

    @classmethod
    def check_parts(cls, parts: Any) -> None:
        super().check_parts(parts)
        if parts.text_encoder_3 is not None and parts.tokenizer_3 is None:
            raise ValueError(
                f"the {type(parts).__name__} has no tokenizer_3, which its text_encoder_3 needs: set pipe.tokenizer_3, "
                "or pipe.text_encoder_3=None does without both"
            )

    @classmethod
    def check_size(cls, size: tuple[int, int], network: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
        super().check_size(size, network, vae)
        most = network["pos_embed_max_size"] * cls.multiple(network, vae)
        if max(size) > most:
            raise ValueError(f"size={size[0]}x{size[1]} is too large: this network knows places up to {most} pixels")

    @property
    def attends(self) -> TextAttention:
        """In the joint attention the order is picture, CLIP's tokens, T5's tokens."""
        clip = self.parts.tokenizer_max_length
        every = clip + self.t5_tokens
        own = {} if self.parts.tokenizer_3 is None else {"tokenizer_3": slice(clip, every)}
        return TextAttention(
            network="transformer",
            modules=r"transformer_blocks\.\d+\.attn",
            tokenizers={"tokenizer": slice(0, clip), **own},
            text=slice(-every, None),
            image=slice(None, -every),
        )

    @property
    def reads(self) -> Mapping[str, int]:
        found = super().reads
        return {**found, "tokenizer_3": self.t5_tokens} if "tokenizer_3" in found else found

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Text, Text]:
        cond, uncond, pooled, unpooled = self.parts.encode_prompt(
            prompts,
            None,
            None,
            device=self.device,
            num_images_per_prompt=1,
            negative_prompt=[text or "" for text in negative_prompts],
            max_sequence_length=self.t5_tokens,
        )
        return Text(cond, pooled), Text(uncond, unpooled)

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Text]) -> Tensor:
        tokens, pooled = (torch.cat(parts) for parts in zip(*conds, strict=True))
        return self.net(
            hidden_states=batch,
            timestep=time.expand(len(batch)),
            encoder_hidden_states=tokens,
            pooled_projections=pooled,
            return_dict=False,
        )[0]


@dataclass(frozen=True)
class StableDiffusion3(TransformerModel):
    """Any folder or hub repository for diffusers' StableDiffusion3Pipeline; fields as in `TransformerModel`, and

    t5: whether to load the third text encoder, which is larger than SD3's network; without it its tokens are zeros
    t5_tokens: how many tokens it reads of a text, or zeros stand in its place: diffusers' max_sequence_length
    """

    kind: ClassVar[str] = "StableDiffusion3Pipeline"
    pipeline: ClassVar[type[LatentPipeline]] = StableDiffusion3Pipeline
    classes: ClassVar[Mapping[str, str]] = {"transformer": "SD3Transformer2DModel", **TransformerModel.classes}
    parts: ClassVar[tuple[str, ...]] = (
        *("scheduler", "text_encoder", "text_encoder_2", "text_encoder_3"),
        *("tokenizer", "tokenizer_2", "tokenizer_3", "transformer", "vae"),
    )
    without: ClassVar[Mapping[str, Any]] = {"image_encoder": None, "feature_extractor": None}

    gamma1: float = 7.0
    steps: int = 28
    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 2
    name: str = "sd3"
    t5: bool = True
    t5_tokens: int = T5_TOKENS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.t5, bool):
            raise ValueError(f"model.t5={self.t5} must be true or false")
        check_count("model.t5_tokens", self.t5_tokens)
        if self.t5_tokens > MOST_TOKENS:
            raise ValueError(f"model.t5_tokens={self.t5_tokens} is too many: diffusers takes at most {MOST_TOKENS}")

    @property
    def can(self) -> Can:
        return Can(tokens=True, inside=True, blocks=True)

    @property
    def kept(self) -> tuple[str, ...]:
        return self.parts if self.t5 else tuple(part for part in self.parts if part not in T5)

    @property
    def left_out(self) -> Mapping[str, Any]:
        return {**self.without} if self.t5 else {**self.without, **dict.fromkeys(T5)}

    def identity(self) -> Mapping[str, Any]:
        tokens = {} if self.t5_tokens == T5_TOKENS else {"t5_tokens": self.t5_tokens}
        return {**super().identity(), "t5": self.t5, **tokens}

    def _opened(self, loaded: Any) -> LatentPipeline:
        pipeline = StableDiffusion3Pipeline(loaded, self.size, self.savings.release)
        pipeline.t5_tokens = self.t5_tokens
        return pipeline

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        super().check(size, prompts, precision)
        home = self.home()
        if self.t5 and not (home.read("model_index.json").get(T5[0]) or [None])[0]:
            raise ValueError(f"model.pretrained={home.name} has no {T5[0]}; model.t5=false does without")


__all__ = ["StableDiffusion3", "StableDiffusion3Pipeline"]
