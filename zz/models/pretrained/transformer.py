"""Models whose network is a transformer on patches of latents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zz.models.base import Can
from zz.models.pretrained.description import Pretrained
from zz.models.pretrained.pipeline import LatentPipeline, factor


class TransformerPipeline(LatentPipeline):
    """A `LatentPipeline` with a transformer."""

    network: ClassVar[str] = "transformer"
    noun: ClassVar[str] = "transformer"

    @property
    def can(self) -> Can:
        return Can(inside=True, blocks=True)

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return factor(vae) * network["patch_size"]


@dataclass(frozen=True)
class TransformerModel(Pretrained):
    """Fields as in `Pretrained`, and

    transformer: a folder or hub id (ID or ID@REVISION) whose transformer replaces the model's own
    """

    transformer: str | None = None

    @property
    def can(self) -> Can:
        return Can(inside=True, blocks=True)


__all__ = ["TransformerModel", "TransformerPipeline"]
