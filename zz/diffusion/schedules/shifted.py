"""Rectified flow's times, shifted towards noise."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from zz.diffusion.levels import Flow, Levels
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class Shifted(Schedule):
    """Rectified flow's uniform times with a shift, t -> shift * t / (1 + (shift - 1) * t) (Esser et al. 2024, Eq. 23).

    shift: above 0; 1 is uniform, SD3 uses 3
    last:  the last noisy time before the shift, in (0, 1]; None: 1 / T
    """

    shift: Annotated[float, Range(1e-6)] = 1.0
    last: Annotated[float, Range(1e-6, 1)] | None = None

    def nodes(self, levels: Levels, T: int) -> Nodes:
        if T < 1:
            raise ValueError(f"steps={T} must be at least 1")
        if not isinstance(levels, Flow):
            raise ValueError("a shifted flow schedule needs a rectified-flow model; choose schedule=model")
        last = 1 / T if self.last is None else self.last
        ts = [1 + (last - 1) * i / max(T - 1, 1) for i in range(T)]
        ts = [self.shift * t / (1 + (self.shift - 1) * t) for t in ts]
        return Nodes((*(Node(1 - t, t, levels.N * t) for t in ts), levels.node(0.0)), levels)


@dataclass(frozen=True)
class ShiftedBySize(Schedule):
    """`Shifted` by more for larger pictures (Esser et al. 2024, Section 5.3.2): mu is linear in the number of tokens.

    mu:     at `tokens` of the same order; beyond them on the same line
    tokens: how many a picture has, fewer and more
    side:   pixels a side that one token covers
    growth: what the shift is: exponential (exp(mu)) or linear (mu)
    last:   as in `Shifted`
    """

    mu: tuple[float, float] = (0.5, 1.15)
    tokens: tuple[int, int] = (256, 4096)
    side: int = 16
    growth: Literal["exponential", "linear"] = "exponential"
    last: Annotated[float, Range(1e-6, 1)] | None = None

    def nodes(self, levels: Levels, T: int) -> Nodes:
        raise ValueError("this model shifts its times by the picture's size; give size, or schedule=shifted")

    def sized(self, size: tuple[int, int]) -> Schedule:
        many = (size[0] // self.side) * (size[1] // self.side)
        slope = (self.mu[1] - self.mu[0]) / (self.tokens[1] - self.tokens[0])
        mu = self.mu[0] + slope * (many - self.tokens[0])
        return Shifted(math.exp(mu) if self.growth == "exponential" else mu, self.last)


@dataclass(frozen=True)
class ShiftedBySteps(Schedule):
    """`Shifted` by more for larger pictures and for fewer steps, as FLUX.2's authors fitted it.

    mu is linear in the steps through its values at 10 and at 200; above 4300 tokens it is that at 200.

    side:   pixels a side that one token covers
    growth: as in `ShiftedBySize`
    last:   as in `Shifted`
    tokens: how many the picture has; None: not known before `sized`
    """

    side: int = 16
    growth: Literal["exponential", "linear"] = "exponential"
    last: Annotated[float, Range(1e-6, 1)] | None = None
    tokens: int | None = None

    def nodes(self, levels: Levels, T: int) -> Nodes:
        if self.tokens is None:
            raise ValueError("this model shifts its times by the picture's size; give size, or schedule=shifted")
        few, many = 8.73809524e-05 * self.tokens + 1.89833333, 0.00016927 * self.tokens + 0.45666666
        mu = many if self.tokens > 4300 else many + (few - many) * (200 - T) / 190
        return Shifted(math.exp(mu) if self.growth == "exponential" else mu, self.last).nodes(levels, T)

    def sized(self, size: tuple[int, int]) -> Schedule:
        return replace(self, tokens=(size[0] // self.side) * (size[1] // self.side))
