"""Many numbers and one number: means, shares and paired winning rates, each with its 95 % interval."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

TIE = 1e-6  # scores this close are a tie, which counts one half for each side


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


class Winning(NamedTuple):
    """A paired comparison over the prompts that both sides have."""

    n: int
    win: int
    tie: int
    loss: int
    rate: Interval  # (win + tie / 2) / n
    difference: Interval  # mean paired difference, ours - theirs
    p: float  # two-sided sign test over wins and losses


def mean(values: Sequence[float] | np.ndarray) -> Interval:
    """The mean with Student's interval; unbounded for fewer than two values."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        return Interval(math.nan, math.nan, math.nan)
    if len(x) == 1:
        return Interval(float(x[0]), -math.inf, math.inf)
    half = float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)


def share(successes: float, n: int) -> Interval:
    """A share with Wilson's score interval (1927)."""
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    z = float(stats.norm.ppf(0.975))
    p, z2 = successes / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def winning(ours: Mapping[int, float], theirs: Mapping[int, float], higher_is_better: bool = True) -> Winning:
    """How often ours beats theirs on the same prompt and seed. Ties count one half."""
    both = sorted(ours.keys() & theirs.keys())
    d = np.array([ours[i] - theirs[i] for i in both]) * (1 if higher_is_better else -1)
    win, loss = int((d > TIE).sum()), int((d < -TIE).sum())
    tie = len(both) - win - loss
    p = float(stats.binomtest(win, win + loss).pvalue) if win + loss else 1.0
    plain = mean(d if higher_is_better else -d)
    return Winning(len(both), win, tie, loss, share(win + tie / 2, len(both)), plain, p)


def student(values: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of Student's test that the mean is zero: below .05 where the interval of `mean` leaves zero out."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        return 1.0
    if x.std() == 0:
        return float(x[0] == 0)
    return float(stats.ttest_1samp(x, 0.0).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """The p of several tests, corrected so that .05 is the chance of any false one among them (Holm, 1979)."""
    found, most = [1.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        most = max(most, min(1.0, (len(p) - rank) * p[place]))
        found[place] = most
    return found


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


def jackknife(estimate: Callable[[np.ndarray], float], n: int, parts: int = 20) -> Interval:
    """An estimate over n items with the interval of the delete-a-group jackknife, for what is no mean.

    estimate: from the indices that are kept
    parts:    groups, each left out once; every parts-th item belongs to one
    """
    everything = np.arange(n)
    value = estimate(everything)
    left_out = np.array([estimate(everything[everything % parts != part]) for part in range(parts)])
    error = math.sqrt((parts - 1) / parts * ((left_out - left_out.mean()) ** 2).sum())
    half = float(stats.t.ppf(0.975, parts - 1)) * error
    return Interval(value, value - half, value + half)


def spread(features: np.ndarray, groups: Sequence[object]) -> Interval:
    """Diversity: mean distance of two pictures of one group, that is of one prompt with several seeds.

    The interval is over groups.

    features: one row a picture  # (N, D)
    groups:   which group each belongs to; a group of one says nothing  # N
    """
    places: dict[object, list[int]] = {}
    for i, group in enumerate(groups):
        places.setdefault(group, []).append(i)
    means = []
    for mine in places.values():
        if len(mine) > 1:
            x = features[mine]
            distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
            means.append(distances.sum() / (len(mine) * (len(mine) - 1)))
    return mean(means)
