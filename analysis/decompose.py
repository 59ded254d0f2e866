"""What zigzag is made of: its gain over standard sampling, the part that its guidance-matched control has, the rest.

On the prompts that all three have, gain = guidance + rest to the last bit, for each is a mean paired difference.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zz.analysis.cells import ZIGZAGS, MethodCell
from zz.lab.results import Results
from zz.lab.stats import Interval, jackknife, mean, student

SCORES = ("shapes_correct", "shapes_alignment")
_FIELDS = ("gamma1", "gamma2", "lambda_", "rounds", "k")  # of a zigzag, that its control shares


@dataclass(frozen=True)
class Parts:
    """One score of a zigzag, paired over prompts.

    gain:       zigzag less standard sampling
    guidance:   its guidance-matched control less standard sampling
    rest:       zigzag less that control
    p:          of rest, by Student's test
    proportion: guidance / gain, by the jackknife over prompts; None where the gain's interval holds zero, or where the
                control is standard sampling
    """

    gain: Interval
    guidance: Interval
    rest: Interval
    p: float
    proportion: Interval | None


@dataclass(frozen=True)
class Decomposition:
    """A zigzag beside its guidance-matched control."""

    cell: MethodCell
    n: int  # prompts that all three have
    parts: dict[str, Parts]  # by score


def parts(zigzag: np.ndarray, matched: np.ndarray, standard: np.ndarray) -> Parts:
    """From the scores of the same prompts  # (N,) each"""
    gains, guided, rests = zigzag - standard, matched - standard, zigzag - matched
    gain = mean(gains)
    proportion = None
    if guided.any() and (gain.low > 0 or gain.high < 0):
        proportion = jackknife(lambda kept: _ratio(guided[kept].mean(), gains[kept].mean()), len(gains))
    return Parts(gain, mean(guided), mean(rests), student(rests), proportion)


def trios(cells: Sequence[MethodCell]) -> Iterator[tuple[MethodCell, MethodCell, MethodCell]]:
    """Each zigzag with its guidance-matched control and standard sampling of one solver; without a gap they are one."""
    plain = [cell for cell in cells if cell.plain_cfg and cell.kind != "compute"]
    standards = {(c.solver, c.steps, c.gamma1): c for c in plain if c.kind == "Standard"}
    matched = {_fields(c): c for c in plain if c.kind == "GuidanceMatched"}
    for cell in plain:
        standard = standards.get((cell.solver, cell.steps, cell.gamma1))
        if cell.kind in ZIGZAGS and standard is not None:
            control = standard if cell.gamma1 == cell.gamma2 else matched.get(_fields(cell))
            if control is not None:
                yield cell, control, standard


def decompositions(cells: Sequence[MethodCell], results: Results, fewest: int) -> list[Decomposition]:
    """Those of `fewest` prompts or more."""
    found = []
    for trio in trios(cells):
        by_score: Mapping[str, list[Mapping[int, float]]] = {
            name: [results.scores(cell.row, name) for cell in trio] for name in SCORES
        }
        both = sorted(set.intersection(*(set(one) for three in by_score.values() for one in three)))
        if len(both) >= fewest:
            arrays = {name: [np.array([one[i] for i in both]) for one in three] for name, three in by_score.items()}
            found.append(Decomposition(trio[0], len(both), {name: parts(*three) for name, three in arrays.items()}))
    return found


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _fields(cell: MethodCell) -> tuple[Any, ...]:
    return (cell.solver, cell.steps, *(cell.sampler.get(name, 1) for name in _FIELDS))
