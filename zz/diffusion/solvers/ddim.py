"""DDIM with eta = 0 (Song et al. 2021, Eq. 12), which is Euler's method in sigma / alpha (Karras et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.solvers.base import Solver


@dataclass(frozen=True)
class DDIM(Solver):
    """First order, deterministic; `up` is DDIM inversion, the paper's Eq. 4."""

    version: ClassVar[int] = 1

    def down(self, prediction, source, target, past, z):
        return prediction.at(target)

    def up(self, prediction, source, target, past, z):
        return prediction.at(target)
