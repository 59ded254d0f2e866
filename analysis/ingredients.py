"""What zigzag is made of: its gain over standard sampling, the part that its guidance-matched control has, the rest.

On the prompts that all three have, gain = guidance + rest to the last bit, for each is a mean paired difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.tables import head, percent, points, row, signed
from analysis.ways import Way
from zz.lab.stats import Interval, holm, jackknife, mean, student

SCORES = ("shapes_correct", "shapes_alignment")
KINDS = ("Zigzag", "ImplicitZigzag", "FixedPoint")
FIELDS = ("gamma1", "gamma2", "lambda_", "rounds", "k")  # of a zigzag, that its control shares
FALSE = 0.05  # of tests where nothing is, that say there is something


@dataclass(frozen=True)
class Parts:
    """One score of a zigzag, paired over prompts.

    gain:     zigzag less standard sampling
    guidance: its guidance-matched control less standard sampling
    rest:     zigzag less that control
    p:        of rest, by Student's test
    share:    guidance / gain, by the jackknife over prompts; None where the gain's interval holds zero, or where the
              control is standard sampling
    """

    gain: Interval
    guidance: Interval
    rest: Interval
    p: float
    share: Interval | None


@dataclass(frozen=True)
class Ingredient:
    """A zigzag beside its guidance-matched control."""

    way: Way
    n: int  # prompts that all three have
    parts: dict[str, Parts]  # by score


def parts(zigzag: np.ndarray, matched: np.ndarray, standard: np.ndarray) -> Parts:
    """From the scores of the same prompts  # (N,) each"""
    gains, guided, rests = zigzag - standard, matched - standard, zigzag - matched
    gain = mean(gains)
    share = None
    if guided.any() and (gain.low > 0 or gain.high < 0):
        share = jackknife(lambda kept: float(guided[kept].mean() / gains[kept].mean()), len(gains))
    return Parts(gain, mean(guided), mean(rests), student(rests), share)


def trios(ways: Sequence[Way]) -> Iterator[tuple[Way, Way, Way]]:
    """Each zigzag with its guidance-matched control and standard sampling of one solver. Without a gap they are one."""
    plainly = [way for way in ways if way.guided_plainly]
    standards = {(way.solver, way.steps, way.gamma1): way for way in plainly if way.kind == "Standard"}
    matched = {_fields(way): way for way in plainly if way.kind == "GuidanceMatched"}
    for way in plainly:
        standard = standards.get((way.solver, way.steps, way.gamma1))
        if way.kind in KINDS and standard is not None:
            control = standard if way.gamma1 == way.gamma2 else matched.get(_fields(way))
            if control is not None:
                yield way, control, standard


def ingredients(ways: Sequence[Way], scores: Any, fewest: int) -> list[Ingredient]:
    """Those of `fewest` prompts or more.

    scores: from a row and a score's name to index -> score
    """
    found = []
    for trio in trios(ways):
        by_score: Mapping[str, list[Mapping[int, float]]] = {
            name: [scores(way.row, name) for way in trio] for name in SCORES
        }
        both = sorted(set.intersection(*(set(one) for three in by_score.values() for one in three)))
        if len(both) >= fewest:
            arrays = {name: [np.array([one[i] for i in both]) for one in three] for name, three in by_score.items()}
            found.append(Ingredient(trio[0], len(both), {name: parts(*three) for name, three in arrays.items()}))
    return found


def table(found: Sequence[Ingredient]) -> Iterator[str]:
    """Markdown: a part for each score, marked where the rest is not chance."""
    m = len(found)
    for score, title, shown in zip(SCORES, ("Accuracy, points", "Alignment, soft score"), (points, _soft), strict=True):
        p = [one.parts[score].p for one in found]
        corrected = holm(p)
        below, kept = sum(x < FALSE for x in p), sum(x < FALSE for x in corrected)
        yield f"\n### {title}\n"
        yield (
            f"Of {m} rests {below} have an interval without zero (\\*), where chance alone would give "
            f"{FALSE * m:.1f}; after Holm's correction over the {m} remain {kept} (\\*\\*).\n"
        )
        yield head(
            ("", "T", "gamma1", "gamma2", "prompts", "gain", "by guidance", "the rest", "p of the rest", "share %")
        )
        for one, holms in zip(found, corrected, strict=True):
            x = one.parts[score]
            mark = " \\*\\*" if holms < FALSE else " \\*" if x.p < FALSE else ""
            yield row(
                [
                    one.way.name,
                    f"{one.way.steps}",
                    f"{one.way.gamma1:g}",
                    f"{one.way.gamma2:g}",
                    f"{one.n}",
                    *(shown(part) for part in (x.gain, x.guidance)),
                    shown(x.rest) + mark,
                    f"{x.p:.2g}",
                    percent(x.share) if x.share else "-",
                ]
            )


def _soft(x: Interval) -> str:
    return signed(x, 3)


def _fields(way: Way) -> tuple[Any, ...]:
    return (way.solver, way.steps, *(way.sampler.get(name, 1) for name in FIELDS))
