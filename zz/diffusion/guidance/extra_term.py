"""Classifier-free guidance with one more term, which the network itself gives when it is made worse."""

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Denoiser, Guided
from zz.diffusion.prediction import Gamma, Prediction, one_branch, unprompted
from zz.diffusion.schedule import Node


class ExtraTerm(Guidance):
    """What SEG, PAG, SAG, SLG and TPG have in common: a term of weight `scale`, for one network evaluation more.

    scale: of the term; 0 is plain guidance, at its cost
    zag:   whether the term is there on the way up too; without it the zag is plain guidance, and the weaker for it
    """

    scale: float
    zag: bool

    @abstractmethod
    def with_term(self, net: Denoiser, x: Tensor, node: Node, gamma: Gamma, cond: Any, uncond: Any) -> Prediction:
        """The guided prediction with the term.  # (B, C, [F,] H, W)"""

    def bind(self, net: Denoiser, cond: Any, uncond: Any) -> Guided:
        cfg = CFG().bind(net, cond, uncond)

        def guided(x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
            return (
                self.with_term(net, x, node, gamma, cond, uncond) if self._on(node, leg) else cfg(x, node, gamma, leg)
            )

        return Guided(guided, cfg.look)

    def evals(self, gamma: Gamma, node: Node, leg: Leg) -> int:
        return (1 if one_branch(gamma) else 2) + self._on(node, leg)

    def asked(self, legs: Collection[Leg]) -> Guidance:
        return self if Leg.ZAG in legs else cast(Guidance, replace(cast(Any, self), zag=False))

    @property
    def affine(self) -> bool:
        return self.scale == 0

    @property
    def simplest(self) -> Guidance:
        return CFG() if self.scale == 0 else self

    def _on(self, node: Node, leg: Leg) -> bool:
        return self.scale != 0 and (self.zag or leg is not Leg.ZAG)


class WeakTerm(ExtraTerm):
    """u + gamma * (c - u) + scale * (c - p), p being c of a network made worse; at gamma = 0, u stands for c."""

    @abstractmethod
    def weak(self, cond: Any, node: Node) -> Any:
        """The condition for which the network is made worse."""

    def with_term(self, net: Denoiser, x: Tensor, node: Node, gamma: Gamma, cond: Any, uncond: Any) -> Prediction:
        main = uncond if unprompted(gamma) else cond
        if one_branch(gamma):
            m, p = net(x, node, main, self.weak(main, node))
            return m.pushed(self.scale, m, p)
        u, c, p = net(x, node, uncond, cond, self.weak(cond, node))
        return u.lerp(c, gamma).pushed(self.scale, c, p)


__all__ = ["ExtraTerm", "WeakTerm"]
