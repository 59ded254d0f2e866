"""Token perturbation guidance (Rajabi et al. 2025, arXiv:2506.10036): away from a network with its places shuffled.

    u + gamma * (c - u) + scale * (c - p),   p the conditional prediction whose transformer blocks read shuffled places

What a block reads of the picture is put into another order, and stays in it for the blocks that follow. As in their
code (TaatiTeam/Token-Perturbation-Guidance, commit 508f260, pipeline_sdxl_tpg.py); it needs a U-Net. Ours: the order
is drawn by the picture's seed, the noise level and the block, so that it is the same in any batch (theirs is one order
for the whole batch, from torch's global generator). On the way up, which they have not, it is absent unless `zag` is
set.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zz.diffusion.guidance.altered import Altered
from zz.diffusion.guidance.attention.tap import Blocks
from zz.diffusion.guidance.base import Needs
from zz.diffusion.guidance.extra_term import WeakTerm
from zz.diffusion.noise import key


@dataclass(frozen=True)
class TPG(WeakTerm):
    """Its defaults are the authors' for SDXL, which has 24 transformer blocks on the way down.

    scale:  s, as in `ExtraTerm`
    blocks: the part of the network whose transformer blocks are meant: mid, down, up, or all
    first:  the first of them that is shuffled, counted from 0; those after it are too
    zag:    as in `ExtraTerm`
    """

    scale: float = 3.0
    blocks: Blocks = "down"
    first: int = 6
    zag: bool = False
    version: ClassVar[int] = 1

    @property
    def needs(self):
        return Needs(taps=True, inside=True)

    def for_seeds(self, seeds):
        return _Seeded(self.scale, self.blocks, self.first, self.zag, tuple(seeds))

    def weak(self, cond, node):
        def shuffled(hidden: Tensor, block: int) -> Tensor:  # (B, places, width)
            n = hidden.shape[1]
            orders = [_drawn(key(seed, "tpg", str(node.alpha), block), n) for seed in self._seeds(len(hidden))]
            return hidden.gather(1, torch.stack(orders).to(hidden.device).unsqueeze(-1).expand_as(hidden))

        return Altered(cond, lambda inside: inside.feeding(shuffled, self.blocks, self.first))

    def _seeds(self, n: int) -> tuple[int, ...]:
        """What the order of each picture is drawn by; the same of all where no seeds are known."""
        return (0,) * n


@dataclass(frozen=True)
class _Seeded(TPG):
    """For the pictures of these seeds."""

    seeds: tuple[int, ...] = ()

    def _seeds(self, n: int) -> tuple[int, ...]:
        return self.seeds


def _drawn(seed: int, n: int) -> Tensor:
    """An order of n places, at random.  # (n,)"""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


__all__ = ["TPG"]
