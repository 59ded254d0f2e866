"""By how much each iteration of a fixed-point inversion still moved the latent."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zz.diffusion.leg import Leg
from zz.diffusion.probes.step import Step
from zz.lab.measurements.base import Measurement, Values, Watch
from zz.models.base import Pipeline


@dataclass(frozen=True)
class FixedPointResiduals(Measurement):
    """The largest change of any value of a picture's latent, by step and iteration.

    moved: (steps, iterations), of several rounds one after the other; `step`: the step indices
    """

    name: ClassVar[str] = "residuals"
    version: ClassVar[int] = 1

    def watch(self, pipeline: Pipeline, size: tuple[int, int]) -> Watch:
        return _Watch(pipeline)

    def check(self, legs: frozenset[str], can_watch: bool) -> None:
        if Leg.STAY not in legs:
            raise ValueError("measurements: residuals are of sampler=fixed_point; leave it out")


class _Watch(Watch):
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline, self._moved = pipeline, dict[int, list[np.ndarray]]()

    @property
    def pipeline(self) -> Pipeline:
        return self._pipeline

    def probe(self, step: Step) -> None:
        if step.leg is Leg.STAY:
            moved = (step.y - step.x).abs().flatten(1).amax(1).double().cpu().numpy()  # (B,)
            self._moved.setdefault(step.i, []).append(moved)

    def values(self) -> list[Values]:
        steps = sorted(self._moved)
        by_step = [np.stack(self._moved[i], 1) for i in steps]  # each (B, iterations)
        return [{"step": np.array(steps), "moved": one} for one in np.stack(by_step, 1)]
