"""What a network said about a latent, and the one formula that moves a latent with it.

A `Prediction` holds both ends of the line `x = alpha * x0 + sigma * eps` through the latent, so that
moving to any noise level divides by nothing, in either direction, at either end of the schedule.
"""

from typing import NamedTuple, TypeGuard

from torch import Tensor

from zz.diffusion.schedule import Node

Gamma = float | Tensor  # a guidance scale: one for all pictures, or (B,), one each


def one_branch(gamma: Gamma) -> TypeGuard[float]:
    """Whether one branch answers at this scale: 0 is unconditional, 1 conditional; a scale a picture takes both."""
    return not isinstance(gamma, Tensor) and gamma in (0, 1)


def unprompted(gamma: Gamma) -> bool:
    """Whether only the unconditional branch answers at this scale."""
    return not isinstance(gamma, Tensor) and gamma == 0


def per_picture(weight: Gamma, x: Tensor) -> Gamma:
    """A scale a picture, shaped to multiply latents x  # (B,) -> (B, 1, ..., 1)"""
    flat = isinstance(weight, Tensor) and weight.ndim == 1
    return weight.to(x).view(-1, *(1,) * (x.ndim - 1)) if isinstance(weight, Tensor) and flat else weight


class Prediction(NamedTuple):
    """The clean latent and the noise that a network sees in a latent."""

    x0: Tensor  # (B, C, H, W) or (B, C, F, H, W)
    eps: Tensor  # same shape

    def at(self, node: Node) -> Tensor:
        """The latent on this line at `node`: DDIM with eta = 0 (Song et al. 2021, Eq. 12).

        Towards clean it denoises; towards noise, with the same formula, it inverts.
        """
        return node.alpha * self.x0 + node.sigma * self.eps

    @property
    def unguided(self) -> Tensor:
        """x0 of the prediction that eps is of: x0 itself, but where a guidance takes the two from different ones."""
        return self.x0

    def since(self, before: "Prediction") -> Tensor:
        """How x0 has changed since an earlier prediction: what a multistep solver extrapolates."""
        return self.x0 - before.x0

    def lerp(self, other: "Prediction", weight: Gamma) -> "Prediction":
        """From this prediction towards `other`; a weight above 1 goes beyond it. weight: float, (B,), or as x0"""
        return self.pushed(weight, other, self)

    def pushed(self, weight: Gamma, towards: "Prediction", away: "Prediction") -> "Prediction":
        """This prediction, moved by so much of the way from `away` to `towards`."""
        w = per_picture(weight, self.x0)
        return Prediction(self.x0 + w * (towards.x0 - away.x0), self.eps + w * (towards.eps - away.eps))


def from_eps(x: Tensor, node: Node, eps: Tensor) -> Prediction:
    """A network that predicts the noise (Ho et al. 2020). It says nothing at alpha = 0."""
    if node.alpha == 0:
        raise ValueError("an eps-prediction has no x0 at alpha = 0 (zero terminal SNR); it needs a v or x0 network")
    return Prediction((x - node.sigma * eps) / node.alpha, eps)


def from_x0(x: Tensor, node: Node, x0: Tensor) -> Prediction:
    """A network that predicts the clean latent. It says nothing about the noise at sigma = 0."""
    if node.sigma == 0:
        raise ValueError("an x0-prediction has no eps at sigma = 0; let lambda stop before the clean node")
    return Prediction(x0, (x - node.alpha * x0) / node.sigma)


def from_v(x: Tensor, node: Node, v: Tensor) -> Prediction:
    """v = alpha * eps - sigma * x0, for alpha^2 + sigma^2 = 1 (Salimans & Ho 2022, Appendix D).

    With `node.v_at` set, the noise is read off at that level and x0 then follows from where the latent is.
    """
    if node.v_at is None:
        return Prediction(node.alpha * x - node.sigma * v, node.sigma * x + node.alpha * v)
    return from_eps(x, node, node.v_at.sigma * x + node.v_at.alpha * v)


def from_velocity(x: Tensor, node: Node, u: Tensor) -> Prediction:
    """u = eps - x0, for alpha + sigma = 1 (rectified flow; Liu et al. 2023)."""
    return Prediction(x - node.sigma * u, x + node.alpha * u)
