"""Theorems 1-3 of Bai et al. 2025 along the trajectories of a cell."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zz.diffusion.leg import Leg
from zz.diffusion.probes.reflections import Reflections
from zz.diffusion.probes.step import Step
from zz.lab.measurements.base import Measurement, Values, Watch
from zz.models.base import Pipeline

BY_LEG = ("tau1", "tau2", "gain", "semantic")


@dataclass(frozen=True)
class TheoremTerms(Measurement):
    """tau1, tau2 and their gain for each leg up, and the sums of Theorems 1 to 3. Asks for one prediction more a leg.

    step:  (legs,) the step index of each leg up
    tau1, tau2, gain, semantic: (legs,) as `zz.Reflections` has them
    delta, sum_of_squares, square_of_sum: ()
    """

    name: ClassVar[str] = "reflections"
    version: ClassVar[int] = 2

    def watch(self, pipeline: Pipeline, size: tuple[int, int]) -> Watch:
        return _Watch(pipeline)

    def check(self, legs: frozenset[str], can_watch: bool) -> None:
        if Leg.ZAG not in legs:
            raise ValueError("measurements: reflections are of samplers that invert, such as zigzag; leave it out")


class _Watch(Watch):
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline, self._terms, self._batch = pipeline, Reflections(), 0

    @property
    def pipeline(self) -> Pipeline:
        return self._pipeline

    def probe(self, step: Step) -> None:
        self._batch = len(step.x)
        self._terms(step)

    def values(self) -> list[Values]:
        legs, terms = self._terms.legs, self._terms
        found = []
        for b in range(self._batch):
            by_leg = {name: np.array([float(getattr(leg, name)[b]) for leg in legs]) for name in BY_LEG}
            sums = {
                name: np.array(float(total[b]) if total.ndim else 0.0)
                for name in ("delta", "sum_of_squares", "square_of_sum")
                if (total := getattr(terms, name)) is not None
            }
            found.append({"step": np.array([leg.i for leg in legs]), **by_leg, **sums})
        return found
