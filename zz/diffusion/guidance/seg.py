"""Smoothed energy guidance (Hong 2024, arXiv:2408.00760): self-attention whose queries are blurred."""

import math
from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.fields import check_number
from zz.diffusion.guidance.blur import blur
from zz.diffusion.guidance.perturbed import Perturbed


@dataclass(frozen=True)
class SEG(Perturbed):
    """Fields as in `Perturbed`, and

    sigma: the blur's deviation in places of the attention's grid; None: infinite, every query is their mean
    """

    sigma: float | None = None
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma is not None:
            check_number("guidance.sigma", self.sigma, 1e-3)

    def spoilt(self, attention):
        query = attention.query  # (rows, heads, h * w, d)
        if self.sigma is None:
            return attention.out(query.mean(2, keepdim=True).expand_as(query))
        maps = query.mT.flatten(1, 2).unflatten(2, attention.grid)  # (rows, heads * d, h, w)
        blurred = blur(maps, self.sigma, math.ceil(6 * self.sigma) // 2)
        return attention.out(blurred.flatten(2).view_as(query.mT).mT)
