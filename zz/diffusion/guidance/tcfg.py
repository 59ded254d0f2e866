"""Tangential damping of guidance (Kwon et al. 2025, arXiv:2503.18137): u without what is across the common direction.

The common direction is the first right singular vector of the rows u and c; u is replaced by its part along it.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zz.diffusion.guidance.pair import PairGuidance, dot
from zz.diffusion.leg import Leg
from zz.diffusion.outputs import Output


@dataclass(frozen=True)
class TCFG(PairGuidance):
    """Two rows need no decomposition of latents: their 2 x 2 Gram matrix has the same vectors.

    output: what u and c are; the paper and diffusers take the noise
    """

    output: Output = "eps"
    version: ClassVar[int] = 1

    def pair(self):
        def made(u: Tensor, c: Tensor, leg: Leg) -> tuple[Tensor, Tensor]:
            p, q, r = (one.double() for one in (dot(c, c), dot(c, u), dot(u, u)))
            # of [[p, q], [q, r]] the larger eigenvalue's vector, along which c and u are weighed; q = 0: the longer one
            angle = 0.5 * torch.atan2(2 * q, p - r)
            of_c, of_u = angle.cos(), angle.sin()
            common = of_c.to(c.dtype) * c + of_u.to(u.dtype) * u
            squared = dot(common, common)
            return common * torch.where(squared > 0, dot(u, common) / squared, 0.0), c

        return made


__all__ = ["TCFG"]
