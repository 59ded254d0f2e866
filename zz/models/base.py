"""Interfaces: `Model`, a picklable description without weights, and `Pipeline`, the loaded model."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Levels
from zz.diffusion.network import Guided
from zz.diffusion.prediction import Prediction
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.schedules.base import Schedule

SHOWN = 60  # characters of a prompt in a message
PRECISIONS = {"32": torch.float32, "16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Card:
    """Facts to know before a model is downloaded; None: unknown. They affect no result.

    licence:     its name, as published with the model
    gated:       whether the hub requires its terms to be accepted, and a token
    download_gb: what is downloaded, in GB
    memory_gb:   GPU memory for one picture of the recommended size in precision 16, in GB
    """

    licence: str | None = None
    gated: bool = False
    download_gb: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Can:
    """What a model's networks support.

    taps:   conditions that are `Tapped`, through which guidance reads and replaces their attention
    scaled: conditions that are `ScaledCond`: the guidance scale is an input of the network
    tokens: conditions that are encoded tokens, alone or with a pooled vector
    inside: conditions that are `Altered`: it may be changed while it answers
    blocks: such conditions that leave out transformer blocks: its network is a stack of them
    weak:   conditions that are `OfWeak`: there is a weak network
    """

    taps: bool = False
    scaled: bool = False
    tokens: bool = False
    inside: bool = False
    blocks: bool = False
    weak: bool = False

    def __and__(self, other: "Can") -> "Can":
        return Can(*(mine and theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class Pipeline(ABC):
    """A loaded model: a `Denoiser`, the encoding of prompts before it and the decoding of latents after it."""

    device: torch.device
    levels: Levels  # with the schedule: as from Model.noise_levels
    schedule: Schedule
    size: tuple[int, int] | None = None  # (height, width) in pixels; the default

    @property
    def can(self) -> Can:
        """What its networks support."""
        return Can()

    @property
    def watchable(self) -> tuple[Any, Any] | None:
        """The loaded parts, and the `TextAttention` of their network; None: its attention cannot be recorded."""
        return None

    @abstractmethod
    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """The latent's shape, (C, h, w) or (C, F, h, w), for (height, width) pixels. Raises ValueError on bad sizes."""

    @abstractmethod
    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[Any, Any]:
        """The conditions and the unconditional conditions, each with one row per prompt."""

    def start(self, noise: Tensor, cond: Any) -> Tensor:
        """The latents that sampling starts from, of this noise and these conditions."""
        return noise

    def cut(self, prompts: Sequence[str]) -> dict[str, int]:
        """Of these prompts those that a text encoder does not read to the end, and how many tokens it reads."""
        return {}

    @abstractmethod
    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]:
        """One prediction per condition, computed as one batch."""

    def bind(self, guidance: Guidance, cond: Any, uncond: Any) -> Guided:
        """The function that samplers evaluate: this network under a guidance, with conditions from `encode`."""
        return guidance.bind(self, cond, uncond)

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Latents (B, C, h, w) to pictures (B, H, W, 3), or (B, C, F, h, w) to clips (B, F, H, W, 3); uint8, CPU."""

    def encode_image(self, pictures: Tensor) -> Tensor:
        """Pictures (B, H, W, 3), uint8, to clean latents (B, C, h, w), float32. Raises ValueError where it cannot."""
        raise ValueError(f"{type(self).__name__} has no way from pictures to latents; it cannot invert real ones")


class Model(ABC):
    """A description of a model: frozen and picklable. It holds no weights, so that making one costs nothing.

    Its fields gamma1, steps, size and batch_size are recommended values; they are not part of its identity.
    """

    name: str
    gamma1: float
    steps: int
    size: tuple[int, int]  # (height, width) in pixels
    batch_size: int
    frames: int = 1  # of a clip; 1: single pictures
    fps: int = 8  # frames a second at which clips are shown

    @property
    def can(self) -> Can:
        """What its networks support."""
        return Can()

    @property
    def watchable(self) -> bool:
        """Whether its attention to the text can be recorded."""
        return False

    @property
    def has_weights(self) -> bool:
        """Whether it has weights, which must be loaded on a device."""
        return True

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        """The negative prompts that the description itself fixes."""
        return ()

    @property
    def others(self) -> frozenset[Leg]:
        """The legs that are evaluated with another network than the steps are."""
        return frozenset()

    def asked(self, legs: Collection[Leg]) -> "Model":
        """The simplest model with the same predictions on these legs."""
        return self

    def as_leg(self) -> "Model":
        """The model with the same predictions that leaves the starting noise as it is."""
        return self

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """All that its numbers depend on, as plain values, for the cell's ledger."""

    def source(self) -> Mapping[str, Any]:
        """The location and commit of its weights, for the record of a run; not part of the identity."""
        return {}

    @abstractmethod
    def noise_levels(self) -> tuple[Levels, Schedule]:
        """The noise levels that it was trained on, and the schedule that it was published with."""

    def check_nodes(self, nodes: Nodes) -> None:
        """Raise ValueError on nodes at which its network says nothing."""
        return

    @abstractmethod
    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        """Raise ValueError on a request that this model cannot fulfil, before anything is loaded."""

    @abstractmethod
    def open(self, device: str = "cpu", precision: str = "32") -> AbstractContextManager[Pipeline]:
        """Load the weights for as long as the `with` lasts."""


def cut_line(cut: Mapping[str, int]) -> str:
    """What a person is told of prompts that were cut, from `Pipeline.cut`."""
    what = "1 prompt is" if len(cut) == 1 else f"{len(cut):,} prompts are"
    first, tokens = next(iter(cut)), ", ".join(map(str, sorted(set(cut.values()))))
    shown = first if len(first) <= SHOWN else f"{first[:SHOWN]}..."
    return f"{what} longer than the text encoder reads ({tokens} tokens) and cut there; the first: {shown!r}"
