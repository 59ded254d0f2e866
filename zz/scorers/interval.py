"""An estimate and its 95 % interval."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


def finite(values: ArrayLike, what: str = "values") -> np.ndarray:
    """As float64. Raises ValueError where one is not finite: no statistic is made of such."""
    x = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(f"{what}{list(where)} is {x[where]}, not a number: score or measure it again, or leave it out")
    return x


def mean(values: Sequence[float] | np.ndarray) -> Interval:
    """The mean with Student's interval; unbounded for fewer than two values. Raises ValueError for what is not finite.

    Of no values it is nan, and so are its ends.
    """
    x = finite(values)
    if len(x) == 0:
        return Interval(math.nan, math.nan, math.nan)
    if len(x) == 1:
        return Interval(float(x[0]), -math.inf, math.inf)
    half = float(special.stdtrit(len(x) - 1, 0.975) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)


def jackknife(
    estimate: Callable[[np.ndarray], float], n: int, parts: int = 20, units: Sequence[int] | None = None
) -> Interval:
    """An estimate over n items with the interval of the delete-a-group jackknife, for what is no mean.

    estimate: from the indices that are kept
    parts:    groups, each left out once; every parts-th unit belongs to one
    units:    number of the unit that each item belongs to, such as its prompt: none is split; each its own by default

    Unbounded where there are fewer than two units, or an estimate without a group is not finite.
    """
    everything = np.arange(n)
    group = groups(everything if units is None else units, parts)
    return delete_a_group(estimate(everything), [estimate(everything[group != g]) for g in np.unique(group)])


def groups(units: Sequence[int] | np.ndarray, parts: int = 20) -> np.ndarray:
    """The group of the delete-a-group jackknife that each item belongs to; no unit is split  # (N,)"""
    unit = np.asarray(units)
    return unit % max(1, min(parts, len(np.unique(unit))))


def delete_a_group(value: float, left_out: Sequence[float] | np.ndarray) -> Interval:
    """An estimate with the jackknife's interval, of the estimates without each group; unbounded as in `jackknife`."""
    x, parts = np.asarray(left_out, dtype=np.float64), len(left_out)
    if parts < 2 or not np.isfinite(x).all():
        return Interval(value, -math.inf, math.inf)
    error = math.sqrt((parts - 1) / parts * ((x - x.mean()) ** 2).sum())
    half = float(special.stdtrit(parts - 1, 0.975)) * error
    return Interval(value, value - half, value + half)
