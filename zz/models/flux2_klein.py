"""FLUX.2 [klein] (Black Forest Labs, 2026), loaded by diffusers from a folder or a hub id.

The base models are not distilled: the guidance is u + gamma * (c - u). In diffusers gamma is guidance_scale, and u is
of the empty text only. The distilled models are run at gamma = 1, in four steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from zz.diffusion.levels import Levels
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.schedules.shifted import ShiftedBySize, ShiftedBySteps
from zz.models.attention.reading import TextAttention
from zz.models.pretrained.chat import check_template, opening
from zz.models.pretrained.pipeline import FLOW, LatentPipeline, factor
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

PATCH = 2  # of the autoencoder's latents, a side of one of the network's
TEXT_TOKENS = 512  # of a prompt in its template, as in diffusers; what is not text is read, too


class Flux2KleinPipeline(TransformerPipeline):
    """An open FLUX.2 [klein]: a rectified flow. A negative prompt of None is encoded as "".

    Latents are the network's own, (B, 128, h, w), one a token: the autoencoder's, 2 x 2 in one and normalised. A
    condition is an encoded text, (B, 512, width).
    """

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
    even: ClassVar[bool] = True
    unread: ClassVar[Mapping[str, str]] = {"guidance_embeds": "FLUX.2 [dev]"}
    widths: ClassVar[tuple[str, ...]] = ("joint_attention_dim",)

    def __init__(self, parts: Any, size: tuple[int, int] | None = None, release: bool = False) -> None:
        side = parts.default_sample_size * parts.vae_scale_factor
        super().__init__(parts, size or (side, side), release)
        self._opening = opening(parts.tokenizer)

    @classmethod
    def check_parts(cls, parts: Any) -> None:
        super().check_parts(parts)
        check_template(parts)

    @classmethod
    def channels(cls, network: Mapping[str, Any]) -> int:
        return network.get("in_channels", 128) // PATCH**2

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return factor(vae) * PATCH

    @classmethod
    def noise_levels(
        cls, scheduler: Mapping[str, Any], network: Mapping[str, Any], vae: Mapping[str, Any]
    ) -> tuple[Levels, Schedule]:
        levels, spacing = super().noise_levels(scheduler, network, vae)
        if isinstance(spacing, ShiftedBySize):  # diffusers reads no more of its configuration
            spacing = ShiftedBySteps(side=spacing.side, growth=spacing.growth)
        return levels, spacing

    @property
    def attends(self) -> TextAttention:
        """In the joint attention the order is text, picture."""
        return TextAttention(
            network="transformer",
            modules=r"(single_)?transformer_blocks\.\d+\.attn",
            tokenizers={"tokenizer": slice(self._opening, TEXT_TOKENS)},
            text=slice(TEXT_TOKENS),
            image=slice(TEXT_TOKENS, None),
        )

    @property
    def reads(self) -> Mapping[str, int]:
        return {"tokenizer": TEXT_TOKENS - self._opening}

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        C, h, w = super().shape(size)
        return C * PATCH**2, h // PATCH, w // PATCH

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        texts = [*prompts, *(text or "" for text in negative_prompts)]
        tokens, _ = self.parts.encode_prompt(texts, device=self.device, max_sequence_length=TEXT_TOKENS)
        return tokens[: len(prompts)], tokens[len(prompts) :]

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Tensor]) -> Tensor:
        tokens = torch.cat(list(conds))
        places = self.parts._prepare_latent_ids(batch).to(batch.device)
        output = self.net(
            hidden_states=self.parts._pack_latents(batch),
            timestep=(time / self.levels.N).expand(len(batch)),
            guidance=None,
            encoder_hidden_states=tokens,
            txt_ids=self.parts._prepare_text_ids(tokens).to(batch.device),
            img_ids=places,
            return_dict=False,
        )[0]
        return self.parts._unpack_latents_with_ids(output, places, *batch.shape[-2:])

    def _unscaled(self, x: Tensor) -> Tensor:
        mean, std = self._statistics(x)
        return self.parts._unpatchify_latents(x * std + mean)

    def _scaled(self, x: Tensor) -> Tensor:
        mean, std = self._statistics(x)
        return (self.parts._patchify_latents(x) - mean) / std

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the autoencoder's latents, 2 x 2 in one, (128, 1, 1)."""
        vae = self.parts.vae
        std = (vae.bn.running_var + vae.config.batch_norm_eps).sqrt()
        return vae.bn.running_mean.to(x)[:, None, None], std.to(x)[:, None, None]


@dataclass(frozen=True)
class Flux2Klein(TransformerModel):
    """Any folder or hub repository for diffusers' Flux2KleinPipeline; fields as in `TransformerModel`."""

    kind: ClassVar[str] = "Flux2KleinPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = Flux2KleinPipeline
    classes: ClassVar[Mapping[str, str]] = {"transformer": "Flux2Transformer2DModel", "vae": "AutoencoderKLFlux2"}
    parts: ClassVar[tuple[str, ...]] = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
    without: ClassVar[Mapping[str, Any]] = {}

    gamma1: float = 4.0
    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 2
    name: str = "flux2_klein"


__all__ = ["Flux2Klein", "Flux2KleinPipeline"]
