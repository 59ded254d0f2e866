"""From a manifest and what the store holds to numbers: each row's means, and its comparisons with its controls.

The unit of statistics is the entry: its pictures (`dataset.repeats`) are averaged first, as are its wins.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from zz.data.base import Picture, Prompt, PromptList
from zz.lab.cell import Cell
from zz.lab.scoring.names import kept, score_names
from zz.lab.stats import Interval, Winning, mean, share, winning
from zz.lab.store.manifest import Manifest, Row
from zz.lab.store.store import Store

Where = Callable[[Prompt], bool]


class Comparison(NamedTuple):
    """One row against one of its controls, in one score."""

    row: Row
    role: str
    against: Row
    score: str
    winning: Winning


class Results:
    """A manifest, joined with pictures, scores and set metrics. Reads the store only, each file once."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store, self.manifest = store, manifest
        self._lists: dict[tuple[str, int], PromptList] = {}
        self._values: dict[tuple[str, str], np.ndarray] = {}
        self._scores: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
        self._there: dict[str, int] = {}
        self._seconds: dict[str, float | None] = {}
        self._features: dict[tuple[str, str], Mapping[str, np.ndarray]] = {}

    @cached_property
    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """Every metric that a row is scored by, by name: its identity, unit, direction, what it reads."""
        return {name: about for row in self.manifest.rows for name, about in (row.scorers or {}).items()}

    def prompts(self, row: Row) -> PromptList:
        """The row's prompt list."""
        where = row.prompts, row.repeats
        if where not in self._lists:
            entries = tuple(
                Prompt(e["text"], e.get("meta", {}), e["seed"], tuple(e["files"]) if "files" in e else None)
                for e in self.store.prompts(row.prompts)
            )
            self._lists[where] = PromptList(row.dataset, entries, row.repeats)
        return self._lists[where]

    def categories(self, by: str, rows: Sequence[Row] | None = None) -> list[str]:
        """The values of a field of the prompts' meta, as texts, in the order in which they come.

        Raises ValueError where no prompt has it, with the fields that there are.
        """
        asked = self.manifest.rows if rows is None else rows
        entries = [prompt for row in asked for prompt in self.prompts(row).entries]
        found = list(dict.fromkeys(str(prompt.meta[by]) for prompt in entries if by in prompt.meta))
        if not found:
            fields = sorted({name for prompt in entries for name in prompt.meta})
            raise ValueError(f"by={by} is in no prompt's meta; there are {', '.join(fields) or 'none'}")
        return found

    def pictures(self, row: Row) -> list[Picture]:
        """The pictures that were asked for."""
        return self.prompts(row).pictures(row.wanted)

    def there(self, row: Row) -> int:
        """How many of them are there."""
        if row.id not in self._there:
            self._there[row.id] = len(self.store.known(_Key(row.cell), self.prompts(row).names(row.wanted)))
        return self._there[row.id]

    def seconds(self, row: Row) -> float | None:
        """Seconds an image on the devices that made it, other work beside it; None where that is not known.

        Not known either where a part of the trajectories was shared with other cells.
        """
        if row.cell not in self._seconds and "seconds" in (told := self.store.told(_Key(row.cell))):
            self._seconds[row.cell] = told["seconds"]
        if row.cell not in self._seconds:
            runs = self.store.runs(_Key(row.cell))
            made = sum(len(run.get("images") or ()) for run in runs)
            shared = any(run.get("shared_evals_per_image") for run in runs)
            spent = sum(run.get("device_seconds") or 0.0 for run in runs)
            self._seconds[row.cell] = None if shared or not made else float(spent / made)
        return self._seconds[row.cell]

    def complete(self, row: Row) -> bool:
        """Whether every picture is there, and has every score."""
        if self.there(row) < row.wanted * row.repeats:
            return False
        each = [name for name, about in (row.scorers or {}).items() if about["kind"] == "image"]
        return all(self.scored(row, name) == row.wanted for name in each)

    def scores(self, row: Row, name: str, where: Where | None = None) -> dict[int, float]:
        """entry -> score, the mean over its pictures; entries of which a picture lacks it are left out."""
        return {e: sum(s) / len(s) for e, s in self.by_picture(row, name, where).items()}

    def by_picture(self, row: Row, name: str, where: Where | None = None) -> dict[int, tuple[float, ...]]:
        """entry -> the scores of its pictures, by repeat; entries of which a picture lacks it are left out."""
        key = row.id, name
        if key not in self._scores:
            x = self.values(row, name)
            whole = np.flatnonzero(np.isfinite(x).all(1))
            self._scores[key] = dict(zip(whole.tolist(), map(tuple, x[whole].tolist()), strict=True))
        found = self._scores[key]
        if where is None:
            return found
        entries = self.prompts(row).entries
        return {e: s for e, s in found.items() if where(entries[e])}

    def scored(self, row: Row, name: str) -> int:
        """How many of the row's prompts a metric's number is of, each with all of its pictures."""
        about = (row.scorers or {}).get(name)
        if about is None or about["kind"] == "image":
            return int(np.isfinite(self.values(row, name)).all(1).sum())
        there, pictures = self.features(row, about["features"]), self.pictures(row)
        return len({p.entry for p in pictures} - {p.entry for p in pictures if p.name not in there})

    def values(self, row: Row, name: str) -> np.ndarray:
        """The scores of all entries by repeat, nan where there is none  # (N, R)"""
        key, about = (row.id, name), (row.scorers or {}).get(name)
        if about is None or about.get("kind") == "set":
            return np.empty((0, row.repeats))
        if key not in self._values:
            known = self.store.scores(_Key(row.cell), about["id"])
            names = score_names(tuple(about["reads"]), self.prompts(row), row.wanted)
            said = np.array(list(map(known.get, names)), dtype=np.float64)  # None becomes nan
            self._values[key] = said.reshape(row.repeats, -1).T
        return self._values[key]

    def mean(self, row: Row, name: str, where: Where | None = None) -> Interval:
        """The mean with Student's interval; for 0/1 scores the share with its score interval; a set metric as kept."""
        if (self.metrics.get(name) or {}).get("kind") == "set":
            return self.set_metric(row, name) or Interval(math.nan, math.nan, math.nan)
        if where is not None:
            return average(list(self.by_picture(row, name, where).values()))
        x = self.values(row, name)
        return average(x[np.isfinite(x).all(1)])

    def set_metric(self, row: Row, name: str) -> Interval | None:
        """A set metric of all pictures of a row that have features; None if it has not been computed."""
        about = (row.scorers or {}).get(name)
        if about is None:
            return None
        there = self.features(row, about["features"]).keys()
        if not there and (told := self.store.told(_Key(row.cell)).get("sets", {}).get(row.id, {}).get(name)):
            return Interval(*told)
        pictures = [picture for picture in self.pictures(row) if picture.name in there]
        return kept(self.store, about["id"], row.cell, pictures, self._summed_up(row, about["features"]) or ())

    def features(self, row: Row, features: str) -> Mapping[str, np.ndarray]:
        """picture name -> vector, of features by their identity, or of an image scorer by its own  # (D,)"""
        if (reads := self._summed_up(row, features)) is not None:
            known = self.store.scores(_Key(row.cell), features)
            names = zip(self.pictures(row), score_names(reads, self.prompts(row), row.wanted), strict=True)
            return {picture.name: np.array([known[name]]) for picture, name in names if name in known}
        key = row.cell, features
        if key not in self._features:
            self._features[key] = self.store.features(_Key(row.cell), features)
        return self._features[key]

    def _summed_up(self, row: Row, features: str) -> tuple[str, ...] | None:
        """The fields of meta that the image scorer reads whose scores a set metric sums up; None: it has features."""
        scorers = (row.scorers or {}).values()
        return next((tuple(one["sums"]) for one in scorers if one.get("features") == features and "sums" in one), None)

    def measured(self, row: Row, measurement: str, picture: Picture) -> Mapping[str, np.ndarray] | None:
        """What was measured on a picture, by the measurement's identity or its name; None if nothing was."""
        names = [n for n in self.store.measurements(_Key(row.cell)) if measurement in (n, n.rpartition("-")[0])]
        return self.store.measured(_Key(row.cell), names[0], picture.name) if names else None

    def compare(self, ours: Row, theirs: Row, name: str, where: Where | None = None) -> Winning:
        """Paired over the entries that both have, and the repeats.

        Rows over different prompt lists are paired by text and seed, or, where a seed is not known, by text and number.
        """
        better = bool(self.metrics[name]["higher_is_better"])
        if ours.prompts != theirs.prompts:
            seeded = ours.seeded and theirs.seeded
            first, second = (self._by_text(row, name, seeded, where) for row in (ours, theirs))
            both = [key for key in first if key in second]
            n = min((min(len(first[key]), len(second[key])) for key in both), default=0)  # of each as many as all have
            a, b = ({i: scores[key][:n] for i, key in enumerate(both)} for scores in (first, second))
            return winning(a, b, better)
        return winning(self.by_picture(ours, name, where), self.by_picture(theirs, name, where), better)

    def _by_text(
        self, row: Row, name: str, seeded: bool, where: Where | None
    ) -> dict[tuple[str, int | None], tuple[float, ...]]:
        """The scores of each text's pictures, or of each text and seed, in order; of pictures that have one."""
        x, found = self.values(row, name), dict[tuple[str, int | None], list[float]]()
        for p in self.pictures(row) if len(x) else ():  # no values: the row was not asked to be scored by it
            if math.isfinite(score := x[p.entry, p.repeat]) and (where is None or where(p.prompt)):
                found.setdefault((p.prompt.text, p.seed if seeded else None), []).append(float(score))
        return {key: tuple(scores) for key, scores in found.items()}

    def comparisons(self, partial: bool = False) -> list[Comparison]:
        """Each row that was asked for against each of its controls, in each score that has a direction.

        partial: also against a control that lacks some of the row's scores
        """
        found = []
        for row in self.manifest.rows:
            for role, control in self.manifest.controls_of(row):
                for name, about in (row.scorers or {}).items():
                    if about["kind"] == "set" or about["higher_is_better"] is None:
                        continue
                    if role == "against":  # of another run, over prompts of its own
                        if (other := self.compare(row, control, name)).n:
                            found.append(Comparison(row, role, control, name, other))
                        continue
                    ours, theirs = self.scores(row, name).keys(), self.scores(control, name).keys()
                    if ours & theirs and (partial or ours <= theirs):
                        found.append(Comparison(row, role, control, name, self.compare(row, control, name)))
        return found


def average(scores: Sequence[Sequence[float]] | np.ndarray) -> Interval:
    """Of prompts, each with the scores of its pictures: the mean of their means, with Student's interval.

    For 0/1 scores with that of `share`, which is Wilson's where a prompt has one picture.  # (N, R)
    """
    if not len(scores):
        return mean([])
    x = np.asarray(scores, dtype=np.float64)
    return share(x.mean(1)) if np.isin(x, (0.0, 1.0)).all() else mean(x.mean(1))


def meta_is(field: str, value: str) -> Where:
    """Prompts whose meta has this value, as a text, in a field."""
    return lambda prompt: str(prompt.meta.get(field)) == value


class _Key(Cell):
    """A cell known by its key alone, to find its files."""

    def __init__(self, key: str) -> None:
        object.__setattr__(self, "ledger", {})
        object.__setattr__(self, "key", key)


__all__ = ["Comparison", "Results", "average", "meta_is"]
