"""Effective guidance: which scale of classifier-free guidance a sampler's steps amount to (GA-Eval; Xie et al., 2026).

For each step from node i to i + 1, eps* is the noise that DDIM would have moved by, from where the trajectory was to
where it came. With u and c the branches at node i, d = eps_c - eps_u and v = eps* - eps_u,

    projected = <v, d> / |d|^2        unprojected = |v| / |d|

and omega_e is the mean of the first over the steps. The paper's formula has the norm of the projection, and so does the
authors' code, which loses the sign; its README has the second. For zigzag that code leaves eps_u in v. Here u is
taken out and the sign is kept, for every sampler and guidance.

Where the branches agree the quotient is one of rounding errors: a step whose |d| is below 1e-2 of the picture's largest
is left out of both means, and counted.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.probes.step import Step
from zz.diffusion.schedule import Node
from zz.lab.measurements.base import Measurement, Values, Watch
from zz.models.base import Pipeline

LEAST = 1e-2  # of a picture's largest |d|: steps below it are left out


@dataclass(frozen=True)
class EffectiveGuidance(Measurement):
    """omega_e of each picture, and by step. Asks for both branches once more a step.

    step:        (T,) step indices
    projected:   (T,) <v, d> / |d|^2: what of v is along d
    unprojected: (T,) |v| / |d|; what of v is off d is sqrt(unprojected^2 - projected^2)
    kept:        (T,) whether the step counts
    omega_e:     () mean of projected over the steps that count
    omega_v:     () mean of unprojected over them
    left_out:    () how many do not count
    """

    name: ClassVar[str] = "effective_guidance"
    version: ClassVar[int] = 3

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
        steps = sorted(self._ends)
        found = [self._of_step(i) for i in steps]
        projected, unprojected, gap = (
            torch.stack(some, 1).cpu().numpy() for some in zip(*found, strict=True)
        )  # (B, T)
        kept = gap >= LEAST * gap.max(1, keepdims=True)
        return [
            {
                "step": np.array(steps),
                "projected": along,
                "unprojected": whole,
                "kept": counts,
                "omega_e": np.array(along[counts].mean()),
                "omega_v": np.array(whole[counts].mean()),
                "left_out": np.array((~counts).sum()),
            }
            for along, whole, counts in zip(projected, unprojected, kept, strict=True)
        ]

    def _of_step(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """projected, unprojected and |d|  # (B,) each, float64"""
        assert self._denoise is not None
        (x, t), (y, s) = self._starts[i], self._ends[i]
        branches = self._denoise.look(x, t, Leg.ZIG)
        moved = (y.double() * t.alpha - x.double() * s.alpha) / (s.sigma * t.alpha - t.sigma * s.alpha)  # finite
        v, d = ((moved - branches.u.eps).flatten(1), branches.gap.double().flatten(1))
        norm = d.norm(dim=1).clamp(min=1e-12)
        return (v * d).sum(1) / norm**2, v.norm(dim=1) / norm, norm
