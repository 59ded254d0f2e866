"""Models whose network is a U-Net, such as Stable Diffusion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zz.models.attention.reading import UNET, TextAttention
from zz.models.base import Can
from zz.models.pretrained.description import Pretrained
from zz.models.pretrained.pipeline import LatentPipeline, factor


class UNetPipeline(LatentPipeline):
    """A `LatentPipeline` with a U-Net."""

    network: ClassVar[str] = "unet"
    noun: ClassVar[str] = "U-Net"
    predicts: ClassVar[tuple[str, ...]] = ("epsilon", "v_prediction")
    widths: ClassVar[tuple[str, ...]] = ("cross_attention_dim",)
    attends: TextAttention = UNET

    @property
    def can(self) -> Can:
        return Can(taps=True)

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return factor(vae) * 2 ** (len(network["block_out_channels"]) - 1)


@dataclass(frozen=True)
class UNetModel(Pretrained):
    """Fields as in `Pretrained`, and

    unet: a folder or hub id (ID or ID@REVISION) whose U-Net replaces the model's own
    """

    classes: ClassVar[Mapping[str, str]] = {"unet": "UNet2DConditionModel", **Pretrained.classes}

    unet: str | None = None


__all__ = ["UNetModel", "UNetPipeline"]
