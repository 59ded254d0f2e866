"""Weak-to-strong reflection (W2SD; Bai et al. 2025, arXiv:2502.00473): zigzag with a network of its own for each leg.

Before each of the first lambda steps the latent goes down by the strong network and back up by the weak one,

    x~_t = x_t + alpha_t h_t * (eps_weak(x_s) - eps_strong(x_t)),

to first order along score_strong - score_weak: towards where the strong one sees more than the weak one does. Which
networks they are is the model's matter (`strong.*`, `weak.*`; zz/models/networks.py); with one network for all and one
guidance for both ways down it is zigzag, to the bit.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from zz.diffusion.fields import check_count, check_number
from zz.diffusion.samplers.base import Sampler, Walk, check_reflections
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.trajectory import Leg, silent


@dataclass(frozen=True)
class Reflection(Sampler):
    """
    gamma1:       guidance of the steps
    gamma_strong: guidance of the strong network; None: gamma1
    gamma2:       guidance of the weak network; 0 is unconditional, and then its prompt does not matter
    lambda_:      how many steps, from the noisiest, are reflected; None: T - 1
    rounds:       reflections a step
    """

    gamma1: float = 5.5
    gamma_strong: float | None = None
    gamma2: float = 0.0
    lambda_: int | None = None
    rounds: int = 1
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    def __post_init__(self):
        check_number("gamma1", self.gamma1)
        check_number("gamma2", self.gamma2)
        if self.gamma_strong is not None:
            check_number("sampler.gamma_strong", self.gamma_strong)
        check_count("rounds", self.rounds)
        if self.lambda_ is not None:
            check_count("lambda", self.lambda_)

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        lambda_ = self._lambda(schedule.T)
        x = x_T
        for i in range(schedule.T):
            if i < lambda_:
                for _ in range(self.rounds):
                    x = walk.down(x, i, self._strong, leg=Leg.STRONG)
                    x = walk.up(x, i, self.gamma2)
            x = walk.down(x, i, self.gamma1)
        return x

    def nfe(self, T):
        return T + 2 * self.rounds * self._lambda(T)

    def resolve(self, T):
        lambda_ = self._lambda(T)
        if lambda_ == 0 or self.rounds == 0:
            return Standard(self.gamma1)
        return replace(self, lambda_=lambda_, gamma_strong=self._strong)

    @property
    def legs(self):
        return frozenset((Leg.ZIG, Leg.STRONG, Leg.ZAG))

    @property
    def by_one(self) -> Sampler:
        """The simplest sampler that is equal where one network goes both ways down."""
        same = self._strong == self.gamma1
        return Zigzag(self.gamma1, self.gamma2, self.lambda_, rounds=self.rounds) if same else self

    @property
    def _strong(self) -> float:
        return self.gamma1 if self.gamma_strong is None else self.gamma_strong

    def _lambda(self, T: int) -> int:
        return check_reflections(self.lambda_, 1, T, T, "sampler=reflection")
