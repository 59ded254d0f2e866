"""The shapes world's measures of a method on some of its prompts: alignment, fidelity and diversity together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from zz.analysis.cells import MethodCell
from zz.data.shapes_prompts import TAGS
from zz.lab.results import Results, average
from zz.lab.scoring.names import identity
from zz.lab.scoring.sets import reference
from zz.lab.stats import Interval, Winning, winning
from zz.scorers.base import SetMetric
from zz.scorers.clip import ClipFeatures
from zz.scorers.diversity import Diversity
from zz.scorers.shapes.truth import ShapesFrechet

SOFT = ("shapes_alignment", "shapes_similarity", "cleanliness")
SCORES = ("shapes_correct", "shapes_strict", *SOFT)


@dataclass(frozen=True)
class Measures:
    """One method, measured."""

    n: int
    correct: Interval
    by_tag: dict[str, Interval]
    strict: Interval
    soft: dict[str, Interval]
    fd: Interval
    diversity: Interval

    def record(self) -> dict[str, float]:
        """Columns of a CSV: each value with the ends of its interval."""
        values = {"accuracy": self.correct, **self.by_tag, "strict": self.strict, **self.soft}
        found: dict[str, float] = {}
        for name, x in {**values, "fd": self.fd, "diversity": self.diversity}.items():
            found |= {name: x.value, f"{name}_low": x.low, f"{name}_high": x.high}
        return found


class Measurer:
    """Measures methods of one manifest on chosen entries, from scores and stored features."""

    def __init__(self, results: Results) -> None:
        self.results = results
        features = ClipFeatures("zz:shapes_clip", name="shapes_clip")
        self.fd, self.diversity = ShapesFrechet(features), Diversity(features, name="shapes_diversity")
        self._features = identity(features)

    def scored(self, cell: MethodCell) -> set[int]:
        """Entries that have every score and features."""
        row = cell.row
        there = self.results.features(row, self._features)
        entries = {p.entry for p in self.results.pictures(row)} - {
            p.entry for p in self.results.pictures(row) if p.name not in there
        }
        return entries.intersection(*(self.results.scores(row, name) for name in SCORES))

    def measure(self, cell: MethodCell, entries: Sequence[int]) -> Measures:
        """A method on some entries, which must be `scored`."""
        row, chosen = cell.row, set(entries)
        prompts = self.results.prompts(row).entries
        tags = {e: prompts[e].meta["tag"] for e in entries}

        def of(name: str, tag: str | None = None) -> Interval:
            scores = self.results.by_picture(row, name)
            return average([scores[e] for e in entries if tag in (None, tags[e])])

        return Measures(
            len(entries),
            of("shapes_correct"),
            {tag: of("shapes_correct", tag) for tag in TAGS},
            of("shapes_strict"),
            {name: of(name) for name in SOFT},
            self._of_set(self.fd, cell, chosen),
            self._of_set(self.diversity, cell, chosen),
        )

    def compare(self, ours: MethodCell, theirs: MethodCell, entries: Iterable[int]) -> dict[str, Winning]:
        """By score: one method against another over some entries."""
        chosen = set(entries)

        def of(cell: MethodCell, name: str) -> dict[int, tuple[float, ...]]:
            return {e: s for e, s in self.results.by_picture(cell.row, name).items() if e in chosen}

        return {name: winning(of(ours, name), of(theirs, name)) for name in ("shapes_correct", *SOFT)}

    def _of_set(self, metric: SetMetric, cell: MethodCell, chosen: set[int]) -> Interval:
        features = self.results.features(cell.row, self._features)
        pictures = [p for p in self.results.pictures(cell.row) if p.entry in chosen]
        rows = np.stack([features[picture.name] for picture in pictures])
        against = reference(metric, self.results.store)
        return metric.measure(rows, [picture.prompt for picture in pictures], against)
