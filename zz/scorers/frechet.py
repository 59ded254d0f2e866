"""Fréchet distance of features (FID's formula; Heusel et al., 2017)."""

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


def frechet(ours: Moments, theirs: Moments) -> float:
    """Fréchet distance of two normal distributions, 0 or above (FID's formula; Heusel et al., 2017)."""
    (m1, s1), (m2, s2) = ours, theirs
    # the trace of the root of s1 s2 is the sum of the singular values of root s1 root s2: no root is taken of rounding
    root = np.linalg.svd(_root(s1) @ _root(s2), compute_uv=False).sum()
    return max(0.0, float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root))


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(values.clip(0)) @ vectors.T)
