"""What was asked for: the rows of a run, each with its role, in order. Tables, loggers and studies read this."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from zz.lab.store.atomic import StoreError, clear_errors, read_json, scan, write_json
from zz.lab.store.store import Store

ROLES = (
    "asked",
    "standard",
    "guidance_matched",
    "compute_matched_predictions",
    "compute_matched_evals",
    "e_cfg",
    "against",
)


@dataclass(frozen=True)
class Row:
    """One cell over one prompt list, as it was asked for.

    id:         of the row; `cell` its cell's key, `prompts` its prompt list's digest
    dataset:    the prompt set's name
    title:      the cell in words, beside the others of its manifest
    role:       asked, or the control that it was made as; against: of another run
    controls:   the rows that it is a control of: (id, the role that it has there), ...
    scorers:    name and identity of each metric that it is scored by: {"shapes_correct": "shapes_correct-1a2b3c4d"}
    wanted:     how many entries were asked for, and `repeats` how many pictures of each
    predictions, evals: guided predictions and network evaluations an image
    labels:     what an experiment's tables call it
    seeded:     whether its pictures' seeds are known; if not, it is paired with others by prompt alone
    """

    id: str
    cell: str
    prompts: str
    dataset: str
    title: str
    role: str
    controls: tuple[tuple[str, str], ...] = ()
    scorers: Mapping[str, Mapping[str, Any]] | None = None
    wanted: int = 0
    repeats: int = 1
    predictions: int = 0
    evals: int = 0
    labels: tuple[str, ...] = ()
    seeded: bool = True


@dataclass(frozen=True)
class Manifest:
    """The rows of a run or an experiment, in order.

    name:       of the experiment, with its scale where it has several; or `run`
    layout:     how its table is laid out, where an experiment says so
    experiment: whose rows they are
    scale:      the one that the experiment was asked for at
    """

    name: str
    rows: tuple[Row, ...]
    layout: Mapping[str, Any] | None = None
    experiment: str | None = None
    scale: str | None = None

    @property
    def id(self) -> str:
        """The name, and 8 hex digits of what was asked for: the same request writes the same file."""
        asked = [(row.id, row.role, row.controls) for row in self.rows]
        return f"{self.name}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]}"

    def row(self, id: str) -> Row:
        """A row by its id."""
        return next(row for row in self.rows if row.id == id)

    def labelled(self, label: str) -> Row | None:
        """The row that an experiment calls so."""
        return next((row for row in self.rows if label in row.labels), None)

    def controls_of(self, row: Row) -> list[tuple[str, Row]]:
        """The rows that a row is compared with, by the roles that they have there, in the order of ROLES."""
        found = [(role, other) for other in self.rows for target, role in other.controls if target == row.id]
        return sorted(found, key=lambda pair: ROLES.index(pair[0]))


def put(store: Store, manifest: Manifest) -> None:
    """Write it; the last run of a name is the one that `find` gives."""
    about = {name: getattr(manifest, name) for name in ("name", "layout", "experiment", "scale")}
    record = {**about, "rows": [asdict(row) for row in manifest.rows]}
    write_json(store.root / "manifests" / f"{manifest.id}.json", record)


def names(store: Store) -> list[str]:
    """Every manifest, the last written one first."""
    folder = store.root / "manifests"
    found = scan(folder, ".json", re.compile(r".+-[0-9a-f]{8}\.json"))
    with clear_errors(folder, "read"):
        written = {name: (folder / name).lstat().st_mtime_ns for name in found}
    return [name.removesuffix(".json") for name in sorted(found, key=lambda name: -written[name])]


def find(store: Store, name: str | None = None) -> Manifest:
    """The manifest of that name or id; the last written one by default.

    Raises StoreError where there is none, or where it is cut or names a cell that is not there.
    """
    store.check_format()
    known = names(store)
    matching = [n for n in known if name is None or name in (n, n.rpartition("-")[0])]
    if not matching:
        what = f"no manifest {name!r}" if name else "no manifest"
        there = f"; there are {', '.join(known)}" if known else "; zz.run writes one"
        raise StoreError(f"store: {store.root} holds {what}{there}")
    path = store.root / "manifests" / f"{matching[0]}.json"
    record = read_json(path)
    try:
        rows = tuple(_row(row) for row in record["rows"])
        about = (record.get(name) for name in ("layout", "experiment", "scale"))
        found = Manifest(record["name"], rows, *about)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StoreError(f"{path} is no manifest ({error!r}); run again what made it") from error
    for row in found.rows:
        for role in (row.role, *(role for _, role in row.controls)):
            if role not in ROLES:
                raise StoreError(f"{path}: role {role!r} is not known; known are {', '.join(ROLES)}")
        record_of = store.root / "cells" / row.cell / "cell.json"
        with clear_errors(record_of, "read"):
            known_cell = record_of.is_file()
        if not known_cell:
            raise StoreError(f"{path} names cell {row.cell}, which is not in the store; run again what made it")
    return found


def _row(record: Mapping[str, Any]) -> Row:
    row = Row(**{name: value for name, value in record.items() if name != "overrides"})  # which rows had once
    pairs = tuple((str(target), str(role)) for target, role in row.controls)
    return replace(row, controls=pairs, labels=tuple(row.labels))


def merged(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows that are one in the order in which they first appear: asked for wins over being a control.

    A row that is a control in several roles keeps the first; what it is a control of adds up.
    """
    found: dict[str, Row] = {}
    for row in rows:
        if (known := found.get(row.id)) is None:
            found[row.id] = row
            continue
        first, second = (row, known) if row.role == "asked" != known.role else (known, row)
        found[row.id] = replace(
            first,
            controls=tuple(dict.fromkeys((*first.controls, *second.controls))),
            labels=tuple(dict.fromkeys((*first.labels, *second.labels))),
            scorers={**(second.scorers or {}), **(first.scorers or {})},
            wanted=max(first.wanted, second.wanted),
            repeats=max(first.repeats, second.repeats),
        )
    return tuple(found.values())
