"""Guidances that make other branches of the network's own: a + gamma (b - a), a and b functions of u and c."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.outputs import Output, check_output, from_output, output
from zz.diffusion.prediction import Gamma, per_picture

Pair = Callable[[Tensor, Tensor, Leg], tuple[Tensor, Tensor]]  # u and c as outputs -> a and b


class PairGuidance(Guidance):
    """Affine in gamma, so that scales add up; at gamma = 1 it is c where b is.

    output: what of the network's predictions it is made of
    """

    output: Output
    conditional: ClassVar[bool] = True  # whether b is c

    @abstractmethod
    def pair(self) -> Pair:
        """For one trajectory: what makes a and b. It may remember what it was given."""

    def check_nodes(self, nodes):
        check_output(self.output, nodes)

    def bind(self, net, cond, uncond):
        pair, cfg = self.pair(), CFG().bind(net, cond, uncond)

        def guided(x, node, gamma, leg):
            if self._alone(gamma):
                return cfg(x, node, gamma, leg)
            u, c = (output(one, node, self.output) for one in net(x, node, uncond, cond))
            a, b = pair(u, c, leg)
            return from_output(x, node, a + per_picture(gamma, x) * (b - a), self.output)

        return Guided(guided, cfg.look)

    def evals(self, gamma, node, leg):
        return 1 if self._alone(gamma) else 2

    @property
    def affine(self):
        return True

    @property
    def plain(self):
        return False

    def _alone(self, gamma: Gamma) -> bool:
        return self.conditional and not isinstance(gamma, Tensor) and gamma == 1


def over(x: Tensor) -> tuple[int, ...]:
    """All dimensions of a picture."""
    return tuple(range(1, x.ndim))


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Of each picture  # (B, 1, ..., 1)"""
    return (x * y).sum(over(x), keepdim=True)


def norm(x: Tensor) -> Tensor:
    """Of each picture  # (B, 1, ..., 1)"""
    return dot(x, x).sqrt()


__all__ = ["Pair", "PairGuidance", "dot", "norm", "over"]
