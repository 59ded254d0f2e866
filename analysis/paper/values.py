"""One value of a table: of a row of the store, in one column."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from zz.analysis.paper.spec import Column
from zz.lab.results import Results, Where, meta_is
from zz.lab.stats import Interval, Z, mean
from zz.lab.store.manifest import Row

NOTHING = Interval(math.nan, math.nan, math.nan)


class Found(NamedTuple):
    """A value, and the number of prompts that it is of."""

    value: Interval
    n: int


def value(results: Results, row: Row, column: Column, scorer: str, against: Row | None = None) -> Found:
    """What stands in a column.

    scorer:  the metric, or what stands for it
    against: for `wins`
    """
    if column.quantity == "measured":
        sums = measured(results, row, column.scorer)
        return Found(mean(list(sums.values())), len(sums))
    if scorer not in (row.scorers or {}):
        return Found(NOTHING, 0)
    if column.quantity == "wins":
        if against is None:
            return Found(NOTHING, 0)
        found = results.compare(row, against, scorer)
        return Found(_times(found.rate, 100), found.n)
    if column.quantity == "overall":
        return _overall(results, row, scorer, column.times)
    chosen = where(column)
    if chosen is None:
        return Found(_times(results.mean(row, scorer), column.times), results.scored(row, scorer))
    n = len(results.scores(row, scorer, chosen))
    return Found(_times(results.mean(row, scorer, chosen), column.times), n)


def where(column: Column) -> Where | None:
    """The prompts that a column is of; None: all."""
    return None if column.tag is None else meta_is("tag", column.tag)


def measured(results: Results, row: Row, what: str) -> Mapping[int, float]:
    """entry -> a measurement's value, summed over steps; the mean over an entry's pictures."""
    measurement, _, name = what.partition(".")
    found: dict[int, list[float]] = {}
    for picture in results.pictures(row):
        values = results.measured(row, measurement, picture)
        if values is not None and name in values:
            found.setdefault(picture.entry, []).append(float(np.sum(values[name])))
    return {entry: float(np.mean(some)) for entry, some in found.items()}


def _overall(results: Results, row: Row, scorer: str, times: float) -> Found:
    """The mean over the tags of their means; each tag's prompts are drawn by themselves."""
    scores, entries = results.scores(row, scorer), results.prompts(row).entries
    by_tag: dict[str, list[float]] = {}
    for entry, score in scores.items():
        by_tag.setdefault(str(entries[entry].meta.get("tag")), []).append(score)
    if not by_tag:
        return Found(NOTHING, 0)
    middle = float(np.mean([np.mean(some) for some in by_tag.values()]))
    if min(map(len, by_tag.values())) < 2:
        return Found(Interval(times * middle, -math.inf, math.inf), len(scores))
    half = Z * math.sqrt(sum(np.var(some, ddof=1) / len(some) for some in by_tag.values())) / len(by_tag)
    return Found(_times(Interval(middle, middle - half, middle + half), times), len(scores))


def _times(x: Interval, times: float) -> Interval:
    return Interval(*(times * part for part in x))


__all__ = ["NOTHING", "Found", "measured", "value", "where"]
