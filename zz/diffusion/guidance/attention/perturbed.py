"""Guidance away from what the same network says with its self-attention spoilt: what SEG and PAG have in common."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from zz.diffusion.guidance.attention.tap import Attention, Blocks, Tapped
from zz.diffusion.guidance.base import Needs
from zz.diffusion.guidance.extra_term import WeakTerm


@dataclass(frozen=True)
class Perturbed(WeakTerm):
    """As `WeakTerm`, the network being made worse by its self-attention.

    scale:  s, as in `ExtraTerm`
    blocks: whose self-attention is spoilt: mid, down, up, or all
    zag:    as in `ExtraTerm`
    """

    scale: float = 3.0
    blocks: Blocks = "mid"
    zag: bool = False

    @abstractmethod
    def spoilt(self, attention: Attention) -> Tensor:
        """What the attention gives instead."""

    @property
    def needs(self):
        return Needs(taps=True)

    def weak(self, cond, node):
        return Tapped(cond, self.spoilt, blocks=self.blocks)
