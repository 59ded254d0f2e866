"""What samplers that reflect the first lambda steps have in common: how many, what they cost, what they amount to."""

from dataclasses import replace
from typing import Any, Self, cast

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Inversion


class Reflecting(Sampler):
    """Before each of the first lambda steps the latent is reflected `rounds` times; the rest is standard sampling."""

    lambda_: int | None  # how many steps, from the noisiest, are reflected; None: T - k
    rounds: int  # reflections a step
    k: int = 1  # nodes that one reflection goes back
    inversion: Inversion = "exact"  # ref_0_22 needs one node more below

    @property
    def per_reflection(self) -> int:
        """Guided predictions that one reflection takes."""
        return 2 * self.k

    def reflected(self, T: int) -> int:
        """lambda over T steps, its default filled in. Raises ValueError unless the reflections fit."""
        k = self.k
        if k > T:
            raise ValueError(f"k={k} nodes back do not fit into steps={T}; lower k or raise steps")
        lambda_ = T - k if self.lambda_ is None else self.lambda_
        most = T - k + (1 if self.inversion == "exact" and k > 0 else 0)
        if lambda_ > most:
            why = f"inversion={self.inversion}" if "inversion" in vars(self) else f"sampler={self.name}"
            raise ValueError(
                f"lambda={lambda_} is too many: at steps={T} and k={k} {why} allows 0..{most}; "
                "lower lambda or raise steps"
            )
        return lambda_

    @property
    def repeats(self) -> int:
        """Reflections a step."""
        return self.rounds

    def rounds_at(self, i: int, T: int) -> int:
        """How often step i is reflected: `rounds` times in the first lambda steps, then never."""
        return self.repeats if i < self.reflected(T) else 0

    def nfe(self, T: int) -> int:
        return T + self.per_reflection * self.repeats * self.reflected(T)

    def resolve(self, T: int) -> Sampler:
        lambda_ = self.reflected(T)
        if lambda_ == 0 or self.k == 0 or self.repeats == 0:
            return Standard(self.gamma1)
        return self._with(lambda_=lambda_)

    def _with(self, **fields: Any) -> Self:
        return cast(Self, replace(cast(Any, self), **fields))
