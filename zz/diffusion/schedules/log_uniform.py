"""Nodes uniform in log(sigma / alpha)."""

import math
from dataclasses import dataclass

from zz.diffusion.levels import Levels
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.validate import check_number


@dataclass(frozen=True)
class LogUniform(Schedule):
    """Nodes uniform in log(sigma / alpha) between fixed endpoints for any T, with fractional times.

    The grid for questions of convergence: leading spacing moves its first node with T.
    """

    r_max: float = 14.0
    r_min: float = 0.03

    def __post_init__(self) -> None:
        check_number("schedule.r_min", self.r_min, 1e-9)
        check_number("schedule.r_max", self.r_max, self.r_min)

    def nodes(self, levels: Levels, T: int) -> Nodes:
        def node(i: int) -> Node:
            return levels.level(math.exp(math.log(self.r_max) + (math.log(self.r_min) - math.log(self.r_max)) * i / T))

        return Nodes(tuple(node(i) for i in range(T + 1)), levels)
