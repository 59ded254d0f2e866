"""What the shapes world says of a cell: its scores in the store, and its pictures beside rendered truth."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from zz.data.shapes import render
from zz.data.shapes_prompts import TAGS, Shapes, ShapesTune, draw_pair
from zz.lab.scoring import identity
from zz.lab.stats import Interval, Moments, Winning, frechet, jackknife, mean, moments, share, spread, winning
from zz.lab.store import Row, Store
from zz.scorers.base import Scorer
from zz.scorers.clip import ClipSimilarity
from zz.scorers.shapes import Cleanliness, ShapesAlignment, ShapesCorrect

SETS = {prompts.digest: prompts for prompts in (Shapes(), ShapesTune())}
TRUTH = 5000  # rendered pictures that a cell's are compared with
SOFT = ("shapes_alignment", "shapes_similarity", "cleanliness")


@dataclass(frozen=True)
class Measures:
    """One cell, measured."""

    n: int
    correct: Interval
    by_tag: dict[str, Interval]
    strict: Interval
    soft: dict[str, Interval]
    fd: Interval
    diversity: Interval

    def record(self, tags: bool = True) -> dict[str, float]:
        """Columns of a CSV: each value with the ends of its interval."""
        by_tag = self.by_tag if tags else {}
        values = {"accuracy": self.correct, **by_tag, "strict": self.strict, **self.soft}
        found: dict[str, float] = {}
        for name, x in {**values, "fd": self.fd, "diversity": self.diversity}.items():
            found |= {name: x.value, f"{name}_low": x.low, f"{name}_high": x.high}
        return found


def scorers(clip: str) -> list[Scorer]:
    """What every cell must have been scored by, in its present version."""
    exact: list[Scorer] = [ShapesCorrect(), ShapesCorrect(strict=True, name="shapes_strict"), ShapesAlignment()]
    return [*exact, ClipSimilarity(clip, name="shapes_similarity"), Cleanliness()]


class Judge:
    """Features of pictures, beside the scores that a store holds."""

    def __init__(self, store: Store, features: Callable[[Sequence[Image.Image]], np.ndarray], clip: str) -> None:
        self.store, self._features = store, features
        self._named = {scorer.name: identity(scorer) for scorer in scorers(clip)}
        rng = np.random.default_rng([2020, 7])
        tags = [TAGS[i % len(TAGS)] for i in range(TRUTH)]  # `shapes` has about as many of each
        truth = features([Image.fromarray(render(draw_pair(rng, tag, held_out=True).scene)) for tag in tags])
        self.truth: Moments = moments(truth)
        self._read: dict[tuple[str, str], dict[int, float]] = {}

    def scores(self, row: Row, name: str) -> dict[int, float]:
        """index -> score, read once: a store may grow meanwhile."""
        where = row.cell.key, name
        if where not in self._read:
            self._read[where] = self.store.scores(row.cell, self._named[name])
        return self._read[where]

    def scored(self, row: Row) -> set[int]:
        """Pictures that have every score."""
        return set.intersection(*(set(self.scores(row, name)) for name in self._named))

    def measure(self, row: Row, indices: Sequence[int]) -> Measures:
        """A cell on the prompts of `indices`."""
        prompts = SETS[row.cell.ledger["dataset"]].prompts
        correct = self.scores(row, "shapes_correct")
        tags = {i: prompts[i].meta["tag"] for i in indices}
        features = self._features([self.store.image(row.cell, i) for i in indices])
        return Measures(
            len(indices),
            _share(correct[i] for i in indices),
            {tag: _share(correct[i] for i in indices if tags[i] == tag) for tag in TAGS},
            _share(self.scores(row, "shapes_strict")[i] for i in indices),
            {name: mean([self.scores(row, name)[i] for i in indices]) for name in SOFT},
            jackknife(lambda kept: frechet(moments(features[kept]), self.truth), len(indices)),
            spread(features, [prompts[i].text for i in indices]),
        )

    def compare(self, ours: Row, theirs: Row, indices: Iterable[int] | None = None) -> dict[str, Winning]:
        """By score: one cell against another, over the prompts of `indices` or all that both have."""
        kept = None if indices is None else set(indices)

        def of(row: Row, name: str) -> dict[int, float]:
            return {i: s for i, s in self.scores(row, name).items() if kept is None or i in kept}

        return {name: winning(of(ours, name), of(theirs, name)) for name in ("shapes_correct", *SOFT)}


def _share(values: Iterable[Any]) -> Interval:
    found = list(values)
    return share(sum(found), len(found))
