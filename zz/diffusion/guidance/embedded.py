"""Embedded guidance (Meng et al., CVPR 2023, Section 3.1; FLUX.1-dev): the network was distilled to take gamma."""

from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.guidance.base import Guidance, Needs, ScaledCond
from zz.diffusion.network import Guided
from zz.diffusion.validate import check_number


@dataclass(frozen=True)
class Embedded(Guidance):
    """One network evaluation with the prompt and gamma. There is no unconditional branch and no negative prompt.

    gamma1 and gamma2 are then what the network is given in zig and zag. It learned what classifier-free guidance says
    at each scale, so that a zag with a smaller gamma2 still follows the prompt less. But 0 is not unconditional: it is
    a scale like any other, as far as the network was trained on it; and predictions are not affine in gamma.
    """

    version: ClassVar[int] = 1

    @property
    def needs(self):
        return Needs(scaled=True)

    def check(self, name, gamma):
        check_number(name, gamma, 0)

    def bind(self, net, cond, uncond):
        def guided(x, node, gamma, leg):
            (only,) = net(x, node, ScaledCond(cond, gamma))
            return only

        return Guided(guided)

    def evals(self, gamma, node, leg):
        return 1

    @property
    def affine(self):
        return False
