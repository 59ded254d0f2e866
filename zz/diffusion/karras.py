"""The noise levels of Karras et al. 2022 (Eq. 5), on the range that a discrete network was trained on."""

import math
from dataclasses import dataclass

from zz.diffusion.curve import Curve, Discrete
from zz.diffusion.fields import check_choice, check_number
from zz.diffusion.schedule import Schedule
from zz.diffusion.spacing import Final, Spacing, final_node


@dataclass(frozen=True)
class Karras(Spacing):
    """(sigma / alpha)^(1 / rho) falls evenly from the network's noisiest level to its least noisy one.

    rho:   how much shorter the steps become towards clean; 1 is even in sigma / alpha
    final: `clean`: T levels and then alpha = 1 (Eq. 5, and diffusers); `first`: the last of T + 1 levels is the
           network's least noisy one
    """

    rho: float = 7.0
    final: Final = "clean"

    def __post_init__(self) -> None:
        check_number("schedule.rho", self.rho, 1)
        check_choice("schedule.final", self.final, ("clean", "first"))

    def schedule(self, curve: Curve, T: int) -> Schedule:
        if not isinstance(curve, Discrete):
            raise ValueError("schedule=karras needs a network with discrete timesteps; choose schedule=model")
        if T < 1:
            raise ValueError(f"steps={T} must be at least 1")
        noisiest, cleanest = curve.node(curve.N - 1), curve.node(0)
        if math.isinf(noisiest.r):
            raise ValueError(
                "schedule=karras has nowhere to start where the noisiest level has alpha = 0 (zero terminal SNR); "
                "choose schedule=trailing"
            )
        a, b = noisiest.r ** (1 / self.rho), cleanest.r ** (1 / self.rho)
        gaps = T - 1 if self.final == "clean" else T
        between = (curve.level((a + (b - a) * i / gaps) ** self.rho) for i in range(1, gaps))
        return Schedule((*[noisiest, *between, cleanest][:T], final_node(curve, self.final)))
