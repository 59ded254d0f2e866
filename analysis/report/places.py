"""The places of a manifest, a prompt and a seed each: the picture and the scores that every row has there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zz.data.base import Prompt
from zz.lab.results import Results
from zz.lab.store.manifest import Row


class Place(NamedTuple):
    """Where rows are compared."""

    prompt: Prompt
    seed: int
    name: str  # of the picture of the first row that has one here


@dataclass(frozen=True)
class Board:
    """What the rows of a manifest have at each place.

    names:  by row and place, the picture's name; None where the row has none there
    points: by score, the score of each row at each place; nan where there is none  # (rows, places)
    """

    places: Sequence[Place]
    names: Sequence[Sequence[str | None]]
    points: dict[str, np.ndarray]

    def most_apart(self) -> list[int]:
        """The places that have a picture; first those whose scores differ most between rows, in any score."""
        apart = np.zeros(len(self.places))
        for x in self.points.values():
            if np.isfinite(x).any() and (spread := float(np.nanstd(x))) > 0:
                high = np.where(np.isnan(x), -np.inf, x).max(0)
                low = np.where(np.isnan(x), np.inf, x).min(0)
                apart = np.maximum(apart, np.where(high >= low, high - low, 0) / spread)
        some = [any(names[p] is not None for names in self.names) for p in range(len(self.places))]
        return [int(p) for p in np.argsort(-apart, kind="stable") if some[p]]


def board(results: Results, there: Sequence[set[str]]) -> Board:
    """The board of all rows; `there`: by row, the names of the pictures that are there.

    Pictures are at one place where text and seed are the same, as `Results.compare` pairs them; of a row whose seeds
    are not known the n-th picture of a text is at the n-th place of that text.
    """
    places: list[Place] = []
    found: dict[tuple[str, int], int] = {}
    of_text: dict[str, list[int]] = {}
    rows = results.manifest.rows
    at: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: not row.seeded):
        nth: dict[str, int] = {}
        at[row.id] = []
        for picture in results.pictures(row):
            text = picture.prompt.text
            known = of_text.setdefault(text, [])
            n = nth[text] = nth.get(text, -1) + 1
            place = found.get((text, picture.seed)) if row.seeded else (known[n] if n < len(known) else None)
            if place is None:
                place = len(places)
                places.append(Place(picture.prompt, picture.seed, picture.name))
                known.append(place)
                found[text, picture.seed] = place
            at[row.id].append(place)
    names: list[list[str | None]] = []
    for row, have in zip(rows, there, strict=True):
        own: list[str | None] = [None] * len(places)
        for place, picture in zip(at[row.id], results.pictures(row), strict=True):
            own[place] = picture.name if picture.name in have else None
        names.append(own)
    each = [name for name, about in results.metrics.items() if about["kind"] == "image"]
    points = {name: np.array([_points(results, row, name, at[row.id], len(places)) for row in rows]) for name in each}
    return Board(places, names, points)


def _points(results: Results, row: Row, name: str, at: Sequence[int], n: int) -> np.ndarray:
    points = np.full(n, np.nan)
    if len(x := results.values(row, name)):
        pictures = results.pictures(row)
        points[list(at)] = x[[p.entry for p in pictures], [p.repeat for p in pictures]]
    return points


__all__ = ["Board", "Place", "board"]
