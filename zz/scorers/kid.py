"""Kernel Inception Distance (Bińkowski et al., 2018)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from scipy import special

from zz.data.base import Prompt
from zz.diffusion.validate import Positive, Range
from zz.scorers.base import Extract, Features, SetMetric
from zz.scorers.interval import Interval, finite
from zz.scorers.order import SEED, Order, by_hash
from zz.scorers.reference import Reference, check_dimensions


@dataclass(frozen=True)
class KernelDistance(SetMetric):
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3, the mean over subsets; below zero where sets are alike.

    Its interval is that of subsampling: Student's over the subsets' spread, scaled to the number of pictures.

    of:          the features
    against:     the real pictures
    subsets:     how many
    subset_size: pictures of each side in a subset; a smaller set is refused
    order:       torch_fidelity: drawn from the prompts' order by RandomState(2020); hash: the same, from an order by a
                 hash of text and seed; prompt: successive blocks, as many as there are
    """

    has_reference: ClassVar[bool] = True

    of: Features
    against: Reference
    subsets: Positive = 100
    subset_size: Annotated[int, Range(2)] = 1000
    order: Order = "torch_fidelity"
    name: str = "kid"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "squared MMD"
    higher_is_better: ClassVar[bool | None] = False

    @property
    def features(self) -> Features:
        return self.of

    def settings(self):
        fields = {"subsets": self.subsets, "subset_size": self.subset_size, "order": self.order}
        return {"against": self.against.identity(self.name), **fields}

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        return {"features": self.against.features(extract, self.name)}

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        x, y = finite(features, "features"), finite(reference["features"], "reference")
        check_dimensions(self.name, x.shape[1], y.shape[1])
        least = min(len(x), len(y))
        if least < self.subset_size:
            raise ValueError(
                f"scorers.{self.name}.subset_size={self.subset_size} is more than there are: {len(x)} pictures, "
                f"{len(y)} in the reference; make more, or say scorers.{self.name}.subset_size={least} or less"
            )
        if self.order == "hash":
            x = x[by_hash(x, prompts)]
        each = np.array([squared_mmd(x[i], y[j]) for i, j in self._subsets(len(x), len(y))])
        if (n := len(each)) < 2:
            return Interval(float(each.mean()), -math.inf, math.inf)
        # a subset's variance falls to that of the whole as m / N, and the mean over subsets adds its own
        error = each.std(ddof=1) * math.sqrt(min(1.0, self.subset_size / least + 1 / n))
        value, half = float(each.mean()), float(special.stdtrit(n - 1, 0.975) * error)
        return Interval(value, value - half, value + half)

    def _subsets(self, ours: int, theirs: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        m = self.subset_size
        if self.order == "prompt":
            for start in range(0, min(self.subsets, ours // m, theirs // m) * m, m):
                yield np.arange(start, start + m), np.arange(start, start + m)
            return
        rng = np.random.RandomState(SEED)
        for _ in range(self.subsets):
            yield rng.choice(ours, m, replace=False), rng.choice(theirs, m, replace=False)


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Of two sets of equal size, the pairs of one picture with itself left out  # (M, D), (M, D)"""
    m, dimensions = x.shape

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / dimensions + 1) ** 3

    xx, yy = kernel(x, x), kernel(y, y)
    within = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
    return float(within / (m * (m - 1)) - 2 * kernel(x, y).mean())
