"""Standard sampling: a solver, step by step."""

from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.fields import check_number
from zz.diffusion.samplers.base import Sampler, Walk
from zz.diffusion.trajectory import silent


@dataclass(frozen=True)
class Standard(Sampler):
    """
    gamma1: guidance scale; 0 is unconditional, 1 conditional
    """

    gamma1: float = 5.5
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = False

    def __post_init__(self):
        check_number("gamma1", self.gamma1)

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        x = x_T
        for i in range(schedule.T):
            x = walk.down(x, i, self.gamma1)
        return x

    def nfe(self, T):
        return T

    def resolve(self, T):
        return self
