"""Fréchet distance of features (FID's formula; Heusel et al., 2017)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from zz.scorers.interval import finite


class Moments(NamedTuple):
    """A set of features as a normal distribution."""

    mean: np.ndarray  # (D,)
    covariance: np.ndarray  # (D, D)


def moments(features: np.ndarray) -> Moments:
    """Of features, one row a picture; of fewer rows than columns the covariance is singular  # (N, D)

    Raises ValueError for fewer than two rows, and for what is not finite.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features of shape {features.shape}: a covariance needs (N, D) of two pictures or more")
    x = finite(features, "features")
    return Moments(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False)))


class Tally(NamedTuple):
    """Moments of a part of a set, which merge with those of other parts (Chan, Golub & LeVeque, 1979)."""

    n: int
    mean: np.ndarray  # (D,)
    scatter: np.ndarray  # sum of outer products of what is left of the mean  # (D, D)

    def merged(self, other: "Tally") -> "Tally":
        """That of both parts together."""
        if not self.n or not other.n:
            return self if self.n else other
        n, apart = self.n + other.n, other.mean - self.mean
        mean = self.mean + apart * (other.n / n)
        return Tally(n, mean, self.scatter + other.scatter + np.outer(apart, apart) * (self.n * other.n / n))

    @property
    def moments(self) -> Moments:
        """Raises ValueError for fewer than two rows."""
        if self.n < 2:
            raise ValueError(f"{self.n} pictures: a covariance needs two or more")
        return Moments(self.mean, self.scatter / (self.n - 1))


def tally(features: np.ndarray, chunk: int = 4096) -> Tally:
    """Of features, one row a picture, summed up by chunks. Raises ValueError for what is not finite  # (N, D)"""
    dimensions = features.shape[1]
    found = Tally(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))
    for start in range(0, len(features), chunk):
        x = finite(features[start : start + chunk], "features")
        mean = x.mean(0)
        found = found.merged(Tally(len(x), mean, (x - mean).T @ (x - mean)))
    return found


def frechet(ours: Moments, theirs: Moments) -> float:
    """Fréchet distance of two normal distributions, 0 or above (FID's formula; Heusel et al., 2017)."""
    (m1, s1), (m2, s2) = ours, theirs
    # the trace of the root of s1 s2 is the sum of the singular values of root s1 root s2: no root is taken of rounding
    root = np.linalg.svd(_root(s1) @ _root(s2), compute_uv=False).sum()
    return max(0.0, float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root))


def nearby(sets: Iterable[Moments], theirs: Moments) -> list[float]:
    """Fréchet distances of several sets to one, for their spread: several times faster, and a little less exact."""
    root, found = _root(theirs.covariance), []
    for mean, covariance in sets:
        values = np.linalg.eigvalsh(root @ covariance @ root)
        values[values < np.finfo(float).eps * len(values) * values.max(initial=0.0)] = 0.0
        apart = ((mean - theirs.mean) ** 2).sum() + np.trace(covariance) + np.trace(theirs.covariance)
        found.append(float(apart - 2 * np.sqrt(values).sum()))
    return found


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    noise = np.finfo(float).eps * len(values) * values.max(initial=0.0)  # whose root would be no noise any more
    return np.asarray(vectors * np.sqrt(np.where(values > noise, values, 0.0)) @ vectors.T)
