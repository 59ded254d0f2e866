"""Transcendent diffusion guidance (Xie et al. 2026, "Guidance Matters", arXiv:2602.22570): a placebo.

Its authors made it to show that a method can win by preference scores and add nothing. A weak prompt, of which a half
is replaced by the null prompt at random, has a prediction m beside u and c; with w = factor * gamma and b = balance

    (u + m) / 2 + w b / (1 + b) (c - u) + w / (1 + b) |c - u| / |c - m| (c - m)

so that about `factor` times the guidance is asked for, a part of it in another direction. This is `forward_v3` of
their code (Maxwells-Demons/Guidance-Matters, commit 837dcdd, pipelines/sdxl_tdg.py), with their scales.

What the weak prompt lacks: by the paper it is tokens, `nulls=tokens`. Their code for SDXL nulls half of the components
of the encoded prompt, the same ones in all tokens, and half of those of the pooled vector: `nulls=components`.

Ours: with `tokens` they are nulled after encoding, any of the positions that the network reads, for those of the start
and of the end hold a part of the prompt, too; the pooled vector loses components in both. The half is drawn from the
picture's seed, once a trajectory (theirs from torch's global generator). On the way up, which the authors have not, it
is plain guidance unless `zag` is set.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zz.diffusion.guidance.base import Guidance, Needs
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.noise import key
from zz.diffusion.prediction import one_branch
from zz.diffusion.validate import Proportion


@dataclass(frozen=True)
class TDG(Guidance):
    """At gamma = 0 and 1 it is classifier-free guidance. It reads an encoded prompt, (B, tokens, width).

    factor:  of gamma: 1.8 for SDXL, 1.6 for Stable Diffusion 3.5
    balance: what is guided by the null prompt, over what is by the weak one: 2.6 for SDXL, 2.4 for Stable Diffusion 3.5
    share:   of the prompt that is nulled, rounded down
    nulls:   `tokens`, or `components` of every token; of a pooled vector components in both
    zag:     whether it is there on the way up too
    """

    factor: float = 1.8
    balance: float = 2.6
    share: Proportion = 0.5
    nulls: Literal["tokens", "components"] = "tokens"
    zag: bool = False
    version: ClassVar[int] = 1

    @property
    def needs(self):
        return Needs(tokens=True)

    def for_seeds(self, seeds):
        return _Seeded(self.factor, self.balance, self.share, self.nulls, self.zag, tuple(seeds))

    def bind(self, net, cond, uncond):
        cfg, weak = CFG().bind(net, cond, uncond), self._weak(cond, uncond)

        def guided(x, node, gamma, leg):
            if one_branch(gamma) or not self._on(leg):
                return cfg(x, node, gamma, leg)
            u, c, m = net(x, node, uncond, cond, weak)
            wide, narrow = (c.eps - u.eps).flatten(1).norm(dim=1), (c.eps - m.eps).flatten(1).norm(dim=1)  # (B,)
            longer = torch.where(narrow > 0, wide / narrow, 0.0)
            w, b = self.factor * gamma, self.balance
            return u.lerp(m, 0.5).pushed(w * b / (1 + b), c, u).pushed(w / (1 + b) * longer, c, m)

        return Guided(guided, cfg.look)

    def evals(self, gamma, node, leg):
        return 1 if one_branch(gamma) else 2 + self._on(leg)

    @property
    def affine(self):
        return False

    def _on(self, leg: Leg) -> bool:
        return self.zag or leg is not Leg.ZAG

    def _weak(self, cond: Any, uncond: Any) -> Any:
        """The weak prompt: a tensor, or a tuple of tensors, as the prompt is."""
        if not isinstance(cond, Tensor):
            return type(cond)(*map(self._weak, cond, uncond))
        pooled = cond.ndim == 2  # (B, width), else (B, tokens, width)
        n = cond.shape[1 if self.nulls == "tokens" and not pooled else -1]
        null = torch.stack([_drawn(seed, n, int(self.share * n)) for seed in self._seeds(len(cond))]).to(cond.device)
        if not pooled:
            null = null.unsqueeze(-1 if self.nulls == "tokens" else 1)
        return torch.where(null, uncond, cond)

    def _seeds(self, n: int) -> tuple[int, ...]:
        """What the half of each picture is drawn by; the same of all where no seeds are known."""
        return (0,) * n


@dataclass(frozen=True)
class _Seeded(TDG):
    """For the pictures of these seeds."""

    seeds: tuple[int, ...] = ()

    def _seeds(self, n: int) -> tuple[int, ...]:
        return self.seeds


def _drawn(seed: int, n: int, k: int) -> Tensor:
    """k of n places, at random.  # (n,) bool"""
    return torch.randperm(n, generator=torch.Generator().manual_seed(key(seed, "tdg", n))) < k


__all__ = ["TDG"]
