"""The control that every comparison carries: is it more than guidance?

To first order in the step, one reflection and the step after it are one standard step at guidance
2 * gamma1 - gamma2: in y = x / alpha they move y by -h * (2 * eps_gamma1 - eps_gamma2), and u + gamma * (c - u)
is affine in gamma.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.schedule import Nodes


@dataclass(frozen=True)
class GuidanceMatched(Reflecting):
    """Standard sampling at the guidance that a zigzag amounts to, to first order, at each step:

        gamma_i = gamma1 + [i < lambda] * rounds * (gamma1 - gamma2) * w_i,   w_i = sum_{j<k} h_{i+j} / h_i

    with h the step in r = sigma / alpha. For k = rounds = 1 that is 2 * gamma1 - gamma2. It needs a guidance
    that is affine in gamma. The fields are those of the zigzag that it stands beside, of either inversion.
    """

    name: ClassVar[str] = "guidance_matched"
    version: ClassVar[int] = 1
    affine: ClassVar[bool] = True
    is_control: ClassVar[bool] = True

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    k: int = 1
    rounds: int = 1

    @classmethod
    def of(cls, sampler: Sampler) -> "GuidanceMatched | None":
        """The control of a sampler; None where none is known."""
        if not sampler.guidance_matched:
            return None
        like = cast(GuidanceMatched, sampler)  # a reflection with these fields
        return cls(like.gamma1, like.gamma2, like.lambda_, like.k, like.rounds)

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        for i in range(walk.T):
            reflected = self.rounds_at(i, walk.T) > 0
            x = walk.down(x, i, self._gamma(walk.nodes, i) if reflected else self.gamma1)
        return x

    def nfe(self, T: int) -> int:
        self.reflected(T)
        return T

    def resolve(self, T: int) -> Sampler:
        return Standard(self.gamma1) if self.gamma1 == self.gamma2 else super().resolve(T)

    def _gamma(self, nodes: Nodes, i: int) -> float:
        t, r = nodes[i], [node.r for node in nodes]
        w = (t.sigma - t.alpha * r[i + self.k]) / (t.sigma - t.alpha * r[i + 1])  # finite at alpha = 0
        return self.gamma1 + self.rounds * (self.gamma1 - self.gamma2) * w
