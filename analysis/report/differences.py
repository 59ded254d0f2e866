"""The paired differences of a manifest's rows, each with its interval, in every score of single pictures."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zz.lab.results import Results
from zz.lab.stats import Interval

ALL_PAIRS = 24  # rows up to which every row is set beside every other


class Difference(NamedTuple):
    """The mean paired difference of two rows, by their numbers in the manifest, in one score."""

    score: str
    row: int
    against: int
    n: int  # prompts
    difference: Interval


def differences(results: Results) -> list[Difference]:
    """Of every two rows where there are few of them, and otherwise of each row and its controls."""
    found = []
    for name, about in results.metrics.items():
        if about["kind"] == "set":
            continue
        scored = {i for i, row in enumerate(results.manifest.rows) if name in (row.scorers or {})}
        for i, j in _pairs(results):
            if i in scored and j in scored:
                ours, theirs = results.manifest.rows[i], results.manifest.rows[j]
                if (winning := results.compare(ours, theirs, name)).n:
                    found.append(Difference(name, i, j, winning.n, winning.difference))
    return found


def all_pairs(results: Results) -> bool:
    """Whether every row is set beside every other."""
    return len(results.manifest.rows) <= ALL_PAIRS


def _pairs(results: Results) -> Sequence[tuple[int, int]]:
    rows = results.manifest.rows
    if all_pairs(results):
        return [(i, j) for i in range(len(rows)) for j in range(i)]
    return list(dict.fromkeys((i, j) for i, _, j in controls(results)))


def controls(results: Results) -> Iterator[tuple[int, str, int]]:
    """Each row's number, and the role and number of each of its controls."""
    number = {row.id: i for i, row in enumerate(results.manifest.rows)}
    for row in results.manifest.rows:
        for role, control in results.manifest.controls_of(row):
            if control.id != row.id:
                yield number[row.id], role, number[control.id]


__all__ = ["ALL_PAIRS", "Difference", "all_pairs", "controls", "differences"]
