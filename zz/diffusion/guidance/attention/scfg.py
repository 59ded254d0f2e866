"""Semantic-aware classifier-free guidance (Shen et al. 2024, arXiv:2404.05384), by its authors' code.

The network's own attention cuts the picture into one region for each token and into foreground and background.
Guidance is scaled so that every region is guided as strongly as the foreground is:

    eps = eps_u + gamma * rate * (eps_c - eps_u),   rate = mean of d in the foreground / mean of d in the region

with d = |eps_c - eps_u| at each place. (Their cross-attention is refined by (S + 3 S S) / 4; their paper's is a mean of
powers of S.) Maps and rates are smoothed over 3 x 3 places by what they call a Gaussian of deviation .5. It is computed
as exp(-(d / (2 * .5))^2), whose deviation is .71; `blur` says which of the two is meant.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from zz.diffusion.guidance.attention.blur import blur
from zz.diffusion.guidance.attention.tap import Attention, Tapped
from zz.diffusion.guidance.base import Guidance, Needs
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided
from zz.diffusion.prediction import Gamma, one_branch, per_picture
from zz.diffusion.validate import READING, Positive

LOW, HIGH, MOST = 0.8, 3.0, 15.0  # of rate, and of gamma * rate
SIGMA = 0.5  # of the blur, in places


@dataclass(frozen=True)
class SCFG(Guidance):
    """At gamma = 0 and 1 it is classifier-free guidance, as it is where there is no foreground.

    reduction: layers are read whose grid is the latent's, reduced so many times or more; the authors' is 4, for a U-Net
               over latents of 64 x 64
    zag:       whether the rate is there on the way up too; without it the zag is plain guidance
    blur:      `named` has the deviation that the authors' code names, .5; `computed` the one that it computes, .71
    """

    reduction: Positive = 4
    zag: bool = False
    blur: Literal["named", "computed"] = field(default="named", metadata=READING)
    version: ClassVar[int] = 1

    @property
    def needs(self):
        return Needs(taps=True)

    def bind(self, net, cond, uncond):
        cfg = CFG().bind(net, cond, uncond)

        def guided(x, node, gamma, leg):
            if one_branch(gamma) or not self._on(leg):
                return cfg(x, node, gamma, leg)
            taps = [_Maps(x.shape[-2:], self.reduction, self._sigma) for _ in (uncond, cond)]
            tapped = [Tapped(one, tap, ("self", "text"), "all") for one, tap in zip((uncond, cond), taps, strict=True)]
            u, c = net(x, node, *tapped)
            regions, ground = taps[1].tokens().argmax(1), taps[0].ground().argmax(1)  # (B, h, w)
            rate = rates((c.eps - u.eps).norm(dim=1), regions, ground == 1, per_picture(gamma, x), self._sigma)
            return u.lerp(c, per_picture(gamma, x) * rate)

        return Guided(guided, cfg.look)

    def evals(self, gamma, node, leg):
        return 1 if one_branch(gamma) else 2

    @property
    def affine(self):
        return False

    @property
    def _sigma(self) -> float:
        return SIGMA if self.blur == "named" else SIGMA * math.sqrt(2)

    def _on(self, leg: Leg) -> bool:
        return self.zag or leg is not Leg.ZAG


def rates(d: Tensor, regions: Tensor, foreground: Tensor, gamma: Gamma, sigma: float = SIGMA) -> Tensor:
    """What guidance is multiplied by at each place, (B, 1, H, W).

    d:          (B, H, W), how far the branches are apart
    regions:    (B, h, w), the number of each place's region
    foreground: (B, h, w), whether it is foreground
    sigma:      of the blur, in places
    """

    def mean(of: Tensor) -> Tensor:
        return (d[:, None] * of).sum((2, 3)) / of.sum((2, 3)).clamp(min=1)

    masks = one_hot(regions).movedim(-1, 1).to(d.dtype)  # (B, regions, h, w)
    masks, front = (interpolate(m.to(d.dtype), d.shape[-2:]) for m in (masks, foreground[:, None]))
    # Where nothing differs, and where there is no foreground, guidance stays what it is.
    there = (masks * mean(masks)[:, :, None, None]).sum(1, keepdim=True)
    rate = mean(front)[:, :, None, None] / there.clamp(min=torch.finfo(d.dtype).tiny)
    rate = torch.where((there > 0) & front.any((2, 3), keepdim=True), rate, 1.0)
    most = MOST / (gamma.abs() if isinstance(gamma, Tensor) else abs(gamma))
    return blur(rate.clamp(LOW, HIGH).clamp(max=most), sigma, 1)


class _Maps:
    """A tap that adds up where a condition's tokens are seen, over the layers that are coarse enough.

    All are brought to the grid of the first, which in a U-Net is the finest of them.
    """

    def __init__(self, latent: torch.Size, reduction: int, sigma: float) -> None:
        self.latent, self.reduction, self.sigma = latent, reduction, sigma
        self.refine: Tensor | None = None  # of the layer under way: (B, h * w, h * w)
        self.maps: list[Tensor] = []  # of each layer: (B, tokens, h, w)

    def __call__(self, attention: Attention) -> None:
        h, w = attention.grid
        if max(self.latent) < self.reduction * max(h, w):
            return
        if attention.to == "self":
            S = attention.weights()
            self.refine = (S + 3 * S @ S) / 4
        elif self.refine is not None:
            maps = (self.refine @ attention.weights()).mT.unflatten(2, (h, w))
            if self.maps and maps.shape != self.maps[0].shape:
                maps = interpolate(maps, self.maps[0].shape[-2:], mode="bilinear")
            self.maps.append(blur(maps, self.sigma, 1))
            self.refine = None

    def tokens(self) -> Tensor:
        """How much each token is seen at each place, 1 in the mean over places: (B, tokens, h, w)."""
        return self._mean(self.maps)

    def ground(self) -> Tensor:
        """The same of the beginning of the text, which stands for the background, and of all the rest of it."""
        return self._mean([torch.stack([m[:, 0], m[:, 1:].sum(1)], 1) for m in self.maps])

    def _mean(self, maps: list[Tensor]) -> Tensor:
        if not maps:
            h, w = self.latent
            raise ValueError(
                f"guidance.reduction={self.reduction}: no layer's grid is the latent's {h}x{w} reduced so far; lower it"
            )
        return torch.stack([m / (m.mean((2, 3), keepdim=True) + 1e-8) for m in maps]).mean(0)
