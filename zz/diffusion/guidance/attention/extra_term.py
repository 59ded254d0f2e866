"""Classifier-free guidance with one more term, which the network's own attention gives."""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from zz.diffusion.guidance.base import Guidance, Needs
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Denoiser, Guided
from zz.diffusion.prediction import Gamma, Prediction, one_branch
from zz.diffusion.schedule import Node


class ExtraTerm(Guidance):
    """What SEG, PAG and SAG have in common: a term of weight `scale`, for one network evaluation more.

    scale: of the term; 0 is plain guidance, at its cost
    zag:   whether the term is there on the way up too; without it the zag is plain guidance, and the weaker for it
    """

    scale: float
    zag: bool

    @abstractmethod
    def with_term(self, net: Denoiser, x: Tensor, node: Node, gamma: Gamma, cond: Any, uncond: Any) -> Prediction:
        """The guided prediction with the term.  # (B, C, [F,] H, W)"""

    @property
    def needs(self) -> Needs:
        return Needs(taps=True)

    def bind(self, net: Denoiser, cond: Any, uncond: Any) -> Guided:
        cfg = CFG().bind(net, cond, uncond)

        def guided(x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
            return self.with_term(net, x, node, gamma, cond, uncond) if self._on(leg) else cfg(x, node, gamma, leg)

        return Guided(guided, cfg.look)

    def evals(self, gamma: Gamma, node: Node, leg: Leg) -> int:
        return (1 if one_branch(gamma) else 2) + self._on(leg)

    @property
    def affine(self) -> bool:
        return self.scale == 0

    @property
    def simplest(self) -> Guidance:
        return CFG() if self.scale == 0 else self

    def _on(self, leg: Leg) -> bool:
        return self.scale != 0 and (self.zag or leg is not Leg.ZAG)
