"""Guidance away from what the same network says with its self-attention spoilt: what SEG and PAG have in common."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from zz.diffusion.guidance.attention.extra_term import ExtraTerm
from zz.diffusion.guidance.attention.tap import Attention, Blocks, Tapped
from zz.diffusion.prediction import one_branch, unprompted


@dataclass(frozen=True)
class Perturbed(ExtraTerm):
    """u + gamma * (c - u) + scale * (c - p), p being c with spoilt self-attention; at gamma = 0, u stands for c.

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

    def with_term(self, net, x, node, gamma, cond, uncond):
        main = uncond if unprompted(gamma) else cond
        tapped = Tapped(main, self.spoilt, blocks=self.blocks)
        if one_branch(gamma):
            m, p = net(x, node, main, tapped)
            return m.pushed(self.scale, m, p)
        u, c, p = net(x, node, uncond, cond, tapped)
        return u.lerp(c, gamma).pushed(self.scale, c, p)
