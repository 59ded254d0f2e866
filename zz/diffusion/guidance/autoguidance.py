"""Autoguidance (Karras et al. 2024, arXiv:2406.02507): away from a weaker version of the same network.

    w + gamma * (c - w),   w of the weak network, of the same prompt

The weak network is the model's matter (`weak.*`; zz/models/networks.py): fewer parameters, less training, another LoRA.
With its unconditional prediction (`prompted=false`) and the network itself for the weak one it is classifier-free
guidance. diffusers' guider of that name has no second network: it drops layers of the first (zz/models/guider.py).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from zz.diffusion.guidance.base import Guidance, Needs
from zz.diffusion.network import Branches, Guided
from zz.diffusion.prediction import one_branch


class OfWeak(NamedTuple):
    """A condition that the weak network answers."""

    cond: Any


@dataclass(frozen=True)
class AutoGuidance(Guidance):
    """At gamma = 0 it is the weak network alone, at 1 the network itself: one evaluation each.

    prompted: whether the weak network is given the prompt, as in the paper; else the negative one
    """

    prompted: bool = True
    version: ClassVar[int] = 1

    @property
    def needs(self):
        return Needs(weak=True)

    def bind(self, net, cond, uncond):
        weak = OfWeak(cond if self.prompted else uncond)

        def guided(x, node, gamma, leg):
            if one_branch(gamma):
                (only,) = net(x, node, cond if gamma == 1 else weak)
                return only
            w, c = net(x, node, weak, cond)
            return w.lerp(c, gamma)

        return Guided(guided, lambda x, node, leg: Branches(*net(x, node, uncond, cond)))

    def evals(self, gamma, node, leg):
        return 1 if one_branch(gamma) else 2

    @property
    def affine(self):
        return True

    @property
    def plain(self):
        return False


__all__ = ["AutoGuidance", "OfWeak"]
