"""RePaint's resampling (Lugmayr et al. 2022, arXiv:2201.09865, its jumps), without a mask.

Whenever the way down reaches a node whose distance from the last but one is a multiple of `jump`, it is noised anew
over `jump` nodes, x_t = alpha_t / alpha_s * x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s * sigma_s)^2) * z for each, and
walks that stretch again. The paper does so to bring what lies under a mask and beside it into harmony; here there
is no mask, and what is left is its resampling, beside which zigzag inverts instead of noising.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.validate import Positive


@dataclass(frozen=True)
class RePaint(Sampler):
    """RePaint's jumps: stretches of the way down are noised anew and walked again.

    gamma1: guidance of every step down
    jump:   how many nodes it goes back at once (the paper's j)
    passes: how often each stretch of `jump` nodes is walked down (the paper's r); 1 is standard sampling
    """

    name: ClassVar[str] = "repaint"
    version: ClassVar[int] = 1

    gamma1: float = 5.5
    jump: Positive = 10
    passes: Positive = 10

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        for i, down in self.moves(walk.T):
            x = walk.down(x, i, self.gamma1) if down else walk.renoise(x, i)
        return x

    def nfe(self, T: int) -> int:
        return T + self.jump * (self.passes - 1) * len(self._landings(T))

    def resolve(self, T: int) -> Sampler:
        if self.passes == 1 or not self._landings(T):
            return Standard(self.gamma1)
        return Resampling(self.gamma1, T - 1, self.passes - 1) if self.jump == 1 else self

    def moves(self, T: int) -> Iterator[tuple[int, bool]]:
        """Yield `(i, down)`: a move between nodes i and i + 1, down or back up, from node 0 to node T."""
        left = Counter(dict.fromkeys(self._landings(T), self.passes - 1))
        i = 0
        while i < T:
            yield i, True
            i += 1
            if left[i]:
                left[i] -= 1
                for _ in range(self.jump):
                    i -= 1
                    yield i, False

    def _landings(self, T: int) -> range:
        """The nodes that are jumped back from: T - 1, T - 1 - jump, ... as long as there are `jump` nodes above."""
        return range(T - 1, self.jump - 1, -self.jump)
