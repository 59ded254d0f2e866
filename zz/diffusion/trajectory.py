"""What a sampler tells whoever watches it: one Step per guided prediction."""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from zz.diffusion.prediction import Prediction
from zz.diffusion.schedule import Node

if TYPE_CHECKING:
    from zz.diffusion.guidance.base import Guided


class Leg(StrEnum):
    """Which way a move goes."""

    ZIG = "zig"  # down, towards clean: denoise
    ZAG = "zag"  # up, towards noise: invert
    STRONG = "strong"  # down, but only to come back: the zig of a weak-to-strong reflection
    RENOISE = "renoise"  # up, by adding fresh noise; asks for no prediction
    STAY = "stay"  # neither: the latent changes at its noise level


class Step(NamedTuple):
    """One move between node i and node i + 1, and the prediction it was made with."""

    i: int  # step index, 0..T-1, whichever way the move goes
    leg: Leg
    x: Tensor  # (B, C, H, W) the latent before the move
    y: Tensor  # (B, C, H, W) the latent after it
    source: Node
    target: Node
    gamma: float
    prediction: Prediction
    denoise: "Guided"  # the network, for a probe that wants to ask more; such calls are not part of nfe
    asked: tuple[float, ...] = ()  # the scales that the network was asked at, where not gamma itself


Probe = Callable[[Step], None]


def silent(step: Step) -> None:
    """The probe that looks away."""


class Meter:
    """A probe that counts: guided predictions, and network rows where `rows(gamma, node, leg)` says what each costs."""

    def __init__(self, rows: Callable[[float, Node, Leg], int] = lambda gamma, node, leg: 0) -> None:
        self.predictions, self.rows, self._cost = 0, 0, rows

    def __call__(self, step: Step) -> None:
        self.predictions += 1
        self.rows += sum(self._cost(gamma, step.source, step.leg) for gamma in step.asked or (step.gamma,))


def both(*probes: Probe) -> Probe:
    """Several probes as one."""

    def probe(step: Step) -> None:
        for p in probes:
            p(step)

    return probe
