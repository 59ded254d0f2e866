"""The controls that every comparison carries: is it more than guidance, is it more than compute?

To first order in the step, one reflection and the step after it are one standard step at guidance
2 * gamma1 - gamma2: in y = x / alpha they move y by -h * (2 * eps_gamma1 - eps_gamma2), and u + gamma * (c - u)
is linear in gamma.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zz.diffusion.fields import check_count, check_number
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.prediction import Prediction
from zz.diffusion.samplers.base import Sampler, Walk, check_reflections
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.schedule import Node, Schedule
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.trajectory import Meter, silent


@dataclass(frozen=True)
class GuidanceMatched(Sampler):
    """Standard sampling at the guidance that a zigzag amounts to, to first order, at each step:

        gamma_i = gamma1 + [i < lambda] * rounds * (gamma1 - gamma2) * w_i,   w_i = sum_{j<k} h_{i+j} / h_i

    with h the step in r = sigma / alpha. For k = rounds = 1 that is 2 * gamma1 - gamma2. It needs a guidance
    that is linear in gamma. The fields are those of the zigzag that it stands beside, of either inversion.
    """

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    k: int = 1
    rounds: int = 1
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = False
    linear: ClassVar[bool] = True

    def __post_init__(self):
        for name in ("gamma1", "gamma2"):
            check_number(name, getattr(self, name))
        for name in ("k", "rounds"):
            check_count(name, getattr(self, name))
        if self.lambda_ is not None:
            check_count("lambda", self.lambda_)

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        lambda_ = self._lambda(schedule.T)
        x = x_T
        for i in range(schedule.T):
            x = walk.down(x, i, self._gamma(schedule, i) if i < lambda_ else self.gamma1)
        return x

    def nfe(self, T):
        self._lambda(T)
        return T

    def resolve(self, T):
        lambda_ = self._lambda(T)
        if lambda_ == 0 or self.k == 0 or self.rounds == 0 or self.gamma1 == self.gamma2:
            return Standard(self.gamma1)
        return replace(self, lambda_=lambda_)

    def _gamma(self, schedule: Schedule, i: int) -> float:
        t, r = schedule.nodes[i], [node.r for node in schedule.nodes]
        w = (t.sigma - t.alpha * r[i + self.k]) / (t.sigma - t.alpha * r[i + 1])  # finite at alpha = 0
        return self.gamma1 + self.rounds * (self.gamma1 - self.gamma2) * w

    def _lambda(self, T: int) -> int:
        most = T - self.k + (1 if self.k > 0 else 0)
        return check_reflections(self.lambda_, self.k, T, most, "guidance_matched")


class Cost(NamedTuple):
    """What one image costs."""

    predictions: int
    rows: int


class _Nothing(Prediction):
    """Of which there is nothing to compute."""

    def at(self, node: Node) -> Tensor:
        return self.x0


def cost(sampler: Sampler, guidance: Guidance, schedule: Schedule) -> Cost:
    """Count guided predictions and network rows by walking the schedule with a network that says nothing."""
    zero, meter = torch.zeros(1, 1, 1, 1), Meter(guidance.rows)
    nothing = _Nothing(zero, zero)
    sampler.sample(lambda x, node, gamma, leg: nothing, zero, schedule, DDIM(), lambda step, leg, round: zero, meter)
    return Cost(meter.predictions, meter.rows)


class MatchedSteps(NamedTuple):
    """How many steps of standard sampling cost as much, rounded up."""

    by_predictions: int
    by_rows: int


def compute_matched(total: Cost, standard: Callable[[int], Cost]) -> MatchedSteps:
    """Steps of standard sampling that cost at least `total`: the compute-matched controls.

    standard: what so many steps of it cost, on `Uniform(base, T)` nodes, since leading spacing moves its first node
              with the number of steps
    """
    once = standard(total.predictions)
    steps = -(-total.rows * once.predictions // once.rows)
    while standard(steps).rows < total.rows:
        steps += 1
    while steps > 1 and standard(steps - 1).rows >= total.rows:
        steps -= 1
    return MatchedSteps(total.predictions, steps)
