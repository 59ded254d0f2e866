"""Euler ancestral (k-diffusion; the generalised DDIM of Song et al. 2021, Eq. 16), the paper's Table 15."""

import math
from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.fields import check_number
from zz.diffusion.solvers.base import Solver
from zz.diffusion.solvers.ddim import DDIM


@dataclass(frozen=True)
class EulerAncestral(Solver):
    """Part of the noise is drawn anew at each step down; `up` is the deterministic inversion.

    eta: how much of it, in [0, 1]; 0 is DDIM, 1 is k-diffusion's and diffusers' default
    """

    eta: float = 1.0
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_number("solver.eta", self.eta, 0, 1)

    def down(self, prediction, source, target, past, z):
        q = target.sigma * source.alpha / (target.alpha * source.sigma)  # r_s / r_t, finite at alpha_t = 0
        fresh = min(1.0, self.eta * math.sqrt(1 - q * q))
        if fresh == 0 or target.sigma == 0:
            return prediction.at(target)
        eps = math.sqrt(1 - fresh * fresh) * prediction.eps + fresh * z()
        return target.alpha * prediction.x0 + target.sigma * eps

    def up(self, prediction, source, target, past, z):
        return prediction.at(target)

    @property
    def simplest(self):
        return DDIM() if self.eta == 0 else self
