"""CMMD: maximum mean discrepancy of CLIP embeddings (Jayasumana et al., 2024)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from zz.data.base import Prompt
from zz.diffusion.validate import Positive, Range
from zz.scorers.base import Extract, Features, SetMetric
from zz.scorers.interval import Interval, delete_a_group, finite, groups
from zz.scorers.order import units
from zz.scorers.reference import Reference, check_dimensions

CHUNK = 1024


@dataclass(frozen=True)
class CMMD(SetMetric):
    """1000 times the squared MMD, biased, with the kernel exp(-|x - y|^2 / (2 sigma^2)) of rows of length 1.

    Its interval is the jackknife's, over prompts.

    of:      the features
    against: the real pictures
    sigma:   width of the kernel
    least:   pictures of either set below which it is refused
    """

    has_reference: ClassVar[bool] = True

    of: Features
    against: Reference
    sigma: Annotated[float, Range(1e-6)] = 10.0
    least: Positive = 1000
    name: str = "cmmd"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "1000 squared MMD"
    higher_is_better: ClassVar[bool | None] = False

    @property
    def features(self) -> Features:
        return self.of

    def settings(self):
        return {"against": self.against.identity(self.name), "sigma": self.sigma}

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        return {"features": self.against.features(extract, self.name)}

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        x, y = finite(features, "features"), finite(reference["features"], "reference")
        check_dimensions(self.name, x.shape[1], y.shape[1])
        for rows in (x, y):
            self.enough(len(rows), self.least)
        x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
        group = groups(units(prompts))
        ours = np.eye(group.max() + 1)[group]  # which group each row is of  # (N, G)
        all_theirs = np.ones((len(y), 1))
        xx = kernel_sums(x, x, self.sigma, ours, ours)
        xy = kernel_sums(x, y, self.sigma, ours, all_theirs)[:, 0]
        yy = kernel_sums(y, y, self.sigma, all_theirs, all_theirs)[0, 0] / len(y) ** 2

        def estimate(n: float, within: float, between: float) -> float:
            return 1000 * (within / n**2 + yy - 2 * between / (n * len(y))) if n else math.nan

        sizes, n = ours.sum(0), len(x)
        left_out = [
            estimate(n - sizes[g], xx.sum() - xx[g].sum() - xx[:, g].sum() + xx[g, g], xy.sum() - xy[g])
            for g in range(len(sizes))
        ]
        return delete_a_group(float(estimate(n, xx.sum(), xy.sum())), left_out)


def kernel_sums(x: np.ndarray, y: np.ndarray, sigma: float, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The kernel summed over the pairs of each group of x and of y  # (N, D), (M, D), (N, G), (M, H) -> (G, H)"""
    total, norms = np.zeros((left.shape[1], right.shape[1])), (y**2).sum(1)
    for start in range(0, len(x), CHUNK):
        rows = x[start : start + CHUNK]
        squared = np.maximum((rows**2).sum(1)[:, None] + norms - 2 * rows @ y.T, 0)
        total += left[start : start + CHUNK].T @ (np.exp(-squared / (2 * sigma**2)) @ right)
    return total
