"""Guidance away from what the same network says with its self-attention spoilt: what SEG and PAG have in common."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zz.diffusion.fields import check_choice, check_number
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.tap import BLOCKS, Attention, Blocks, Tapped
from zz.diffusion.trajectory import Leg


@dataclass(frozen=True)
class Perturbed(Guidance):
    """u + gamma * (c - u) + scale * (c - p), p being c with spoilt self-attention; at gamma = 0, u stands for c.

    scale:  s; 0 is plain guidance, at its cost
    blocks: whose self-attention is spoilt: mid, down, up, or all
    zag:    whether the term is there on the way up too; without it the zag is plain guidance, and the weaker for it
    """

    scale: float = 3.0
    blocks: Blocks = "mid"
    zag: bool = False
    taps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("guidance.scale", self.scale)
        check_choice("guidance.blocks", self.blocks, BLOCKS)

    @abstractmethod
    def spoilt(self, attention: Attention) -> Tensor:
        """What the attention gives instead."""

    def bind(self, net, cond, uncond):
        plain = CFG().bind(net, cond, uncond)

        def guided(x, node, gamma, leg):
            if not self._on(leg):
                return plain(x, node, gamma, leg)
            main = uncond if gamma == 0 else cond
            tapped = Tapped(main, self.spoilt, blocks=self.blocks)
            if gamma == 0 or gamma == 1:
                m, p = net(x, node, main, tapped)
                return m.pushed(self.scale, m, p)
            u, c, p = net(x, node, uncond, cond, tapped)
            return u.lerp(c, gamma).pushed(self.scale, c, p)

        return guided

    def rows(self, gamma, node, leg):
        return (1 if gamma == 0 or gamma == 1 else 2) + self._on(leg)

    @property
    def linear(self):
        return self.scale == 0

    @property
    def simplest(self):
        return CFG() if self.scale == 0 else self

    def _on(self, leg: Leg) -> bool:
        return self.scale != 0 and (self.zag or leg is not Leg.ZAG)
