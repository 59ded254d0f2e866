"""What a sampler tells whoever watches it: one Step per guided prediction."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.prediction import Gamma, Prediction
from zz.diffusion.schedule import Node


class Step(NamedTuple):
    """One move between node i and node i + 1, and the prediction it was made with."""

    i: int  # step index, 0..T-1, whichever way the move goes
    leg: Leg
    x: Tensor  # (B, C, H, W) the latent before the move
    y: Tensor  # (B, C, H, W) the latent after it
    source: Node
    target: Node
    gamma: Gamma
    prediction: Prediction
    denoise: Guided  # the network, for a probe that wants to ask more; such calls are not part of nfe
    asked: tuple[float, ...] = ()  # the scales that the network was asked at, where not gamma itself


Probe = Callable[[Step], None]


def no_op(step: Step) -> None:
    """No-op probe, the default."""


def both(*probes: Probe) -> Probe:
    """Several probes as one."""

    def probe(step: Step) -> None:
        for p in probes:
            p(step)

    return probe
