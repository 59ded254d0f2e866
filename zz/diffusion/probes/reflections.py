"""Theorems 1-3 of Bai et al. 2025, measured along a trajectory rather than assumed.

For one leg of a reflection, between the noisier node t and the cleaner node s, the exact identity is

    x~_t = x_t + alpha_t * h_t * (eps_inv - eps_den),   h_t = sigma_t / alpha_t - sigma_s / alpha_s > 0

(the paper's Eq. 22 prints the other sign, which its squares forgive), and eps_den - eps_inv = tau1 + tau2. The
paper goes on from sum |tau|^2 >= |sum tau|^2, which does not hold in general; so both sums are reported.

A guidance may answer off the line x = alpha * x0 + sigma * eps, as CFG++ does. Each eps above is then the one that a
move follows: y = x / alpha goes down by h_t * eps_den and back up by h_t * eps_inv.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.prediction import Prediction
from zz.diffusion.probes.step import Step
from zz.diffusion.schedule import Node


class Reflected(NamedTuple):
    """One leg up, measured. Per image, (B,), float64."""

    i: int  # step index
    tau1: Tensor  # |eps_gamma1(x_t) - eps_gamma2(x_t)|^2, the semantic term
    tau2: Tensor  # |eps_gamma2(x_t) - eps_gamma2(x_s)|^2, the approximation error
    gain: Tensor  # |alpha_t * h_t * (tau1 + tau2)|^2, this leg's share of Theorem 2's sum
    semantic: Tensor  # |alpha_t * h_t * tau1|^2, this leg's share of Theorem 3's sum


class Reflections:
    """A probe for zigzag (Theorem 2) and end_to_end (Theorem 1). Its extra calls are not part of nfe.

    One probe measures one batch; a second trajectory through it raises ValueError.

    legs:           one `Reflected` per leg up
    delta:          (B,) sum over reflections of |x_t - x~_t|^2, measured on the latents: delta_ZSampling of
                    Eq. 10, or delta_end2end of Eq. 9 where one reflection spans all steps
    sum_of_squares: (B,) sum over legs of |d|^2, and
    square_of_sum:  (B,) |sum over legs of d|^2, for d = alpha_top * h_t * (tau1 + tau2), the latent difference
                    that a leg contributes at its reflection's noisiest node
    """

    def __init__(self) -> None:
        self.legs: list[Reflected] = []
        self.delta: Tensor = torch.zeros(())
        self.sum_of_squares: Tensor = torch.zeros(())
        self._sum: Tensor | None = None
        self._denoise: object = None
        self._descent: dict[int, Step] = {}
        self._ascent: list[tuple[Node, Node, Tensor]] = []  # (t, s, tau1 + tau2) of the reflection under way

    @property
    def square_of_sum(self) -> Tensor:
        return torch.zeros(()) if self._sum is None else _square(self._sum)

    def __call__(self, step: Step) -> None:
        if self._denoise not in (None, step.denoise):
            raise ValueError("zz.Reflections measures one batch; make one for each, or leave batch_size alone")
        self._denoise = step.denoise
        if step.leg in (Leg.ZIG, Leg.STRONG):
            if self._ascent:
                self._close(step)
            self._descent[step.i] = step
        elif step.leg is Leg.ZAG:
            down = self._descent[step.i]
            t, s = down.source, down.target
            weak = step.denoise(down.x, t, step.gamma, step.leg)
            scale = t.sigma - t.alpha * s.r  # alpha_t * h_t, finite at alpha_t = 0
            den = down.prediction.eps + _off(down.prediction, down.x, t) / scale
            asked_at_t = weak.eps - _off(weak, down.x, t) * (t.alpha * s.r / t.sigma) / scale
            inv = step.prediction.eps - _off(step.prediction, step.x, step.source) * (t.alpha / s.alpha) / scale
            tau1, tau2 = den - asked_at_t, asked_at_t - inv
            self._ascent.append((t, s, (tau1 + tau2).double()))
            gain, semantic = _square(scale * (tau1 + tau2)), _square(scale * tau1)
            self.legs.append(Reflected(step.i, _square(tau1), _square(tau2), gain, semantic))

    def _close(self, step: Step) -> None:
        """A step down starts where the way up ended: `step.x` is x~ there."""
        top = self._descent[step.i]
        self.delta = self.delta + _square(top.x - step.x)
        alpha = top.source.alpha
        for t, s, tau in self._ascent:
            at_top = t.sigma if t is top.source else alpha * t.r
            d = (at_top - alpha * s.r) * tau
            self.sum_of_squares = self.sum_of_squares + _square(d)
            self._sum = d if self._sum is None else self._sum + d
        self._ascent = []


def _off(prediction: Prediction, x: Tensor, node: Node) -> Tensor:
    """How far x lies off the line of a prediction made at it; zero where that is rounding."""
    off = x - prediction.at(node)
    rounding = 1000 * torch.finfo(x.dtype).eps * x.abs().max()
    return torch.zeros_like(off) if off.abs().max() <= rounding else off


def _square(x: Tensor) -> Tensor:
    return x.double().flatten(1).square().sum(1)
