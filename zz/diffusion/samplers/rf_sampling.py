"""Reflective flow sampling (2026, arXiv:2603.06165): there by a stronger text, back by a weaker one, merged.

Before each of the first lambda steps the latent goes k nodes down and up again, and is moved a part of the way to where
that led:

    x <- x + merge (up(down(x, k; strong), k; weak) - x)

What the two texts are is the guidance's matter: `text_mix` weighs the tokens of the prompt. It works on networks that
were distilled for guidance too, which have no unconditional branch.

As their code runs (xie-lab-ml/FreeLunchInference, commit fcee0f8) a move up by the prediction told t_j has the length
of the step above it, s_(j-1) - s_j, in place of its own: `inversion=as_run`. There the last k - 1 steps are reflected
over fewer nodes; here they are not reflected.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.leg import Leg
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.validate import READING, Proportion


@dataclass(frozen=True)
class RFSampling(Reflecting):
    """Reflective flow sampling. Their values: k = 2 for FLUX.1-lite, 1 for FLUX.1-dev and Stable Diffusion 3.5.

    gamma1:    guidance of every move
    lambda_:   how many steps, from the noisiest, are reflected; None: T - k
    k:         nodes that one reflection goes down and up
    merge:     how far towards the reflected latent
    inversion: exact, or as_run
    """

    name: ClassVar[str] = "rf_sampling"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    gamma1: float = 5.5
    lambda_: int | None = None
    k: int = 1
    merge: Proportion = 0.5
    inversion: Literal["exact", "as_run"] = field(default="exact", metadata=READING)  # type: ignore[assignment]

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        for i in range(walk.T):
            for _ in range(self.rounds_at(i, walk.T)):
                y = walk.down(x, i, self.gamma1, self.k, leg=Leg.STRONG)
                y = self._back(walk, y, i)
                x = x + self.merge * (y - x)
            x = walk.down(x, i, self.gamma1)
        return x

    def _back(self, walk: Walk, y: Tensor, i: int) -> Tensor:
        if self.inversion == "exact":
            return walk.up(y, i, self.gamma1, self.k)
        for j in reversed(range(max(i, 1), i + self.k)):  # above the first node there is none
            y = walk.leap(y, j, j - 1, self.gamma1)
        return y

    @property
    def repeats(self) -> int:
        return 1

    def nfe(self, T: int) -> int:
        missing = 1 if self.inversion == "as_run" and self.k and self.reflected(T) else 0
        return super().nfe(T) - missing

    def resolve(self, T: int) -> Sampler:
        return super().resolve(T) if self.merge else Standard(self.gamma1)

    @property
    def legs(self) -> frozenset[Leg]:
        return frozenset((Leg.ZIG, Leg.STRONG, Leg.ZAG))

    def check(self, guidance: Guidance) -> None:
        super().check(guidance)
        if not guidance.by_leg:
            raise ValueError(
                "sampler=rf_sampling goes down by one text and up by another; choose guidance=text_mix, around another "
                "by guidance@guidance.inner=embedded"
            )


__all__ = ["RFSampling"]
