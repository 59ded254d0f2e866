"""Z-Image (Z-Image Team, 2025, arXiv:2511.22699), loaded by diffusers from a folder or a hub id.

The guidance is u + gamma * (c - u). diffusers writes it c + guidance_scale * (c - u): gamma is its guidance_scale
plus 1. Its cfg_normalization and cfg_truncation, which it uses only where asked to, are not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from zz.models.attention.reading import TextAttention
from zz.models.pretrained.chat import check_template, opening
from zz.models.pretrained.pipeline import FLOW, LatentPipeline, factor
from zz.models.pretrained.transformer import TransformerModel, TransformerPipeline

PATCH = 2  # latents a side of one token
ROUND = 32  # the network fills picture and text up to multiples of so many tokens
TEXT_TOKENS = 512  # that are read of a prompt in its template, in diffusers


@dataclass(frozen=True)
class _PictureFirst(TextAttention):
    """Joint attention in which the text stands behind the picture and what fills it up."""

    def at(self, latent: tuple[int, int]) -> TextAttention:
        places = latent[0] // PATCH * (latent[1] // PATCH)
        return replace(self, image=slice(places), text=slice(places + -places % ROUND, None))


class ZImagePipeline(TransformerPipeline):
    """An open Z-Image: a rectified flow. A negative prompt of None is encoded as "".

    A condition is a list of encoded texts of any lengths, (tokens, width) each: the network fills them up and masks.
    """

    predicts: ClassVar[tuple[str, ...]] = (FLOW,)
    even: ClassVar[bool] = True
    widths: ClassVar[tuple[str, ...]] = ("cap_feat_dim",)

    def __init__(self, parts: Any, size: tuple[int, int] | None = None, release: bool = False) -> None:
        super().__init__(parts, size or (1024, 1024), release)  # diffusers' default
        self._opening = opening(parts.tokenizer)

    @classmethod
    def check_parts(cls, parts: Any) -> None:
        super().check_parts(parts)
        check_template(parts)

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return factor(vae) * PATCH

    @classmethod
    def check_network(cls, network: Mapping[str, Any], vae: Mapping[str, Any], who: str) -> None:
        super().check_network(network, vae, who)
        patches = network.get("all_patch_size", (PATCH,))
        if PATCH not in patches:
            raise ValueError(f"{who} has a transformer with all_patch_size={list(patches)}; one with {PATCH} is needed")

    @classmethod
    def check_size(cls, size: tuple[int, int], network: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
        super().check_size(size, network, vae)
        most = min(network.get("axes_lens", (1024, 512, 512))[1:]) * cls.multiple(network, vae)
        if max(size) > most:
            raise ValueError(f"size={size[0]}x{size[1]} is too large: this network knows places up to {most} pixels")

    @property
    def attends(self) -> TextAttention:
        """In the joint attention the order is picture, text; before it each attends to itself."""
        return _PictureFirst(
            network="transformer",
            modules=r"layers\.\d+\.attention",
            tokenizers={"tokenizer": slice(self._opening, TEXT_TOKENS)},
            text=slice(None),
            image=slice(None),
        )

    @property
    def reads(self) -> Mapping[str, int]:
        return {"tokenizer": TEXT_TOKENS - self._opening}

    def _text(self, prompts: list[str], negative_prompts: Sequence[str | None]) -> tuple[list[Tensor], list[Tensor]]:
        return self.parts.encode_prompt(
            prompts,
            device=self.device,
            negative_prompt=[text or "" for text in negative_prompts],
            max_sequence_length=TEXT_TOKENS,
        )

    def _output(self, batch: Tensor, time: Tensor, conds: Sequence[list[Tensor]]) -> Tensor:
        """The network is told 1 - t and says x0 - eps; a picture is a clip of one frame."""
        said = self.net(
            list(batch[:, :, None]),
            (1 - time / self.levels.N).expand(len(batch)),
            [text for cond in conds for text in cond],
            return_dict=False,
        )[0]
        return -torch.stack(said)[:, :, 0]


@dataclass(frozen=True)
class ZImage(TransformerModel):
    """Any folder or hub repository for diffusers' ZImagePipeline; fields as in `TransformerModel`."""

    kind: ClassVar[str] = "ZImagePipeline"
    pipeline: ClassVar[type[LatentPipeline]] = ZImagePipeline
    classes: ClassVar[Mapping[str, str]] = {"transformer": "ZImageTransformer2DModel", **TransformerModel.classes}
    parts: ClassVar[tuple[str, ...]] = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
    without: ClassVar[Mapping[str, Any]] = {}

    gamma1: float = 6.0
    size: tuple[int, int] = (1024, 1024)
    batch_size: int = 2
    name: str = "z_image"


__all__ = ["ZImage", "ZImagePipeline"]
