"""Improved precision and recall (Kynkäänniemi et al., 2019): which pictures lie among those of the other set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zz.data.base import Prompt
from zz.diffusion.validate import Positive
from zz.scorers.base import Extract, Features, SetMetric
from zz.scorers.interval import Interval, delete_a_group, finite, groups
from zz.scorers.order import units
from zz.scorers.reference import Reference, check_dimensions

CHUNK = 1024  # rows of a distance matrix in memory


@dataclass(frozen=True)
class _Neighbourhoods(SetMetric):
    """A picture lies among a set if it is no further from some picture of it than that one's k-th nearest neighbour.

    of:      the features
    against: the real pictures
    k:       which nearest neighbour, the picture itself not counted
    least:   pictures of either set below which it is refused
    """

    has_reference: ClassVar[bool] = True

    of: Features
    against: Reference
    k: Positive = 3
    least: Positive = 1000
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool | None] = True

    @property
    def features(self) -> Features:
        return self.of

    def settings(self):
        return {"against": self.against.identity(self.name), "k": self.k}

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        return {"features": self.against.features(extract, self.name)}

    def _both(self, features: np.ndarray, reference: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Ours and theirs, about one centre: less is lost to rounding  # (N, D), (M, D)"""
        x, y = finite(features, "features"), finite(reference["features"], "reference")
        check_dimensions(self.name, x.shape[1], y.shape[1])
        for rows in (x, y):
            self.enough(len(rows), max(self.least, self.k + 1))
        centre = y.mean(0)
        return x - centre, y - centre


@dataclass(frozen=True)
class Precision(_Neighbourhoods):
    """The share of pictures that lie among the real ones. Its interval is the jackknife's, over prompts."""

    name: str = "precision"
    unit: ClassVar[str] = "share among real"

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        x, y = self._both(features, reference)
        everything = np.ones((1, len(y)), dtype=bool)
        inside, group = among(x, y, self.k, everything)[0], groups(units(prompts))
        return delete_a_group(float(inside.mean()), [inside[group != g].mean() for g in np.unique(group)])


@dataclass(frozen=True)
class Recall(_Neighbourhoods):
    """The share of real pictures that lie among ours. Its interval is the jackknife's, over prompts, in one pass."""

    name: str = "recall"
    unit: ClassVar[str] = "share covered"

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        x, y = self._both(features, reference)
        group = groups(units(prompts))
        kept = np.stack([np.ones(len(x), dtype=bool), *(group != g for g in np.unique(group))])
        value, *left_out = among(y, x, self.k, kept).mean(1)
        few = kept.sum(1).min() <= self.k
        return delete_a_group(float(value), [] if few else left_out)


def among(points: np.ndarray, others: np.ndarray, k: int, kept: np.ndarray) -> np.ndarray:
    """Whether each point lies among the others, for several choices of which others are there.

    points: (P, D); others: (N, D); kept: which others are there  # (V, N), gives (V, P)
    """
    radii = np.full(kept.shape, -np.inf)
    for rows, squared in _squared_distances(others, others):
        for v, there in enumerate(kept):
            if there.sum() > k:  # of itself, at no distance, the (k + 1)-th
                radii[v, rows] = np.partition(squared[:, there], k, axis=1)[:, k]
    radii[~kept] = -np.inf
    found = np.zeros((len(kept), len(points)), dtype=bool)
    for rows, squared in _squared_distances(points, others):
        for v in range(len(kept)):
            found[v, rows] = (squared <= radii[v]).any(1)
    return found


def _squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    norms = (y**2).sum(1)
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        yield rows, np.maximum((x[rows] ** 2).sum(1)[:, None] + norms - 2 * x[rows] @ y.T, 0)


__all__ = ["Precision", "Recall", "among"]
