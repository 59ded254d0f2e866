"""Weak-to-strong reflection (W2SD; Bai et al. 2025, arXiv:2502.00473): zigzag with a network of its own for each leg.

Before each of the first lambda steps the latent goes down by the strong network and back up by the weak one,

    x~_t = x_t + alpha_t h_t * (eps_weak(x_s) - eps_strong(x_t)),

to first order along score_strong - score_weak: towards where the strong one sees more than the weak one does. Which
networks they are is the model's matter (`strong.*`, `weak.*`; zz/models/networks.py); with one network for all and one
guidance for both ways down it is zigzag, to the bit.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.walk import Inversion, Walk
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.validate import READING


@dataclass(frozen=True)
class Reflection(Reflecting):
    """Weak-to-strong reflection (W2SD): down by the strong network, back up by the weak one.

    gamma1:       guidance of the steps
    gamma_strong: guidance of the strong network; None: gamma1
    gamma2:       guidance of the weak network; 0 is unconditional, and then its prompt does not matter
    lambda_:      how many steps, from the noisiest, are reflected; None: T - 1
    rounds:       reflections a step
    inversion:    as in `Zigzag`; the authors' code has ref_0_22
    """

    name: ClassVar[str] = "reflection"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    gamma1: float = 5.5
    gamma_strong: float | None = None
    gamma2: float = 0.0
    lambda_: int | None = None
    rounds: int = 1
    inversion: Inversion = field(default="exact", metadata=READING)

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        for i in range(walk.T):
            for _ in range(self.rounds_at(i, walk.T)):
                x = walk.down(x, i, self._strong, leg=Leg.STRONG)
                x = walk.up(x, i, self.gamma2, inversion=self.inversion)
            x = walk.down(x, i, self.gamma1)
        return x

    def resolve(self, T: int) -> Sampler:
        found = super().resolve(T)
        return replace(found, gamma_strong=self._strong) if isinstance(found, Reflection) else found

    @property
    def legs(self) -> frozenset[Leg]:
        return frozenset((Leg.ZIG, Leg.STRONG, Leg.ZAG))

    def on(self, others: frozenset[Leg]) -> Sampler:
        """Where one network goes both ways down, at one scale, it is zigzag."""
        if Leg.STRONG in others or self._strong != self.gamma1:
            return self
        return Zigzag(self.gamma1, self.gamma2, self.lambda_, rounds=self.rounds, inversion=self.inversion)

    @property
    def _strong(self) -> float:
        return self.gamma1 if self.gamma_strong is None else self.gamma_strong
