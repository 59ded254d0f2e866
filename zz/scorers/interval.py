"""An estimate and its 95 % interval."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


def mean(values: Sequence[float] | np.ndarray) -> Interval:
    """The mean with Student's interval; unbounded for fewer than two values."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        return Interval(math.nan, math.nan, math.nan)
    if len(x) == 1:
        return Interval(float(x[0]), -math.inf, math.inf)
    half = float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)


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
