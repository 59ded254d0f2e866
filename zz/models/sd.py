"""Stable Diffusion 1.x and 2.x (Rombach et al., 2022), loaded by diffusers from a folder or a hub id.

The model of the shapes world is of this kind too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from zz.models.base import Can
from zz.models.pretrained.pipeline import LatentPipeline
from zz.models.pretrained.unet import UNetModel, UNetPipeline


class StableDiffusionPipeline(UNetPipeline):
    """An open Stable Diffusion. A condition is the encoded text, (B, tokens, width); None is encoded as ""."""

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        negatives = [text or "" for text in negative_prompts]
        return self.parts.encode_prompt(prompts, self.device, 1, True, negative_prompt=negatives)

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[Tensor]) -> Tensor:
        return self.parts.unet(batch, time, encoder_hidden_states=torch.cat(list(conds)), return_dict=False)[0]


@dataclass(frozen=True)
class StableDiffusion(UNetModel):
    """Any folder or hub repository for diffusers' StableDiffusionPipeline; fields as in `UNetModel`."""

    kind: ClassVar[str] = "StableDiffusionPipeline"
    pipeline: ClassVar[type[LatentPipeline]] = StableDiffusionPipeline
    parts: ClassVar[tuple[str, ...]] = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
    without: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "requires_safety_checker": False,
        "feature_extractor": None,
        "image_encoder": None,
    }

    name: str = "sd"

    @property
    def can(self) -> Can:
        return Can(taps=True, tokens=True, inside=True)


__all__ = ["StableDiffusion", "StableDiffusionPipeline"]
