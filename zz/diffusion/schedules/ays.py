"""Align Your Steps (Sabour, Fidler & Kreis 2024): noise levels optimised for ten steps of Stable Diffusion."""

import math
from dataclasses import dataclass
from typing import Literal

from zz.diffusion.levels import Discrete, Levels
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.schedules.base import Final, Schedule, final_node

# timesteps of 1000, as its authors publish them; an eleventh, 0, follows in both
TABLES = {
    "sd": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24),
    "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13),
}


@dataclass(frozen=True)
class AYS(Schedule):
    """The published timesteps at 10 steps. At other counts log(sigma / alpha) is interpolated over the list's index.

    The authors' list ends at the network's least noisy level, and it is their eleven levels that are interpolated.

    table: sd (1.x, 2.x) or sdxl
    final: the last node: `first` (the network's least noisy level, as the authors) or `clean` (alpha = 1, as diffusers)
    """

    table: Literal["sd", "sdxl"] = "sd"
    final: Final = "first"

    def nodes(self, levels: Levels, T: int) -> Nodes:
        if not isinstance(levels, Discrete) or levels.N != 1000:
            raise ValueError("schedule=ays lists timesteps of a discrete network with 1000; choose schedule=model")
        if T < 1:
            raise ValueError(f"steps={T} must be at least 1")
        listed = [*(levels.node(time) for time in TABLES[self.table]), levels.node(0)]
        nodes = [_at(listed, levels, (len(listed) - 1) * i / T) for i in range(T)]
        return Nodes((*nodes, final_node(levels, self.final)), levels)


def _at(listed: list[Node], levels: Levels, index: float) -> Node:
    """The node at a fractional index of the list."""
    i = int(index)
    if index == i:
        return listed[i]
    t, s = listed[i], listed[i + 1]
    if math.isinf(t.r):
        raise ValueError(
            "schedule=ays has no levels between alpha = 0 (zero terminal SNR) and its next; choose steps of at most 10"
        )
    return levels.level(math.exp(math.log(t.r) + (index - i) * (math.log(s.r) - math.log(t.r))))
