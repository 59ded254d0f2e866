"""The status of an order of rows: paired differences, corrected for their number, with what n could have found."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zz.analysis.paper.spec import Column
from zz.analysis.paper.values import measured, value, where
from zz.lab.results import Results
from zz.lab.stats import ALPHA, Interval, Z, holm, mean, student
from zz.lab.store.manifest import Row
from zz.lab.view import CONTRADICTED, HOLDS, MIXED, NOT_RUN, PARTLY, UNDECIDED, Verdict

POWER = 0.8416  # normal quantile of 80 %


class Order(NamedTuple):
    """One row against another in one column.

    claim, column: what it is part of
    difference:    ours less theirs, times the column's factor; positive is as claimed, whichever direction is better
    smallest:      the difference that a test of this n finds in 80 % of cases
    """

    claim: str
    column: str
    against: str
    n: int
    difference: Interval
    rate: Interval | None
    p: float
    smallest: float


class Judged(NamedTuple):
    """An order with its corrected p, and its status."""

    order: Order
    p: float
    status: str


def order(
    results: Results, claim: str, ours: Row, theirs: Row, column: Column, scorer: str, head: str, against: str
) -> Order | None:
    """Compare two rows in a column; None where they have nothing in common there."""
    if column.quantity == "measured":
        a, b = (measured(results, row, column.scorer) for row in (ours, theirs))
        both = sorted(a.keys() & b.keys())
        return _paired(claim, head, against, -np.array([a[e] - b[e] for e in both]), None) if both else None
    if scorer not in (ours.scorers or {}) or scorer not in (theirs.scorers or {}):
        return None
    about = results.metrics[scorer]
    if about["kind"] == "set":
        return _unpaired(results, claim, ours, theirs, column, scorer, head, against)
    sign = (1.0 if about["higher_is_better"] else -1.0) * column.times
    found = results.compare(ours, theirs, scorer, where(column))
    if not found.n:
        return None
    if column.quantity == "wins":
        above = Interval(*(100 * x - 50 for x in found.rate))
        smallest = 50 * (Z + POWER) / math.sqrt(found.n)
        return Order(claim, head, against, found.n, above, found.rate, found.p, smallest)
    a, b = (results.scores(row, scorer, where(column)) for row in (ours, theirs))
    same = ours.prompts == theirs.prompts
    if not same:
        return Order(claim, head, against, found.n, _signed(found.difference, sign), found.rate, found.p, math.nan)
    both = sorted(a.keys() & b.keys())
    d = sign * np.array([a[e] - b[e] for e in both])
    if np.isin([a[e] for e in both] + [b[e] for e in both], (0.0, 1.0)).all() and column.quantity != "overall":
        smallest = (Z + POWER) * float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else math.nan
        found_d = _signed(found.difference, sign)  # of right and wrong: McNemar's test, and no certainty without spread
        return Order(claim, head, against, len(d), found_d, found.rate, found.p, smallest)
    if column.quantity == "overall":
        tags = np.array([str(results.prompts(ours).entries[e].meta.get("tag")) for e in both])
        return _over_tags(claim, head, against, d, tags)
    return _paired(claim, head, against, d, found.rate)


def judged(orders: Sequence[Order]) -> list[Judged]:
    """Each with its status after Holm's correction over all of them."""
    found = []
    for one, p in zip(orders, holm([order.p for order in orders]), strict=True):
        sure = p < ALPHA and math.isfinite(one.difference.value)
        status = UNDECIDED if not sure else HOLDS if one.difference.value > 0 else CONTRADICTED
        found.append(Judged(one, p, status))
    return found


def verdict(claim: str, found: Sequence[Judged]) -> Verdict:
    """One claim over its columns."""
    if not found:
        return Verdict(claim, NOT_RUN)
    counts = {status: sum(one.status == status for one in found) for status in (HOLDS, CONTRADICTED, UNDECIDED)}
    if counts[HOLDS] and counts[CONTRADICTED]:
        status = MIXED
    elif counts[HOLDS]:
        status = HOLDS if counts[HOLDS] == len(found) else PARTLY
    else:
        status = CONTRADICTED if counts[CONTRADICTED] else UNDECIDED
    said = [f"{n} {name}" for name, n in counts.items() if n]
    return Verdict(claim, status, f"{', '.join(said)} of {len(found)} comparisons, p < .05 after Holm over the table")


def _paired(claim: str, head: str, against: str, d: np.ndarray, rate: Interval | None) -> Order:
    error = float(d.std(ddof=1) / math.sqrt(len(d))) if len(d) > 1 else math.nan
    if not error > 0:  # no spread says nothing of others
        return Order(claim, head, against, len(d), Interval(float(d.mean()), -math.inf, math.inf), rate, 1.0, math.nan)
    return Order(claim, head, against, len(d), mean(d), rate, student(d), (Z + POWER) * error)


def _over_tags(claim: str, head: str, against: str, d: np.ndarray, tags: np.ndarray) -> Order:
    """The mean over the tags of their mean paired differences."""
    parts = [d[tags == tag] for tag in np.unique(tags)]
    middle = float(np.mean([part.mean() for part in parts]))
    if min(map(len, parts)) < 2:
        return Order(claim, head, against, len(d), Interval(middle, -math.inf, math.inf), None, 1.0, math.nan)
    error = math.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)) / len(parts)
    p = math.erfc(abs(middle) / error / math.sqrt(2)) if error else float(middle == 0)
    found = Interval(middle, middle - Z * error, middle + Z * error)
    return Order(claim, head, against, len(d), found, None, p, (Z + POWER) * error)


def _unpaired(
    results: Results, claim: str, ours: Row, theirs: Row, column: Column, scorer: str, head: str, against: str
) -> Order | None:
    """Of two numbers, each with an interval of its own: as if independent, which is wide for the same prompts."""
    a, b = (value(results, row, column, scorer) for row in (ours, theirs))
    if not (math.isfinite(a.value.value) and math.isfinite(b.value.value)):
        return None
    sign = 1.0 if results.metrics[scorer]["higher_is_better"] else -1.0
    difference = sign * (a.value.value - b.value.value)
    half = math.hypot(*((x.value.high - x.value.low) / 2 for x in (a, b)))
    if not math.isfinite(half) or half <= 0:
        return Order(claim, head, against, a.n, Interval(difference, -math.inf, math.inf), None, 1.0, math.nan)
    p = math.erfc(abs(difference) / (half / Z) / math.sqrt(2))
    found = Interval(difference, difference - half, difference + half)
    return Order(claim, head, against, a.n, found, None, p, (Z + POWER) * half / Z)


def _signed(x: Interval, sign: float) -> Interval:
    low, high = sorted((sign * x.low, sign * x.high))
    return Interval(sign * x.value, low, high)


__all__ = ["Judged", "Order", "judged", "order", "verdict"]
