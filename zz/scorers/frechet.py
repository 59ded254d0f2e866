"""Fréchet distance of features (FID's formula; Heusel et al., 2017)."""

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """A set of features as a normal distribution."""

    mean: np.ndarray  # (D,)
    covariance: np.ndarray  # (D, D)


def moments(features: np.ndarray) -> Moments:
    """Of features, one row a picture  # (N, D)"""
    return Moments(features.mean(0), np.cov(features, rowvar=False))


def frechet(ours: Moments, theirs: Moments) -> float:
    """Fréchet distance of two normal distributions (FID's formula; Heusel et al., 2017)."""
    (m1, s1), (m2, s2) = ours, theirs
    # the trace of the root of s1 s2, whose eigenvalues are those of a positive matrix
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).real.clip(0)).sum()
    return float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root)
