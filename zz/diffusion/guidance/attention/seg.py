"""Smoothed energy guidance (Hong 2024, arXiv:2408.00760): self-attention whose queries are blurred."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from zz.diffusion.guidance.attention.blur import blur
from zz.diffusion.guidance.attention.perturbed import Perturbed
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class SEG(Perturbed):
    """Fields as in `Perturbed`, and

    sigma: the blur's deviation in places of the attention's grid; None: infinite, every query is their mean
    """

    sigma: Annotated[float, Range(1e-3)] | None = None
    version: ClassVar[int] = 1

    def spoilt(self, attention):
        query = attention.query  # (batch, heads, h * w, d)
        if self.sigma is None:
            return attention.out(query.mean(2, keepdim=True).expand_as(query))
        maps = query.mT.flatten(1, 2).unflatten(2, attention.grid)  # (batch, heads * d, h, w)
        blurred = blur(maps, self.sigma, math.ceil(6 * self.sigma) // 2)
        return attention.out(blurred.flatten(2).view_as(query.mT).mT)
