"""What a model is to the rest of the house. A description is free; weights live inside one `with`."""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zz.diffusion.curve import Curve
from zz.diffusion.guidance import Guidance, Guided
from zz.diffusion.prediction import Prediction
from zz.diffusion.schedule import Node
from zz.diffusion.spacing import Spacing
from zz.diffusion.trajectory import Leg

PRECISIONS = {"32": torch.float32, "16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Card:
    """What a person should know of a model before it is downloaded. It moves no number; None is not known.

    licence:     as its makers name it
    gated:       whether the hub wants its terms accepted, and a token
    download_gb: what is downloaded, in GB
    memory_gb:   GPU memory for one picture of the recommended size in precision 16, in GB
    """

    licence: str | None = None
    gated: bool = False
    download_gb: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Check:
    """One thing that a run needs.

    name:   what it is, in a word
    state:  ok, missing (or too little, or another than is expected), or unknown
    found:  what is there
    remedy: what to do; "" if nothing
    """

    name: str
    state: Literal["ok", "missing", "unknown"]
    found: str
    remedy: str = ""

    @classmethod
    def disk(cls, name: str, path: Path, need_gb: float, remedy: str) -> "Check":
        """Whether `need_gb` GB can be written where `path` lies, or would lie. Makes no folder."""
        above = next(p for p in (path.absolute(), *path.absolute().parents) if os.access(p, os.F_OK))
        if need_gb and not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            return cls(name, "missing", f"{path} cannot be written", remedy)
        free = shutil.disk_usage(above).free / 1e9
        found = f"{free:,.1f} GB free at {path}" + (f", {need_gb:.1f} GB needed" if need_gb else "")
        return cls(name, "ok", found) if free >= need_gb else cls(name, "missing", found, remedy)


class Pipeline(ABC):
    """An opened model: a `Denoiser` with what stands before and behind it."""

    device: torch.device
    curve: Curve  # as in Model.levels
    spacing: Spacing
    size: tuple[int, int] | None = None  # (height, width) in pixels, drawn where none is asked for
    embeds_guidance: bool = False  # whether its network can itself be told a guidance scale
    tappable: bool = False  # as in Model

    @abstractmethod
    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """The latent's shape, (C, h, w) or (C, F, h, w), for (height, width) pixels. Raises ValueError on bad sizes."""

    @abstractmethod
    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[Any, Any]:
        """The conditions and the unconditional conditions, one row a prompt."""

    @abstractmethod
    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]:
        """One prediction a condition, in one batched pass."""

    def bind(self, guidance: Guidance, cond: Any, uncond: Any) -> Guided:
        """What a sampler asks: this network under a guidance, with the conditions that `encode` gave."""
        return guidance.bind(self, cond, uncond)

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Latents (B, C, h, w) to pictures (B, H, W, 3), or (B, C, F, h, w) to clips (B, F, H, W, 3); uint8, CPU."""

    def encode_image(self, pictures: Tensor) -> Tensor:
        """Pictures (B, H, W, 3), uint8, to clean latents (B, C, h, w), float32. Raises ValueError where it cannot."""
        raise ValueError(f"{type(self).__name__} has no way from pictures to latents; it cannot invert real ones")


class Model(ABC):
    """A description of a model: frozen, free to make and to pickle, without weights.

    Its fields gamma1, steps, size and batch_size are what its makers recommend; they are not part of its identity.
    """

    name: str
    gamma1: float
    steps: int
    size: tuple[int, int]  # (height, width) in pixels
    batch_size: int
    frames: int = 1  # more than one: it makes clips,
    fps: int = 8  # which are shown so fast
    tappable: ClassVar[bool] = False  # whether guidance can reach into its attention: whether it takes `Tapped`
    has_weights: ClassVar[bool] = True  # one without is not put on a device
    embeds_guidance: bool = False  # as in Pipeline
    negative_prompts: tuple[str, ...] = ()  # that it tells a network, whatever it is given

    @property
    def others(self) -> frozenset[Leg]:
        """The legs on which another network answers than the one that the steps ask."""
        return frozenset()

    def asked(self, legs: Collection[Leg]) -> "Model":
        """The simplest model that answers alike on these legs."""
        return self

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What moves its numbers: plain values, for the cell's ledger."""

    def source(self) -> Mapping[str, Any]:
        """Where its weights were found, and of which commit: for the record of a run, no part of the identity."""
        return {}

    @abstractmethod
    def levels(self) -> tuple[Curve, Spacing]:
        """The noise levels that it was trained on, and the nodes that its makers sample on."""

    @abstractmethod
    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        """Raise ValueError on what this model cannot do, before anything is loaded."""

    def health(
        self, size: tuple[int, int], precision: str = "32", room: Mapping[str, float] | None = None
    ) -> list[Check]:
        """What it needs before it is opened, and whether it is here. Loads nothing, downloads no weights.

        room: GB of memory that are free on each device it would be opened on
        """
        self.check(size, (), precision)
        return [Check("model", "ok", f"{self.name} needs nothing: it has no weights")]

    @abstractmethod
    def open(self, device: str = "cpu", precision: str = "32") -> AbstractContextManager[Pipeline]:
        """Load the weights for as long as the `with` lasts."""
