"""Zigzag whose reflection has a closed form and no inversion call: Eq. 4 with eps_gamma2(x_t) for eps_gamma2(x_s).

That sets the approximation error tau2 of Theorem 2 to zero and leaves the semantic term tau1, which a guidance that is
linear in gamma gives for nothing beside the prediction of the zig:

    x~_t = x_t - alpha_t h_t * (gamma1 - gamma2) * (eps_c(x_t) - eps_u(x_t)),   alpha_t h_t = sigma_t - alpha_t r_s

It is first order whatever the solver, as the zag is. One look at x_t (two rows) and one prediction at x~_t: two
thirds of zigzag's predictions. With gap=last the look is the one at the last step's x~, so that each step costs
what a standard one does (compare Z^2-Sampling, arXiv:2604.23536, of which only the abstract was known here).
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from zz.diffusion.fields import check_choice, check_count, check_number
from zz.diffusion.guidance.base import Branches
from zz.diffusion.samplers.base import Sampler, Walk, check_reflections
from zz.diffusion.samplers.controls import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.trajectory import silent


@dataclass(frozen=True)
class ImplicitZigzag(Sampler):
    """
    gamma1:  guidance of the steps, and of the zig that is not taken
    gamma2:  guidance of the zag that is not taken; 0 is unconditional
    lambda_: how many steps, from the noisiest, are reflected; None: T - 1
    rounds:  reflections a step
    gap:     where eps_c - eps_u is taken from: `own` looks at the latent that is reflected; `last` remembers what the
             step before saw, and looks only in the first reflection
    """

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    rounds: int = 1
    gap: Literal["own", "last"] = "own"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = False
    linear: ClassVar[bool] = True

    def __post_init__(self):
        check_number("gamma1", self.gamma1)
        check_number("gamma2", self.gamma2)
        check_count("rounds", self.rounds)
        if self.lambda_ is not None:
            check_count("lambda", self.lambda_)
        check_choice("sampler.gap", self.gap, ("own", "last"))

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        lambda_ = self._lambda(schedule.T)
        x, seen = x_T, None
        for i in range(schedule.T):
            if i < lambda_:
                for _ in range(self.rounds):
                    x, seen = self._reflect(walk, x, i, seen)
            if self.gap == "last" and i + 1 < lambda_:
                seen = walk.look(x, i)
                x = walk.down(x, i, self.gamma1, seen)
            else:
                x = walk.down(x, i, self.gamma1)
        return x

    @property
    def matched(self):
        return GuidanceMatched(self.gamma1, self.gamma2, self.lambda_, 1, self.rounds)

    def nfe(self, T):
        reflections = self.rounds * self._lambda(T)
        return T + (reflections if self.gap == "own" else min(reflections, 1))

    def resolve(self, T):
        lambda_ = self._lambda(T)
        return Standard(self.gamma1) if lambda_ == 0 else replace(self, lambda_=lambda_)

    def _reflect(self, walk: Walk, x, i: int, seen: Branches | None):
        if seen is not None and self.gap == "last":
            return walk.reflect(x, i, self.gamma1, self.gamma2, seen, fresh=False), seen
        seen = walk.look(x, i)
        return walk.reflect(x, i, self.gamma1, self.gamma2, seen), seen

    def _lambda(self, T: int) -> int:
        lambda_ = check_reflections(self.lambda_, 1, T, T, "sampler=implicit_zigzag")
        return 0 if self.rounds == 0 or self.gamma1 == self.gamma2 else lambda_
