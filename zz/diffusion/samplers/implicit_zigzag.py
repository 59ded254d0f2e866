"""Zigzag whose reflection has a closed form and no inversion call: Eq. 4 with eps_gamma2(x_t) for eps_gamma2(x_s).

That sets the approximation error tau2 of Theorem 2 to zero and leaves the semantic term tau1, which a guidance that is
affine in gamma gives for nothing beside the prediction of the zig:

    x~_t = x_t - alpha_t h_t * (gamma1 - gamma2) * (eps_c(x_t) - eps_u(x_t)),   alpha_t h_t = sigma_t - alpha_t r_s

It is first order whatever the solver, as the zag is. One look at x_t (two evaluations) and one prediction at x~_t: two
thirds of zigzag's predictions. With gap=last the look is the one at the last step's x~, so that each step costs
what a standard one does (compare Z^2-Sampling, arXiv:2604.23536, of which only the abstract was known here).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from zz.diffusion.network import Branches
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Walk


@dataclass(frozen=True)
class ImplicitZigzag(Reflecting):
    """Zigzag in closed form: the reflection moves the latent by the guidance gap, without an inversion call.

    gamma1:  guidance of the steps, and of the zig that is not taken
    gamma2:  guidance of the zag that is not taken; 0 is unconditional
    lambda_: how many steps, from the noisiest, are reflected; None: T - 1
    rounds:  reflections a step
    gap:     where eps_c - eps_u is taken from: `own` looks at the latent that is reflected; `last` remembers what the
             step before saw, and looks only in the first reflection
    """

    name: ClassVar[str] = "implicit_zigzag"
    version: ClassVar[int] = 2  # 2: both branches of a look in one pass
    affine: ClassVar[bool] = True
    plain: ClassVar[bool] = True
    guidance_matched: ClassVar[bool] = True

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    rounds: int = 1
    gap: Literal["own", "last"] = "own"

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        seen: Branches | None = None
        for i in range(walk.T):
            for _ in range(self.rounds_at(i, walk.T)):
                fresh = seen is None or self.gap == "own"
                seen = walk.look(x, i) if seen is None or fresh else seen
                x = self._reflect(walk, x, i, seen, fresh)
            if self.gap == "last" and self.rounds_at(i + 1, walk.T):
                seen = walk.look(x, i)
                x = walk.down_by(x, i, self.gamma1, seen)
            else:
                x = walk.down(x, i, self.gamma1)
        return x

    def _reflect(self, walk: Walk, x: Tensor, i: int, seen: Branches, fresh: bool) -> Tensor:
        """There and back in closed form. fresh: whether `seen` is of this very latent; the probe is then called."""
        t, s = walk.nodes[i], walk.nodes[i + 1]
        y = x - (t.sigma - t.alpha * s.r) * (self.gamma1 - self.gamma2) * seen.gap
        return walk.stay(x, y, i, self.gamma1, seen) if fresh else y

    def nfe(self, T: int) -> int:
        reflections = self.rounds * self.reflected(T)
        return T + (reflections if self.gap == "own" else min(reflections, 1))

    def reflected(self, T: int) -> int:
        lambda_ = super().reflected(T)
        return 0 if self.rounds == 0 or self.gamma1 == self.gamma2 else lambda_

    def resolve(self, T: int) -> Sampler:
        lambda_ = self.reflected(T)
        return Standard(self.gamma1) if lambda_ == 0 else self._with(lambda_=lambda_)
