"""Many numbers and one number: means, proportions and paired winning rates, each with its 95 % interval."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from zz.scorers.interval import Interval, jackknife, mean

TIE = 1e-6  # scores this close are a tie, which counts one half for each side
ALPHA = 0.05  # significance level: false-positive rate per test


class Winning(NamedTuple):
    """A paired comparison over the prompts that both sides have."""

    n: int
    win: int
    tie: int
    loss: int
    rate: Interval  # (win + tie / 2) / n
    difference: Interval  # mean paired difference, ours - theirs
    p: float  # two-sided sign test over wins and losses


def proportion(successes: float, n: int) -> Interval:
    """A proportion with Wilson's score interval (1927)."""
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
    difference = mean(d if higher_is_better else -d)
    return Winning(len(both), win, tie, loss, proportion(win + tie / 2, len(both)), difference, p)


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


__all__ = ["ALPHA", "Interval", "Winning", "holm", "jackknife", "mean", "proportion", "student", "winning"]
