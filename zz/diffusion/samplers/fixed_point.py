"""Zigzag with a consistent inversion: the zag's eps is asked for again where the zag lands, until it agrees.

Eq. 4 needs eps_gamma2(x_t) before x_t is known and takes eps_gamma2(x_s); the difference is tau2 of Theorem 2.
Fixed-point iteration (Meiri et al. 2023, arXiv:2312.12540; Garibi et al. 2024, arXiv:2403.14602, averages too) solves

    x~ = alpha_t * (x_s - sigma_s * eps_gamma2(x~, t)) / alpha_s + sigma_t * eps_gamma2(x~, t)

for x~, starting where Eq. 4 lands. It converges where (sigma_t - alpha_t * r_s) * |d eps_gamma2 / dx| < 1: with small
steps, not always with large ones. The number of iterations is fixed, so that the cost is known; what the last one still
moved is the residual, which `Residuals` reports. It may grow, and nothing stops it then.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.leg import Leg
from zz.diffusion.prediction import from_eps
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.samplers.zigzag import Zigzag


@dataclass(frozen=True)
class FixedPoint(Reflecting):
    """Zigzag whose zag is iterated until its eps agrees with the one where it lands.

    gamma1:     guidance of the zig and of the steps themselves
    gamma2:     guidance of the zag; 0 is unconditional
    lambda_:    how many steps, from the noisiest, are reflected; None: T - 1
    rounds:     reflections a step
    iterations: predictions at the landing point that follow each zag; 0 is zigzag
    """

    name: ClassVar[str] = "fixed_point"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True
    guidance_matched: ClassVar[bool] = True

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    rounds: int = 1
    iterations: int = 4

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        for i in range(walk.T):
            for _ in range(self.rounds_at(i, walk.T)):
                y = walk.down(x, i, self.gamma1)
                x = walk.up(y, i, self.gamma2)
                for _ in range(self.iterations):
                    x = self._settle(walk, x, y, i)
            x = walk.down(x, i, self.gamma1)
        return x

    def _settle(self, walk: Walk, x: Tensor, y: Tensor, i: int) -> Tensor:
        """`y` of node i + 1 inverted once more, with eps from `x` of node i, where it landed before."""
        t, s = walk.nodes[i], walk.nodes[i + 1]
        prediction = from_eps(y, s, walk.denoise(x, t, self.gamma2, Leg.ZAG).eps)
        again = walk.solver.up(prediction, s, t, walk.past(i), walk.fresh(i, Leg.ZAG, x))
        return walk.stay(x, again, i, self.gamma2, prediction)

    @property
    def legs(self) -> frozenset[Leg]:
        return super().legs | ({Leg.STAY} if self.iterations else set())

    @property
    def per_reflection(self) -> int:
        return 2 + self.iterations

    def resolve(self, T: int) -> Sampler:
        if self.iterations == 0:
            return Zigzag(self.gamma1, self.gamma2, self.lambda_, rounds=self.rounds).resolve(T)
        return super().resolve(T)

    def check(self, guidance: Guidance) -> None:
        super().check(guidance)
        if self.iterations and self.gamma2 != 0 and not guidance.on_line:
            raise ValueError(
                f"sampler=fixed_point settles one eps, but guidance={type(guidance).__name__} moves up with two of "
                f"them at gamma2={self.gamma2}; choose gamma2=0, or sampler=zigzag"
            )
