"""Zigzag with a consistent inversion: the zag's eps is asked for again where the zag lands, until it agrees.

Eq. 4 needs eps_gamma2(x_t) before x_t is known and takes eps_gamma2(x_s); the difference is tau2 of Theorem 2.
Fixed-point iteration (Meiri et al. 2023, arXiv:2312.12540; Garibi et al. 2024, arXiv:2403.14602, averages too) solves

    x~ = alpha_t * (x_s - sigma_s * eps_gamma2(x~, t)) / alpha_s + sigma_t * eps_gamma2(x~, t)

for x~, starting where Eq. 4 lands. It converges where (sigma_t - alpha_t * r_s) * |d eps_gamma2 / dx| < 1: with small
steps, not always with large ones. The number of iterations is fixed, so that the cost is known; what the last one still
moved is the residual, which `Residuals` reports. It may grow, and nothing stops it then.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from zz.diffusion.fields import check_count, check_number
from zz.diffusion.samplers.base import Sampler, Walk, check_reflections
from zz.diffusion.samplers.controls import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.trajectory import Leg, Step, silent


@dataclass(frozen=True)
class FixedPoint(Sampler):
    """
    gamma1:     guidance of the zig and of the steps themselves
    gamma2:     guidance of the zag; 0 is unconditional
    lambda_:    how many steps, from the noisiest, are reflected; None: T - 1
    rounds:     reflections a step
    iterations: predictions at the landing point that follow each zag; 0 is zigzag
    """

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    rounds: int = 1
    iterations: int = 4
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    def __post_init__(self):
        check_number("gamma1", self.gamma1)
        check_number("gamma2", self.gamma2)
        for name in ("rounds", "iterations"):
            check_count(name, getattr(self, name))
        if self.lambda_ is not None:
            check_count("lambda", self.lambda_)

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        lambda_ = self._lambda(schedule.T)
        x = x_T
        for i in range(schedule.T):
            if i < lambda_:
                for _ in range(self.rounds):
                    y = walk.down(x, i, self.gamma1)
                    x = walk.up(y, i, self.gamma2)
                    for _ in range(self.iterations):
                        x = walk.settle(x, y, i, self.gamma2)
            x = walk.down(x, i, self.gamma1)
        return x

    @property
    def matched(self):
        return GuidanceMatched(self.gamma1, self.gamma2, self.lambda_, 1, self.rounds)

    def nfe(self, T):
        return T + (2 + self.iterations) * self.rounds * self._lambda(T)

    def resolve(self, T):
        lambda_ = self._lambda(T)
        if lambda_ == 0 or self.rounds == 0:
            return Standard(self.gamma1)
        if self.iterations == 0:
            return Zigzag(self.gamma1, self.gamma2, lambda_, rounds=self.rounds)
        return replace(self, lambda_=lambda_)

    def _lambda(self, T: int) -> int:
        return check_reflections(self.lambda_, 1, T, T, "sampler=fixed_point")


class Residuals:
    """A probe: by how much each iteration still moved the latent, and whether the last ones moved it enough to matter.

    moved: by step, then by iteration (rounds one after the other): the largest change of any value in the batch
    """

    def __init__(self) -> None:
        self.moved: dict[int, list[float]] = {}

    def __call__(self, step: Step) -> None:
        if step.leg is Leg.STAY:
            self.moved.setdefault(step.i, []).append((step.y - step.x).abs().max().item())

    @property
    def last(self) -> Tensor:
        """The residual of each step that was reflected, (lambda,): what its last iteration moved."""
        return torch.tensor([moved[-1] for _, moved in sorted(self.moved.items())])

    def unsettled(self, tolerance: float = 1e-6) -> list[int]:
        """The steps whose residual is not below the tolerance."""
        return [i for i, moved in sorted(self.moved.items()) if not moved[-1] < tolerance]
