"""Many numbers and one number: means, proportions and paired winning rates, each with its 95 % interval.

The prompts are the units: several pictures of one prompt are first averaged, as clusters of a sample are.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from zz.scorers.interval import Interval, finite, jackknife, mean

TIE = 1e-6  # scores this close are a tie, which counts one half for each side
ALPHA = 0.05  # significance level: false-positive rate per test
Z = float(stats.norm.ppf(1 - ALPHA / 2))
_UNSEEN = 1e-12  # the share that 0 and 1 have where no value is there; moves no end by more

Scores = Mapping[int, float] | Mapping[int, Sequence[float]]  # prompt -> score; or -> scores by seed, as many each


class Winning(NamedTuple):
    """A paired comparison over the prompts that both sides have."""

    n: int  # prompts
    win: int  # pairs of pictures, of one prompt and seed; n in all where each prompt has one seed
    tie: int
    loss: int
    rate: Interval  # mean over prompts of (win + tie / 2) / pairs, with its score interval
    difference: Interval  # mean paired difference, ours - theirs, with Student's interval
    p: float  # two-sided, that the rate is 1/2, by the same score: below .05 where its interval leaves 1/2 out


def proportion(successes: float, n: int) -> Interval:
    """A proportion with Wilson's score interval (1927). Raises ValueError unless 0 <= successes <= n."""
    if not 0 <= successes <= n:
        raise ValueError(f"successes={successes} of n={n}: must be from 0 to n")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    p, z2 = successes / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def share(values: Sequence[float] | np.ndarray) -> Interval:
    """The mean of values from 0 to 1, one a prompt, with its score interval: means that a score test does not reject.

    A mean m is rejected where |mean - m| > 1.96 sqrt(v / n). v is the variance of the likeliest distribution, over the
    values that are there, 0 and 1, that has the mean m. Of 0 and 1 this is Wilson's interval (1927); of wins, ties and
    losses it is Tango's (Statistics in Medicine 17, 1998) for paired proportions; the mean over several seeds is of the
    same kind.  # (N,)

    Raises ValueError for values outside 0..1, and for what is not finite.
    """
    x = _bounded(values)
    if ((x == 0) | (x == 1)).all():
        return proportion(float(x.sum()), len(x))
    y, f = _weights(x)
    seen = float(x.mean())
    return Interval(seen, _low(y, f, seen, len(x)), 1 - _low(1 - y, f, 1 - seen, len(x)))


def score_test(values: Sequence[float] | np.ndarray, null: float = 0.5) -> float:
    """Two-sided p that the mean is `null`: below .05 where the interval of `share` leaves it out.

    Of wins, ties and losses this is McNemar's test (1947) without correction. 1 where there are no values.
    """
    x = _bounded(values)
    if len(x) == 0 or abs(off := float(x.mean()) - null) < 1e-12:
        return 1.0
    if off < 0:
        return score_test(1 - x, 1 - null)
    y, f = _weights(x)
    tilt = optimize.brentq(lambda t: _moments(y, f, t)[0] - null, 0, 80)
    return float(2 * stats.norm.sf(off * math.sqrt(len(x) / _moments(y, f, tilt)[1])))


def winning(ours: Scores, theirs: Scores, higher_is_better: bool = True) -> Winning:
    """How often a picture of ours beats that of theirs of the same prompt and seed. Ties count one half.

    Each prompt counts once: its wins are averaged over the seeds that both sides have, the first ones. So interval and
    test take prompts as what is drawn, and the rate does not depend on how many seeds a prompt has.

    Raises ValueError where a score is not finite.
    """
    both = sorted(ours.keys() & theirs.keys())
    a, b = (finite([side[i] for i in both]) for side in (ours, theirs))
    if a.ndim == b.ndim == 2:  # (N, seeds)
        seeds = min(a.shape[1], b.shape[1])
        a, b = a[:, :seeds], b[:, :seeds]
    d = (a - b).reshape(len(both), -1) if both else np.zeros((0, 1))
    sign = (d > TIE).astype(int) - (d < -TIE)
    each, by_prompt = (1 + sign.mean(1)) / 2, d.mean(1)
    rate, difference = share(each), mean(by_prompt)
    if len(both) > 1 and np.ptp(by_prompt) == 0 and np.isin((a, b), (0.0, 1.0)).all():
        difference = Interval(difference.value, 2 * rate.low - 1, 2 * rate.high - 1)  # no spread is no certainty
    if not higher_is_better:
        sign, rate = -sign, Interval(1 - rate.value, 1 - rate.high, 1 - rate.low)
    win, loss = int((sign > 0).sum()), int((sign < 0).sum())
    return Winning(len(both), win, sign.size - win - loss, loss, rate, difference, score_test(each))


def student(values: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of Student's test that the mean is zero: below .05 where the interval of `mean` leaves zero out."""
    x = finite(values)
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


def _bounded(values: Sequence[float] | np.ndarray) -> np.ndarray:
    x = finite(values)
    if len(x) and not 0 <= x.min() <= x.max() <= 1:
        raise ValueError(f"values from {x.min():g} to {x.max():g}: a share is of values from 0 to 1")
    return x


def _weights(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that are there, 0 and 1, and the share of each  # (V,), (V,)"""
    values, counts = np.unique(np.concatenate([x, (0.0, 1.0)]), return_counts=True)
    counts = counts - (values == 0) - (values == 1)
    return values, counts / len(x) + _UNSEEN * ((values == 0) | (values == 1))


def _moments(y: np.ndarray, f: np.ndarray, tilt: float) -> tuple[float, float]:
    """Mean and variance of the likeliest distribution of its mean: p ~ f / (1 + r y), here by log (1 + r).

    That family is the likeliest: it maximizes the sum of f log p where p sums to 1 and has a given mean (empirical
    likelihood; Owen, 1988). Tilt 0 is what was seen; large ones have means near 0.
    """
    w = f / (1 - y + math.exp(tilt) * y)
    w /= w.sum()
    m = float(w @ y)
    return m, float(w @ (y - m) ** 2)


def _low(y: np.ndarray, f: np.ndarray, seen: float, n: int) -> float:
    """The lower end of `share`, of n values with the mean `seen`."""
    if seen <= 0:
        return 0.0

    def rejected(tilt: float) -> float:
        m, v = _moments(y, f, tilt)
        return n * (seen - m) ** 2 - Z * Z * v

    return _moments(y, f, optimize.brentq(rejected, 0, 80))[0]


__all__ = [
    "ALPHA",
    "Interval",
    "Scores",
    "Winning",
    "holm",
    "jackknife",
    "mean",
    "proportion",
    "score_test",
    "share",
    "student",
    "winning",
]
