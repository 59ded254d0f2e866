"""Numbers without pictures: what tables and plots are made of, as one small archive from which they are made again.

An archive is a store (.tar.xz) that holds manifests, prompts, ledgers, scores and measurements, and in place of the
pictures, features and logs of a cell one file, told.json, that says what they said: which pictures there were, seconds
an image, set metrics by row.
"""

import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zz.lab.results import Results
from zz.lab.store.atomic import StoreError, clear_errors, replacing
from zz.lab.store.manifest import Manifest, Row, find, merged, names, put
from zz.lab.store.records import TOLD, save_arrays
from zz.lab.store.store import Store

SUFFIX = ".tar.xz"
EARLY = 5  # steps of a map that are kept: of attention, early ones are looked at


def pack(store: Store, ids: Sequence[str], out: Path) -> int:
    """Write the numbers of these manifests, adding them to those that the archive holds; return its size in bytes.

    ids: of manifests, or their names
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if out.is_file():
            unpack(out, root)
        for id in ids:
            results = Results(store, find(store, id))
            for row in results.manifest.rows:
                _take(results, row, root)
            study = f"study-{results.manifest.name}.json"
            _copy(store.root / "sets" / study, root / "sets" / study)
            whole = _joined(results, Store(root))
            for old in (root / "manifests").glob(f"{whole.name}-????????.json"):
                old.unlink()
            put(Store(root), whole)
        with clear_errors(out), replacing(out) as temporary, tarfile.open(temporary, "w:xz", preset=9) as archive:
            for path in sorted(p for p in root.rglob("*") if p.is_file()):
                archive.add(path, path.relative_to(root).as_posix(), filter=_plain)
    return out.stat().st_size


def unpack(archive: Path, into: Path) -> None:
    """Raises StoreError on a file that is no such archive."""
    try:
        with tarfile.open(archive, "r:xz") as file:
            file.extractall(into, filter="data")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise StoreError(f"store={archive} cannot be read as an archive of numbers ({error}); make it again") from error


def opened(archive: Path) -> Store:
    """An archive as a store, for as long as the process lives."""
    folder = tempfile.TemporaryDirectory(prefix="zz-numbers-")
    unpack(archive, Path(folder.name))
    store = Store(folder.name)
    _held.append(folder)
    return store


_held: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _joined(results: Results, held: Store) -> Manifest:
    """The rows of a store; where the archive has more pictures of a row at another precision, that one.

    Parts of an experiment may be made on machines of which each is fastest at its own.
    """
    asked, known = results.manifest, [name for name in names(held) if name.rpartition("-")[0] == results.manifest.name]
    if not known:
        return asked
    before, others = Results(held, find(held, known[0])), dict[str, Row]()
    there = {_but_precision(before, row): row for row in before.manifest.rows if row.role == "asked"}
    for row in asked.rows:
        other = there.get(_but_precision(results, row)) if row.role == "asked" else None
        if other and other.id != row.id and results.there(row) < before.there(other):
            others[row.id] = other
    rows = list[Row]()
    for row in asked.rows:
        rest = tuple(pair for pair in row.controls if pair[0] not in others)
        if row.id in others:
            rows.append(others[row.id])
        elif row.role == "asked" or rest or not row.controls:
            rows.append(replace(row, controls=rest))
    for other in others.values():
        rows += (control for _, control in before.manifest.controls_of(other))
    return replace(asked, rows=merged(rows))


def _but_precision(results: Results, row: Row) -> str:
    """What a row is of, but for the precision of its networks."""
    ledger = {**results.store.cell(row.cell)[0].ledger, "precision": None}
    return json.dumps([ledger, row.prompts, row.wanted, row.repeats], sort_keys=True)


def _take(results: Results, row: Row, root: Path) -> None:
    """Copy what a row's tables read, where there is anything that is not there already."""
    store, cell = results.store, results.store.cell(row.cell)[0]
    here, there = store.folder(cell), root / "cells" / row.cell
    if (there / TOLD).is_file() and not results.there(row):
        return
    _copy(store.root / "store.json", root / "store.json")
    _copy(store.root / "prompts" / f"{row.prompts}.jsonl", root / "prompts" / f"{row.prompts}.jsonl")
    _copy(here / "cell.json", there / "cell.json")
    for about in (row.scorers or {}).values():
        for part in sorted((here / "scores" / about["id"]).glob("*.json*")):
            _copy(part, there / "scores" / about["id"] / part.name)
    for path in sorted((here / "measured").rglob("*.npz")):
        _small(path, there / path.relative_to(here))
    known = there / TOLD
    told = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {"pictures": [], "sets": {}}
    wanted = results.prompts(row).names(row.wanted)
    told["pictures"] = sorted({*told["pictures"], *store.known(cell, wanted)})
    told["seconds"] = results.seconds(row)
    told["sets"][row.id] = dict(_sets(results, row))
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(told), encoding="utf-8")


def _sets(results: Results, row: Row) -> Iterator[tuple[str, list[float]]]:
    for name, about in (row.scorers or {}).items():
        if about["kind"] == "set" and (found := results.set_metric(row, name)) is not None:
            yield name, list(found)


def _small(path: Path, to: Path) -> None:
    """A measurement in single precision; of maps the early steps."""
    with np.load(path, allow_pickle=False) as file:
        values = dict(file)
    few = {
        name: x[:EARLY].astype(np.float16) if x.ndim == 3 else x[:EARLY] if name.endswith(".step") else _single(x)
        for name, x in values.items()
    }
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("wb") as out:
        save_arrays(out, few)


def _single(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if x.dtype == np.float64 else x


def _copy(path: Path, to: Path) -> None:
    if path.is_file() and not (to.is_file() and to.read_bytes() == path.read_bytes()):
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Equal contents are equal archives."""
    info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = 0, 0, 0, "", "", 0o644
    return info


__all__ = ["SUFFIX", "opened", "pack", "unpack"]
