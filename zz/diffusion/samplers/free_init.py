"""FreeInit (Wu et al., ECCV 2024, arXiv:2312.07537): sample again, from a start whose low frequencies are the result's.

A network trained on noised clips has seen starts that still hold a clip's low frequencies; pure noise holds none, and
frames come out less alike than they should. So what was sampled is noised again, with the very noise that it began
with, and its low frequencies replace those of fresh noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.leg import Leg
from zz.diffusion.noise import Noise
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.validate import Positive, Range


@dataclass(frozen=True)
class FreeInit(Sampler):
    """FreeInit around another sampler: it is run several times, each from the low frequencies of the last result.

    What an iteration ends with, at node T, is taken as x_0 as it stands, as decoding takes it. Noised again it is
    alpha * x + sigma * x_T; where alpha = 0, as in rectified flow, that is x_T: nothing is handed on.

    inner:      the sampler that every iteration runs
    iterations: how often it is run; 1 is the inner sampler itself
    order:      of the Butterworth filter, 1 / (1 + d^(2 order)); the higher, the sharper its edge at d = 1
    spatial:    cut-off over height and width, as a share of the highest frequency there is, in (0, 1]
    temporal:   cut-off over frames, likewise; pictures have none
    diffuse:    the level that a result is noised to: the `last` that the network was trained on, as the authors' code
                and diffusers do, or `node` 0, where the next iteration begins. Under leading spacing node 0 is the
                cleaner of the two; under linspace and trailing they are one.
    """

    name: ClassVar[str] = "free_init"
    version: ClassVar[int] = 2  # 2: noised to the last level by default

    inner: Sampler = field(default_factory=Zigzag)
    iterations: Positive = 3
    order: Positive = 4
    spatial: Annotated[float, Range(1e-3, 1)] = 0.25
    temporal: Annotated[float, Range(1e-3, 1)] = 0.25
    diffuse: Literal["last", "node"] = "last"

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Sampler) or isinstance(self.inner, FreeInit):
            raise ValueError(f"inner={self.inner!r} must be a sampler other than FreeInit, such as zz.Zigzag()")
        super().__post_init__()

    @property
    def standard_gamma(self) -> float:
        return self.inner.standard_gamma

    @property
    def legs(self) -> frozenset[Leg]:
        return self.inner.legs

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        level, noise, x_T = walk.nodes[0] if self.diffuse == "node" else walk.nodes.levels.noisiest, walk.noise, x
        x = self.inner.trajectory(walk, x_T)
        for k in range(1, self.iterations):
            start = self._mixed(level.alpha * x + level.sigma * x_T, noise(0, "free_init", k).to(x))
            x = self.inner.trajectory(walk.again(_anew(noise, k)), start)
        return x

    def nfe(self, T: int) -> int:
        return self.iterations * self.inner.nfe(T)

    def resolve(self, T: int) -> Sampler:
        inner = self.inner.resolve(T)
        return inner if self.iterations == 1 else replace(self, inner=inner)

    def on(self, others: frozenset[Leg]) -> Sampler:
        return replace(self, inner=self.inner.on(others))

    def check(self, guidance: Guidance) -> None:
        self.inner.check(guidance)

    def _mixed(self, low: Tensor, high: Tensor) -> Tensor:
        """`high`, with its low frequencies replaced by those of `low`: (B, C, h, w) or (B, C, F, h, w)."""
        shape = low.shape[2:]
        cutoffs = (*[self.temporal] * (len(shape) - 2), self.spatial, self.spatial)
        axes, gain = tuple(range(2, low.ndim)), low_pass(shape, cutoffs, self.order).to(low.device, torch.float32)
        there = torch.fft.rfftn((low - high).float(), dim=axes)
        return high + torch.fft.irfftn(gain * there, s=shape, dim=axes).to(high)


def low_pass(shape: Sequence[int], cutoffs: Sequence[float], order: int) -> Tensor:
    """The gain of each frequency of a real FFT over `shape`: 1 at the mean, one half where d = 1, float64.

    d^2 sums (frequency / cut-off)^2 over the axes, 1 being the highest frequency. At an even length these are the
    frequencies of the authors' code; at an odd one theirs lie half a frequency off, and the mean is not kept.
    """
    d2 = torch.zeros((), dtype=torch.float64)
    for axis, (n, cutoff) in enumerate(zip(shape, cutoffs, strict=True)):
        frequencies = torch.fft.rfftfreq if axis == len(shape) - 1 else torch.fft.fftfreq
        along = [-1 if i == axis else 1 for i in range(len(shape))]
        d2 = d2 + (2 * frequencies(n, dtype=torch.float64) / cutoff).square().view(along)
    return 1 / (1 + d2**order)


def _anew(noise: Noise, k: int) -> Noise:
    """What a stochastic solver draws in iteration k: no noise twice."""
    return lambda step, leg, round: noise(step, f"{leg}@{k}", round)
