"""Euler ancestral (k-diffusion; the generalised DDIM of Song et al. 2021, Eq. 16), the paper's Table 15.

On the way down x_s = alpha_s x0 + sigma_s (sqrt(1 - f^2) eps + f z), with f the fresh share of the noise. The plain way
up does not know z and takes it for noise that was always there; the stored one takes it back out.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.schedule import Node
from zz.diffusion.solvers.base import Solver
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.validate import Proportion


@dataclass(frozen=True)
class EulerAncestral(Solver):
    """Part of the noise is drawn anew at each step down; `up` is the deterministic inversion.

    eta: how much of it, in [0, 1]; 0 is DDIM, 1 is k-diffusion's and diffusers' default
    """

    eta: Proportion = 1.0
    version: ClassVar[int] = 1

    def down(self, prediction, source, target, past, z):
        fresh = self._fresh(source, target)
        if fresh == 0 or target.sigma == 0:
            return prediction.at(target)
        eps = math.sqrt(1 - fresh * fresh) * prediction.eps + fresh * z()
        return target.alpha * prediction.x0 + target.sigma * eps

    def up(self, prediction, source, target, past, z):
        return prediction.at(target)

    @property
    def simplest(self):
        return DDIM() if self.eta == 0 else self

    def _fresh(self, source: Node, target: Node) -> float:
        """The share f of the target's noise that is drawn anew on the way down from `source`."""
        q = target.sigma * source.alpha / (target.alpha * source.sigma)  # r_s / r_t, finite at alpha_t = 0
        return min(1.0, self.eta * math.sqrt(1 - q * q))


@dataclass(frozen=True)
class EulerAncestralStored(EulerAncestral):
    """The same way down; `up` first takes out the noise that the last way down over the same node put in.

    The network is still asked where the latent lies, noise and all. With the prediction of the way down it returns to
    where that began. Noise is keyed, so that nothing is stored but the key: it is drawn again.
    """

    version: ClassVar[int] = 1
    uses_past: ClassVar[bool] = True

    def up(self, prediction, source, target, past, z):
        fresh = self._fresh(target, source)
        if past is None or fresh == 0 or source.sigma == 0:
            return prediction.at(target)
        excess = (math.sqrt(1 - fresh * fresh) - 1) * prediction.eps + fresh * past.z()
        return prediction.at(target) - target.alpha * source.r * excess

    @property
    def without_inversion(self):
        return EulerAncestral(self.eta)
