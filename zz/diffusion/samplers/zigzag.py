"""Zigzag diffusion sampling (Bai et al., ICLR 2025, arXiv:2412.10891, Algorithm 1).

Before each of the first lambda steps the latent is reflected: denoised with gamma1, inverted with the weaker
gamma2. The guidance gap gamma1 - gamma2 writes the prompt into the latent, and the step then starts from there.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from zz.diffusion.fields import check_choice, check_count, check_number
from zz.diffusion.samplers.base import Sampler, Time, Walk, check_reflections
from zz.diffusion.samplers.controls import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.trajectory import silent


@dataclass(frozen=True)
class Zigzag(Sampler):
    """
    gamma1:       guidance of the zig (denoising) and of the steps themselves
    gamma2:       guidance of the zag (inversion); 0 is unconditional
    lambda_:      how many steps, from the noisiest, are reflected; None: T - k
    k:            how many nodes one reflection goes down and back up (Table 12); 1 is Algorithm 1
    rounds:       reflections a step (`T_max` in the official code)
    inversion:    `exact` is Eq. 4; `ref_0_22` is the official code as it runs under diffusers >= 0.22, whose
                  zag moves by the coefficients of the step below (with a v-network it also reads at s: v_at=s)
    network_time: the time that the network is told in the zag: of the noisier node t, or of the cleaner s
    v_at:         the level at which a v-prediction is read in the zag: t, or where the latent lies, s. A network
                  that is told s means its v at s: network_time=s goes with v_at=s. Other networks ignore it: an
                  eps needs no level, and a flow's velocity is read where the latent lies.
    """

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    k: int = 1
    rounds: int = 1
    inversion: Literal["exact", "ref_0_22"] = "exact"
    network_time: Time = "t"
    v_at: Time = "t"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    def __post_init__(self):
        for name in ("gamma1", "gamma2"):
            check_number(name, getattr(self, name))
        for name in ("k", "rounds"):
            check_count(name, getattr(self, name))
        if self.lambda_ is not None:
            check_count("lambda", self.lambda_)
        check_choice("inversion", self.inversion, ("exact", "ref_0_22"))
        check_choice("network_time", self.network_time, ("t", "s"))
        check_choice("v_at", self.v_at, ("t", "s"))

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        lambda_ = self._lambda(schedule.T)
        x = x_T
        for i in range(schedule.T):
            if i < lambda_:
                for _ in range(self.rounds):
                    x = self._reflect(walk, x, i)
            x = walk.down(x, i, self.gamma1)
        return x

    @property
    def matched(self):
        return GuidanceMatched(self.gamma1, self.gamma2, self.lambda_, self.k, self.rounds)

    def nfe(self, T):
        return T + 2 * self.k * self.rounds * self._lambda(T)

    def resolve(self, T):
        lambda_ = self._lambda(T)
        if lambda_ == 0 or self.k == 0 or self.rounds == 0:
            return Standard(self.gamma1)
        return replace(self, lambda_=lambda_)

    def _reflect(self, walk: Walk, x, i: int):
        """Down k nodes from node i with gamma1, and back up with gamma2."""
        shift = 1 if self.inversion == "ref_0_22" else 0
        for j in range(i, i + self.k):
            x = walk.down(x, j, self.gamma1)
        for j in reversed(range(i, i + self.k)):
            x = walk.up(x, j, self.gamma2, self.network_time, self.v_at, shift)
        return x

    def _lambda(self, T: int) -> int:
        most = T - self.k + (1 if self.inversion == "exact" and self.k > 0 else 0)
        return check_reflections(self.lambda_, self.k, T, most, f"inversion={self.inversion}")
