"""Resampling: noise anew instead of inverting (Lugmayr et al. 2022; Bansal et al. 2023, self-recurrence)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.walk import Walk


@dataclass(frozen=True)
class Resampling(Reflecting):
    """Resampling, a baseline of the paper: zigzag with fresh noise in place of the inversion.

    gamma1:    guidance of every step down
    lambda_:   how many steps, from the noisiest, are resampled; None: T - 1
    resamples: renoised repeats a step: 1 is the literal reading, 2 costs as much as zigzag with one round
    """

    name: ClassVar[str] = "resampling"
    version: ClassVar[int] = 1

    gamma1: float = 5.5
    lambda_: int | None = None
    resamples: int = 1

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        for i in range(walk.T):
            for _ in range(self.rounds_at(i, walk.T)):
                x = walk.down(x, i, self.gamma1)
                x = walk.renoise(x, i)
            x = walk.down(x, i, self.gamma1)
        return x

    @property
    def repeats(self) -> int:
        return self.resamples

    @property
    def per_reflection(self) -> int:
        return 1
