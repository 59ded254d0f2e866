"""Align Your Steps (Sabour, Fidler & Kreis 2024): noise levels optimised for ten steps of Stable Diffusion."""

import math
from dataclasses import dataclass
from typing import Literal

from zz.diffusion.curve import Curve, Discrete
from zz.diffusion.fields import check_choice
from zz.diffusion.schedule import Node, Schedule
from zz.diffusion.spacing import Final, Spacing, final_node

# timesteps of 1000, as its authors publish them; an eleventh, 0, follows in both
TABLES = {
    "sd": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24),
    "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13),
}


@dataclass(frozen=True)
class AYS(Spacing):
    """The published timesteps at 10 steps. At other counts log(sigma / alpha) is interpolated over the list's index.

    The authors' list ends at the network's least noisy level, and it is their eleven levels that are interpolated.

    table: sd (1.x, 2.x) or sdxl
    final: the last node: `first` (the network's least noisy level, as the authors) or `clean` (alpha = 1, as diffusers)
    """

    table: Literal["sd", "sdxl"] = "sd"
    final: Final = "first"

    def __post_init__(self) -> None:
        check_choice("schedule.table", self.table, tuple(TABLES))
        check_choice("schedule.final", self.final, ("clean", "first"))

    def schedule(self, curve: Curve, T: int) -> Schedule:
        if not isinstance(curve, Discrete) or curve.N != 1000:
            raise ValueError("schedule=ays lists timesteps of a discrete network with 1000; choose schedule=model")
        if T < 1:
            raise ValueError(f"steps={T} must be at least 1")
        listed = [*(curve.node(time) for time in TABLES[self.table]), curve.node(0)]
        nodes = [_at(listed, curve, (len(listed) - 1) * i / T) for i in range(T)]
        return Schedule((*nodes, final_node(curve, self.final)))


def _at(listed: list[Node], curve: Curve, index: float) -> Node:
    """The node at a fractional index of the list."""
    i = int(index)
    if index == i:
        return listed[i]
    t, s = listed[i], listed[i + 1]
    if math.isinf(t.r):
        raise ValueError(
            "schedule=ays has no levels between alpha = 0 (zero terminal SNR) and its next; choose steps of at most 10"
        )
    return curve.level(math.exp(math.log(t.r) + (index - i) * (math.log(s.r) - math.log(t.r))))
