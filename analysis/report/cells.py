"""What a page says of each row: what made it, what it cost, what sets it apart, and what is missing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zz.lab.grid import text
from zz.lab.results import Results
from zz.lab.store.manifest import Row

SHOWN = 20  # names of missing pictures that are spelled out


@dataclass(frozen=True)
class RowFacts:
    """One row.

    model:    its name
    frames:   of a clip; 1 for a picture
    there:    the names of its pictures that are there
    commits:  of the runs that made it, shortened
    seconds:  of a device, an image; None where no run is recorded
    changes:  fields that differ from the row that it is set beside: (field, there, here)
    beside:   the title of that row
    missing:  names of pictures that are not there
    unscored: by score, how many pictures lack it
    failures: by picture, the prompt and the error
    """

    row: Row
    model: str
    frames: int
    there: set[str]
    commits: Sequence[str]
    seconds: float | None
    changes: Sequence[tuple[str, str, str]]
    beside: str
    missing: Sequence[str]
    unscored: Mapping[str, int]
    failures: Mapping[str, Mapping[str, Any]]

    @property
    def lacks(self) -> bool:
        """Whether anything is missing."""
        return bool(self.missing or self.unscored or self.failures)


def facts(results: Results, against: str) -> list[RowFacts]:
    """Of every row; `against`: the role of the control that it is set beside, for want of which the first row is."""
    ledgers = {row.cell: results.store.cell(row.cell) for row in results.manifest.rows}
    found = []
    for row in results.manifest.rows:
        cell, record = ledgers[row.cell]
        pictures = results.pictures(row)
        there = set(results.store.there(cell, [p.name for p in pictures]))
        beside = beside_of(results, row, against)
        changes = _changes(ledgers[beside.cell][0].flat(), cell.flat()) if beside else []
        commits, seconds = _made(results, row)
        failed = results.store.failures(cell)
        asked = {p.name for p in pictures}
        found.append(
            RowFacts(
                row=row,
                model=str(record.get("model", "")),
                frames=_frames(cell.ledger),
                there=there,
                commits=commits,
                seconds=seconds,
                changes=changes,
                beside=beside.title if beside else "",
                missing=[p.name for p in pictures if p.name not in there],
                unscored=_unscored(results, row, there),
                failures={name: record for name, record in failed.items() if name in asked},
            )
        )
    return found


def beside_of(results: Results, row: Row, against: str) -> Row | None:
    """The control of that role; else the row that it is a control of; else the first row; None for that itself."""
    for role, control in results.manifest.controls_of(row):
        if role == against and control.id != row.id:
            return control
    asked = next((results.manifest.row(target) for target, _ in row.controls if _known(results, target)), None)
    first = asked or results.manifest.rows[0]
    return first if first.id != row.id else None


def _known(results: Results, id: str) -> bool:
    return any(row.id == id for row in results.manifest.rows)


def _frames(ledger: Mapping[str, Any]) -> int:
    model = ledger.get("model")
    found = model.get("frames", 1) if isinstance(model, Mapping) else 1
    return found if isinstance(found, int) and found > 0 else 1


def _changes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    names = dict.fromkeys([*ours, *theirs])
    both = [(name, _said(theirs, name), _said(ours, name)) for name in names]
    return [(name.removesuffix(".is"), there, here) for name, there, here in both if there != here]


def _said(flat: Mapping[str, Any], name: str) -> str:
    return text(flat[name]) if name in flat else ""


def _made(results: Results, row: Row) -> tuple[list[str], float | None]:
    """The commits of the runs that made a row's pictures, and the seconds of a device that an image took."""
    records = [one for one in results.store.runs(results.store.cell(row.cell)[0]) if one.get("row") == row.id]
    commits, seconds, images = dict[str, None](), 0.0, 0
    for one in records:
        if isinstance(git := one.get("git"), Mapping):
            commits[str(git.get("revision", ""))[:12] + (" with changes" if git.get("dirty") else "")] = None
        seconds += float(one.get("device_seconds", 0))
        images += len(one.get("images", ()))
    return list(commits), seconds / images if images else None


def _unscored(results: Results, row: Row, there: set[str]) -> dict[str, int]:
    """By score of single pictures, how many that are there lack it."""
    pictures, found = results.pictures(row), {}
    have = np.array([p.name in there for p in pictures], dtype=bool)
    for name, about in (row.scorers or {}).items():
        if about["kind"] != "image" or not len(pictures):
            continue
        x = results.values(row, name)[[p.entry for p in pictures], [p.repeat for p in pictures]]
        if n := int((np.isnan(x) & have).sum()):
            found[name] = n
    return found


__all__ = ["SHOWN", "RowFacts", "beside_of", "facts"]
