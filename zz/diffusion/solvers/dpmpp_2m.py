"""DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, Algorithm 2)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.solvers.base import Solver


@dataclass(frozen=True)
class DPMpp2M(Solver):
    """Second order, multistep, in the data prediction; first order (DDIM) on the first and last step.

    `up` is first order and leaves no history: see zz/diffusion/solvers/base.py for the rule.
    """

    version: ClassVar[int] = 1
    order: ClassVar[int] = 2
    uses_past: ClassVar[bool] = True

    def down(self, prediction, source, target, past, z):
        first_order = prediction.at(target)
        if past is None or target.sigma == 0:
            return first_order  # a step to sigma = 0 is infinitely long in log(alpha / sigma)
        ratio = math.log(past.node.r / source.r) / math.log(source.r / target.r)  # h_last / h
        weight = target.alpha - target.sigma * source.alpha / source.sigma  # alpha_s * (1 - exp(-h))
        return first_order + weight / (2 * ratio) * prediction.since(past.prediction)

    def up(self, prediction, source, target, past, z):
        return prediction.at(target)
