"""Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416, Algorithm 1), against oversaturation.

With D the predicted clean latent, d = D_c - D_u plus `momentum` times what d was before, shortened to at most `norm`,
and split along and across D_c:

    D_c + (gamma - 1) (across + eta along)

diffusers' guider of that name takes the network's raw output in place of D, has eta = 1 by default, and adds gamma
times the update to u: `output=eps` (or what the model predicts) and, for the last, gamma less by one around u.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from zz.diffusion.guidance.pair import PairGuidance, dot, norm
from zz.diffusion.leg import Leg
from zz.diffusion.outputs import Output
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class APG(PairGuidance):
    """Its defaults are the authors' for SDXL; for Stable Diffusion 2.1 they have norm = 7.5, momentum = -0.75.

    eta:      how much of d along D_c is kept
    norm:     most that d may measure, in latents; 0: any
    momentum: of d over the steps of a leg, one memory a leg and picture; below 0, it pushes away from what was
    output:   what D is
    """

    eta: float = 0.0
    norm: Annotated[float, Range(0)] = 15.0
    momentum: Annotated[float, Range(-1, 1)] = -0.5
    output: Output = "x0"
    version: ClassVar[int] = 1

    @property
    def remembers(self):
        return self.momentum != 0

    @property
    def affine(self):
        return not self.remembers

    def pair(self):
        memory: dict[Leg, Tensor] = {}

        def made(u: Tensor, c: Tensor, leg: Leg) -> tuple[Tensor, Tensor]:
            d = c - u
            if self.remembers:
                d = d + self.momentum * memory[leg] if leg in memory else d
                memory[leg] = d
            length = norm(d)
            if self.norm:
                d = d * torch.where(length > self.norm, self.norm / length, 1.0)
            squared = dot(c, c)
            along = c * torch.where(squared > 0, dot(d, c) / squared, 0.0)
            return c - (d - along + self.eta * along), c

        return made


__all__ = ["APG"]
