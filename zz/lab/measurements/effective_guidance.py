"""Effective guidance: which scale of classifier-free guidance a sampler's steps amount to (GA-Eval, 2026).

For each step from node i to i + 1, eps* is the noise that DDIM would have moved by, from where the trajectory was to
where it came. With d = eps_c - eps_u at node i, omega_e is the mean over steps of |eps_par| / |d|, eps_par the
projection of eps* - eps_u on d. (The authors' README logs |eps* - eps_u| / |d|: kept too, as `unprojected`.)
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.probes.step import Step
from zz.diffusion.schedule import Node
from zz.lab.measurements.base import Measurement, Values, Watch
from zz.models.base import Pipeline


@dataclass(frozen=True)
class EffectiveGuidance(Measurement):
    """omega_e of each picture, and by step. Asks for both branches once more a step.

    step:        (T,) step indices
    projected:   (T,) |eps_par| / |d|
    unprojected: (T,) |eps* - eps_u| / |d|
    omega_e:     () mean of projected
    """

    name: ClassVar[str] = "effective_guidance"
    version: ClassVar[int] = 2

    def watch(self, pipeline: Pipeline, size: tuple[int, int]) -> Watch:
        return _Watch(pipeline)


class _Watch(Watch):
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._starts: dict[int, tuple[Tensor, Node]] = {}  # the trajectory at node i
        self._ends: dict[int, tuple[Tensor, Node]] = {}  # where step i came to in the end
        self._denoise: Guided | None = None

    @property
    def pipeline(self) -> Pipeline:
        return self._pipeline

    def probe(self, step: Step) -> None:
        self._denoise = step.denoise
        if step.i == 0 and step.leg is not Leg.ZAG:
            self._starts.setdefault(0, (step.x, step.source))
        if step.leg is Leg.ZIG:
            self._ends[step.i] = step.y, step.target
            self._starts[step.i + 1] = step.y, step.target

    def values(self) -> list[Values]:
        projected, unprojected, steps = [], [], sorted(self._ends)
        for i in steps:
            assert self._denoise is not None
            (x, t), (y, s) = self._starts[i], self._ends[i]
            eps = (y * t.alpha - x * s.alpha) / (s.sigma * t.alpha - t.sigma * s.alpha)  # finite at alpha_t = 0
            branches = self._denoise.look(x, t, Leg.ZIG)
            moved, d = (eps - branches.u.eps).flatten(1).double(), branches.gap.flatten(1).double()
            norm = d.norm(dim=1).clamp(min=1e-12)
            projected.append(((moved * d).sum(1).abs() / norm**2).cpu().numpy())
            unprojected.append((moved.norm(dim=1) / norm).cpu().numpy())
        by_step = {"projected": np.stack(projected), "unprojected": np.stack(unprojected)}  # (T, B)
        return [
            {
                "step": np.array(steps),
                **{name: table[:, b] for name, table in by_step.items()},
                "omega_e": np.array(by_step["projected"][:, b].mean()),
            }
            for b in range(by_step["projected"].shape[1])
        ]
