"""The two faces of a network: a `Denoiser` with its conditions open, and `Guided`, all that a sampler ever sees."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.prediction import Gamma, Prediction, one_branch
from zz.diffusion.schedule import Node


class Denoiser(Protocol):
    """A network as a function: one prediction a condition, in one batched pass.

    Some take `Tapped` or `ScaledCond` conditions.
    """

    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]: ...


class Branches(NamedTuple):
    """The predictions without and with the prompt at one latent, from which an affine guidance reads every scale."""

    u: Prediction
    c: Prediction

    def at(self, gamma: Gamma) -> Prediction:
        """u + gamma * (c - u), to the bit what a guided prediction would be."""
        return (self.u, self.c)[int(gamma)] if one_branch(gamma) else self.u.lerp(self.c, gamma)

    @property
    def gap(self) -> Tensor:
        """eps_c - eps_u: what the prompt adds to eps.  # (B, C, [F,] H, W)"""
        return self.c.eps - self.u.eps


Predict = Callable[[Tensor, Node, Gamma, Leg], Prediction]
Look = Callable[[Tensor, Node, Leg], Branches]


class Guided:
    """A denoiser with its prompts bound and a guidance chosen. Most guidances answer alike on every leg.

    predict: one guided prediction at (x, node, gamma, leg)
    look:    both branches at (x, node, leg) in one pass, whatever the guidance makes of them; by default two
             predictions, at gamma 0 and 1
    """

    def __init__(self, predict: Predict, look: Look | None = None) -> None:
        self._predict, self._look = predict, look

    @classmethod
    def of(cls, denoise: "Guided | Predict") -> "Guided":
        """As it is, or around a plain function."""
        return denoise if isinstance(denoise, Guided) else cls(denoise)

    def __call__(self, x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
        return self._predict(x, node, gamma, leg)

    def look(self, x: Tensor, node: Node, leg: Leg) -> Branches:
        """Both branches at once."""
        if self._look is not None:
            return self._look(x, node, leg)
        return Branches(self(x, node, 0.0, leg), self(x, node, 1.0, leg))
