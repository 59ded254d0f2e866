"""Frequency-decoupled guidance (Sadat et al. 2025, arXiv:2506.19713): less of it at low frequencies than at high ones.

With c - u parted by a Laplacian pyramid, u + gamma (high + low * low frequencies): the authors' 10 and 5 for SDXL are
gamma = 10 and low = 0.5.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from zz.diffusion.guidance.pair import PairGuidance
from zz.diffusion.leg import Leg
from zz.diffusion.outputs import Output
from zz.diffusion.validate import Range

KERNEL = (1.0, 4.0, 6.0, 4.0, 1.0)  # Burt and Adelson's, as kornia has it


@dataclass(frozen=True)
class FDG(PairGuidance):
    """At gamma = 1 it is not c, but where low is 1. Of a clip each frame is parted by itself.

    low:    guidance of low frequencies over that of high ones
    levels: how often the picture is halved before what is left counts as low
    output: what u and c are; the paper takes the clean latent, diffusers what its network predicts
    """

    low: float = 0.5
    levels: Annotated[int, Range(1, 4)] = 1
    output: Output = "x0"
    version: ClassVar[int] = 1
    conditional: ClassVar[bool] = False

    def pair(self):
        def made(u: Tensor, c: Tensor, leg: Leg) -> tuple[Tensor, Tensor]:
            d = c - u
            return u, u + d + (self.low - 1) * low_frequencies(d, self.levels)

        return made


def low_frequencies(x: Tensor, levels: int) -> Tensor:
    """What of latents (B, C, [F,] H, W) is left of them `levels` halvings down, enlarged again."""
    if x.ndim == 5:
        frames = x.transpose(1, 2)
        return low_frequencies(frames.flatten(0, 1), levels).unflatten(0, frames.shape[:2]).transpose(1, 2)
    sizes, small = [], x
    for _ in range(levels):
        sizes.append(small.shape[-2:])
        height, width = (max(1, side // 2) for side in sizes[-1])
        small = interpolate(_blurred(small), (height, width), mode="bilinear", align_corners=False)
    for size in reversed(sizes):
        small = _blurred(interpolate(small, tuple(size), mode="bilinear", align_corners=False))
    return small


def _blurred(x: Tensor) -> Tensor:
    line = torch.tensor(KERNEL, dtype=x.dtype, device=x.device)
    kernel = (line[:, None] * line / line.sum() ** 2).expand(x.shape[1], 1, 5, 5)
    mode = "reflect" if min(x.shape[-2:]) > 2 else "replicate"
    return conv2d(pad(x, (2, 2, 2, 2), mode=mode), kernel, groups=x.shape[1])


__all__ = ["FDG", "low_frequencies"]
