"""Interfaces: `Model`, a picklable description without weights, and `Pipeline`, the loaded model."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Levels
from zz.diffusion.network import Guided
from zz.diffusion.prediction import Prediction
from zz.diffusion.schedule import Node
from zz.diffusion.schedules.base import Schedule

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
class Can:
    """What a model's networks can do.

    taps:   whether guidance can reach into their attention: whether they take `Tapped`
    scaled: whether they can themselves be told a guidance scale: whether they take `ScaledCond`
    """

    taps: bool = False
    scaled: bool = False

    def __and__(self, other: "Can") -> "Can":
        return Can(self.taps and other.taps, self.scaled and other.scaled)


class Pipeline(ABC):
    """An opened model: a `Denoiser` with what stands before and behind it."""

    device: torch.device
    levels: Levels  # as in Model.levels
    schedule: Schedule
    size: tuple[int, int] | None = None  # (height, width) in pixels, drawn where none is asked for

    @property
    def can(self) -> Can:
        """What its networks can do."""
        return Can()

    @property
    def watchable(self) -> tuple[Any, Any] | None:
        """Loaded parts, and where their network attends to the text (a `TextAttention`); None where it cannot be."""
        return None

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

    @property
    def can(self) -> Can:
        """What its networks can do."""
        return Can()

    @property
    def watchable(self) -> bool:
        """Whether its attention to the text can be watched."""
        return False

    @property
    def has_weights(self) -> bool:
        """Whether it has any to put on a device."""
        return True

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        """Fixed negative prompts of its sub-networks."""
        return ()

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
    def noise_levels(self) -> tuple[Levels, Schedule]:
        """The noise levels that it was trained on, and the nodes that its makers sample on."""

    @abstractmethod
    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        """Raise ValueError on what this model cannot do, before anything is loaded."""

    @abstractmethod
    def open(self, device: str = "cpu", precision: str = "32") -> AbstractContextManager[Pipeline]:
        """Load the weights for as long as the `with` lasts."""
