"""A probe that counts."""

from collections.abc import Callable

from zz.diffusion.leg import Leg
from zz.diffusion.prediction import Gamma
from zz.diffusion.probes.step import Step
from zz.diffusion.schedule import Node

Evals = Callable[[Gamma, Node, Leg], int]  # network evaluations an image that one prediction takes


class Meter:
    """Counts guided predictions, and network evaluations where `evals(gamma, node, leg)` says what each takes."""

    def __init__(self, evals: Evals = lambda gamma, node, leg: 0) -> None:
        self.predictions, self.evals, self._evals = 0, 0, evals

    def __call__(self, step: Step) -> None:
        self.predictions += 1
        self.evals += sum(self._evals(gamma, step.source, step.leg) for gamma in step.asked or (step.gamma,))
