"""MAMBO-G (Zhu et al. 2025, arXiv:2508.03442): less guidance where it would be large beside the prediction itself.

u + (1 + (gamma - 1) k) (c - u),   k = exp(-alpha |c - u| / |u|)
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from zz.diffusion.guidance.pair import PairGuidance, norm
from zz.diffusion.leg import Leg
from zz.diffusion.outputs import Output
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class MAMBO(PairGuidance):
    """diffusers' guider of that name takes what its network predicts.

    alpha:  how much a large difference weakens
    output: what u and c are
    """

    alpha: Annotated[float, Range(0)] = 8.0
    output: Output = "velocity"
    version: ClassVar[int] = 1

    def pair(self):
        def made(u: Tensor, c: Tensor, leg: Leg) -> tuple[Tensor, Tensor]:
            d, length = c - u, norm(u)
            k = torch.where(length > 0, torch.exp(-self.alpha * norm(d) / length), 0.0)
            return u + (1 - k) * d, c

        return made


__all__ = ["MAMBO"]
