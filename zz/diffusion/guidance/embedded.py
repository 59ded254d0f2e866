"""Embedded guidance (Meng et al., CVPR 2023, Section 3.1; FLUX.1-dev): the network was distilled to be told gamma."""

from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.fields import check_number
from zz.diffusion.guidance.base import Guidance, Told


@dataclass(frozen=True)
class Embedded(Guidance):
    """One network row with the prompt, which is told gamma. There is no unconditional branch and no negative prompt.

    gamma1 and gamma2 are then what the network is told in zig and zag. It learned what classifier-free guidance says at
    each scale, so that a zag told a smaller gamma2 still follows the prompt less. But 0 is not unconditional: it is a
    scale like any other, as far as the network was trained on it; and predictions are not linear in gamma.
    """

    version: ClassVar[int] = 1
    embedded: ClassVar[bool] = True

    def check(self, name, gamma):
        check_number(name, gamma, 0)

    def bind(self, net, cond, uncond):
        def guided(x, node, gamma, leg):
            (only,) = net(x, node, Told(cond, gamma))
            return only

        return guided

    def rows(self, gamma, node, leg):
        return 1

    @property
    def linear(self):
        return False
