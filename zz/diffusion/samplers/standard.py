"""Standard sampling."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.walk import Walk


@dataclass(frozen=True)
class Standard(Sampler):
    """Standard sampling: a solver, step by step.

    gamma1: guidance scale; 0 is unconditional, 1 conditional
    """

    name: ClassVar[str] = "standard"
    version: ClassVar[int] = 1
    is_control: ClassVar[bool] = True

    gamma1: float = 5.5

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        for i in range(walk.T):
            x = walk.down(x, i, self.gamma1)
        return x

    def nfe(self, T: int) -> int:
        return T
