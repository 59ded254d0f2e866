"""Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377): each place attends to itself alone."""

from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.guidance.attention.perturbed import Perturbed


@dataclass(frozen=True)
class PAG(Perturbed):
    """Fields as in `Perturbed`."""

    version: ClassVar[int] = 1

    def spoilt(self, attention):
        return attention.value
