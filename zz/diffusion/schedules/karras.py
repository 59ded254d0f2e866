"""The noise levels of Karras et al. 2022 (Eq. 5), on the range that a discrete network was trained on."""

import math
from dataclasses import dataclass
from typing import Annotated

from zz.diffusion.levels import Discrete, Levels
from zz.diffusion.schedule import Nodes
from zz.diffusion.schedules.base import Final, Schedule, final_node
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class Karras(Schedule):
    """(sigma / alpha)^(1 / rho) falls evenly from the network's noisiest level to its least noisy one.

    rho:   how much shorter the steps become towards clean; 1 is even in sigma / alpha
    final: `clean`: T levels and then alpha = 1 (Eq. 5, and diffusers); `first`: the last of T + 1 levels is the
           network's least noisy one
    """

    rho: Annotated[float, Range(1)] = 7.0
    final: Final = "clean"

    def nodes(self, levels: Levels, T: int) -> Nodes:
        if not isinstance(levels, Discrete):
            raise ValueError("schedule=karras needs a network with discrete timesteps; choose schedule=model")
        if T < 1:
            raise ValueError(f"steps={T} must be at least 1")
        noisiest, cleanest = levels.node(levels.N - 1), levels.node(0)
        if math.isinf(noisiest.r):
            raise ValueError(
                "schedule=karras has nowhere to start where the noisiest level has alpha = 0 (zero terminal SNR); "
                "choose schedule=trailing"
            )
        a, b = noisiest.r ** (1 / self.rho), cleanest.r ** (1 / self.rho)
        gaps = T - 1 if self.final == "clean" else T
        between = (levels.level((a + (b - a) * i / gaps) ** self.rho) for i in range(1, gaps))
        return Nodes((*[noisiest, *between, cleanest][:T], final_node(levels, self.final)), levels)
