"""Qwen-Image (Wu et al., 2025, arXiv:2508.02324), loaded by diffusers from a folder or a hub id.

The guidance is u + gamma * (c - u), in which diffusers calls gamma true_cfg_scale. diffusers then scales each packed
token of the guided velocity to the norm of the conditional one; zz does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from zz.diffusion.validate import check_count
from zz.models.attention.reading import TextAttention
from zz.models.pretrained.pipeline import FLOW, LatentPipeline
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

PACK = 2  # latents a side of one token
TEXT_TOKENS, MOST_TOKENS = 512, 1024  # of a text, in diffusers, unless asked for others; and at most
NOT_GIVEN = ("guidance_embeds", "use_additional_t_cond", "use_layer3d_rope")  # inputs of other networks of this class


class MaskedText(NamedTuple):
    """A condition: the encoded text, padded by zeros to a fixed length, and which of its tokens are there."""

    tokens: Tensor  # (B, tokens, width)
    mask: Tensor  # (B, tokens), bool


class QwenImagePipeline(TransformerPipeline):
    """An open Qwen-Image: a rectified flow. A negative prompt of None is encoded as "".

    Latents are (B, 16, h, w); they are packed into tokens for the network.

    text_tokens: number of tokens that are read of a prompt, after those of diffusers' template
    """

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
    unread: ClassVar[Mapping[str, str]] = dict.fromkeys(NOT_GIVEN, "another model")
    even: ClassVar[bool] = True
    widths: ClassVar[tuple[str, ...]] = ("joint_attention_dim",)

    def __init__(
        self,
        parts: Any,
        size: tuple[int, int] | None = None,
        release: bool = False,
        text_tokens: int = TEXT_TOKENS,
    ) -> None:
        side = parts.default_sample_size * parts.vae_scale_factor
        super().__init__(parts, size or (side, side), release)
        self._text_tokens = text_tokens

    @classmethod
    def channels(cls, network: Mapping[str, Any]) -> int:
        return network.get("in_channels", 64) // PACK**2

    @classmethod
    def depth(cls, vae: Mapping[str, Any]) -> int:
        return vae.get("z_dim", 16)

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return PACK * 2 ** len(vae["temperal_downsample"])  # it halves as often as it lists times

    @property
    def attends(self) -> TextAttention:
        """In the joint attention the order is text, picture."""
        return TextAttention(
            network="transformer",
            modules=r"transformer_blocks\.\d+\.attn",
            tokenizers={"tokenizer": slice(0, self._text_tokens)},
            text=slice(self._text_tokens),
            image=slice(self._text_tokens, None),
        )

    @property
    def reads(self) -> Mapping[str, int]:
        return {"tokenizer": self._text_tokens}

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[MaskedText, MaskedText]:
        negatives = [text or "" for text in negative_prompts]
        each = {text: self._alone(text) for text in dict.fromkeys((*prompts, *negatives))}
        prompted, negated = ([each[text] for text in texts] for texts in (prompts, negatives))
        return _batch(prompted), _batch(negated)

    def _alone(self, text: str) -> MaskedText:
        """One text, encoded without others: in a batch diffusers pads it to the longest, which moves its numbers."""
        tokens, _ = self.parts.encode_prompt([text], device=self.device, max_sequence_length=self._text_tokens)
        mask = torch.arange(self._text_tokens, device=tokens.device)[None] < tokens.shape[1]
        return MaskedText(pad(tokens, (0, 0, 0, self._text_tokens - tokens.shape[1])), mask)

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[MaskedText]) -> Tensor:
        text = _batch(conds)
        h, w = (side // PACK for side in batch.shape[-2:])
        output = self.net(
            hidden_states=pixel_unshuffle(batch, PACK).flatten(2).mT,
            timestep=(time / self.levels.N).expand(len(batch)),
            encoder_hidden_states=text.tokens,
            encoder_hidden_states_mask=text.mask,
            img_shapes=[[(1, h, w)]] * len(batch),
            return_dict=False,
        )[0]
        return pixel_shuffle(output.mT.unflatten(2, (h, w)), PACK)

    def _vae_decode(self, vae: Any, latents: Tensor) -> Tensor:
        return super()._vae_decode(vae, latents[:, :, None])[:, :, 0]  # its autoencoder is of videos

    def _vae_encode(self, vae: Any, pictures: Tensor) -> Tensor:
        return super()._vae_encode(vae, pictures[:, :, None])[:, :, 0]

    def _unscaled(self, x: Tensor) -> Tensor:
        mean, std = self._statistics(x)
        return x * std + mean

    def _scaled(self, x: Tensor) -> Tensor:
        mean, std = self._statistics(x)
        return (x - mean) / std

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the autoencoder's latents, (C, 1, 1)."""
        vae = self.parts.vae.config
        return x.new_tensor(vae.latents_mean)[:, None, None], x.new_tensor(vae.latents_std)[:, None, None]


@dataclass(frozen=True)
class QwenImage(TransformerModel):
    """Any folder or hub repository for diffusers' QwenImagePipeline; fields as in `TransformerModel`, and

    text_tokens: number of tokens that are read of a prompt: diffusers' max_sequence_length
    """

    kind: ClassVar[str] = "QwenImagePipeline"
    pipeline: ClassVar[type[LatentPipeline]] = QwenImagePipeline
    classes: ClassVar[Mapping[str, str]] = {
        "transformer": "QwenImageTransformer2DModel",
        "vae": "AutoencoderKLQwenImage",
    }
    parts: ClassVar[tuple[str, ...]] = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
    without: ClassVar[Mapping[str, Any]] = {}

    gamma1: float = 4.0
    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 1
    name: str = "qwen_image"
    text_tokens: int = TEXT_TOKENS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("model.text_tokens", self.text_tokens, 1)
        if self.text_tokens > MOST_TOKENS:
            raise ValueError(f"model.text_tokens={self.text_tokens} is too many: diffusers takes at most {MOST_TOKENS}")

    def identity(self) -> Mapping[str, Any]:
        return {**super().identity(), "text_tokens": self.text_tokens}

    def _opened(self, loaded: Any) -> QwenImagePipeline:
        return QwenImagePipeline(loaded, self.size, self.savings.release, self.text_tokens)


def _batch(texts: Sequence[MaskedText]) -> MaskedText:
    """Conditions one below the other."""
    return MaskedText(*(torch.cat(parts) for parts in zip(*texts, strict=True)))


__all__ = ["MaskedText", "QwenImage", "QwenImagePipeline"]
