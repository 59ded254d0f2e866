"""CFG-Zero* (Fan et al. 2025, arXiv:2503.18886): the unconditional branch, scaled to fit the conditional one.

    s u + gamma (c - s u),   s = <c, u> / |u|^2

on the velocity of a rectified flow. Its other half, zeroing the first step, is for flows not trained to the end.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zz.diffusion.guidance.pair import PairGuidance, dot
from zz.diffusion.leg import Leg
from zz.diffusion.outputs import Output


@dataclass(frozen=True)
class CFGZeroStar(PairGuidance):
    """diffusers' guider of that name takes what its network predicts.

    output: what u and c are
    """

    output: Output = "velocity"
    version: ClassVar[int] = 1

    def pair(self):
        def made(u: Tensor, c: Tensor, leg: Leg) -> tuple[Tensor, Tensor]:
            squared = dot(u, u)
            return u * torch.where(squared > 0, dot(c, u) / squared, 1.0), c

        return made


__all__ = ["CFGZeroStar"]
