"""Resampling: noise anew instead of inverting (Lugmayr et al. 2022; Bansal et al. 2023, self-recurrence)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from zz.diffusion.fields import check_count, check_number
from zz.diffusion.samplers.base import Sampler, Walk, check_reflections
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.trajectory import silent


@dataclass(frozen=True)
class Resampling(Sampler):
    """
    gamma1:    guidance of every step down
    lambda_:   how many steps, from the noisiest, are resampled; None: T - 1
    resamples: renoised repeats a step: 1 is the literal reading, 2 costs as much as zigzag with one round
    """

    gamma1: float = 5.5
    lambda_: int | None = None
    resamples: int = 1
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = False

    def __post_init__(self):
        check_number("gamma1", self.gamma1)
        check_count("resamples", self.resamples)
        if self.lambda_ is not None:
            check_count("lambda", self.lambda_)

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        lambda_ = self._lambda(schedule.T)
        x = x_T
        for i in range(schedule.T):
            if i < lambda_:
                for _ in range(self.resamples):
                    x = walk.down(x, i, self.gamma1)
                    x = walk.renoise(x, i)
            x = walk.down(x, i, self.gamma1)
        return x

    def nfe(self, T):
        return T + self.resamples * self._lambda(T)

    def resolve(self, T):
        lambda_ = self._lambda(T)
        return Standard(self.gamma1) if lambda_ == 0 or self.resamples == 0 else replace(self, lambda_=lambda_)

    def _lambda(self, T: int) -> int:
        return check_reflections(self.lambda_, 1, T, T, "resampling")
