"""Small records beside the pictures: cells, rows, prompt lists, runs, and what is made of many pictures."""

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from zz.lab.cell import FORMAT, Cell
from zz.lab.store.atomic import (
    READ_ONLY,
    StoreError,
    clear_errors,
    create_json,
    json_line,
    read_json,
    replacing,
    scan,
    sweep,
    write_json,
)

MOST = 4096  # pictures of a batch


class Records:
    """A folder with a store's records."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().resolve()

    def check_format(self) -> None:
        """Raise StoreError on a store of another format: what is in it would neither be found nor be mixed up."""
        record = read_json(self.root / "store.json")
        if record is None and next(self.root.glob("cells/*/width.json"), None) is None:
            return  # new
        found = record.get("format") if isinstance(record, dict) else 1  # which had no such file
        if found != FORMAT:
            raise StoreError(
                f"store: {self.root} is of format {found}, and this zz writes {FORMAT}: nothing in it is touched; "
                "choose another with store=PATH, or read it with the zz that made it"
            )

    def writable(self) -> bool:
        """Whether files can be made here. Raises StoreError where that has another cause than permissions."""
        try:
            self.check_writable()
        except StoreError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in READ_ONLY:
                return False
            raise
        return True

    def check_writable(self) -> None:
        """Raise StoreError unless files can be made here."""
        self.check_format()
        with clear_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        create_json(self.root / "store.json", {"format": FORMAT})

    def folder(self, cell: Cell) -> Path:
        """Where a cell's files lie."""
        return self.root / "cells" / cell.key

    def sweep(self, cells: Iterable[Cell]) -> None:
        """Remove what killed writers left here more than a day ago, in these cells and beside the cells."""
        beside = ("rows", "prompts", "manifests", "sets", "sheets")
        for folder in (*(self.root / name for name in beside), *map(self.folder, cells)):
            sweep(folder)

    def begin(self, cell: Cell, about: Mapping[str, str | int]) -> None:
        """Make the cell's record if need be. about: what follows from the ledger and is asked for often."""
        path = self.folder(cell) / "cell.json"
        try:
            self.cell(cell.key)
        except StoreError:  # not there, torn or edited
            write_json(path, {"key": cell.key, **about, "ledger": cell.ledger})

    def begin_row(self, row: str, cell: Cell, prompts: str, batch_size: int) -> int:
        """Note a row; return the batch size that governs it, the first one that it began with."""
        path = self.root / "rows" / f"{row}.json"
        record = {"cell": cell.key, "prompts": prompts, "batch_size": batch_size}
        create_json(path, record)  # two who begin at once agree on one
        if self.batch_size(row) is None:  # torn when the machine went down, or edited
            write_json(path, record)
        return self.batch_size(row) or batch_size

    def batch_size(self, row: str) -> int | None:
        """The batch size that a row began with; None if it has not begun, or if that is not to be read."""
        record = read_json(self.root / "rows" / f"{row}.json")
        found = record.get("batch_size") if isinstance(record, dict) else None
        return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found <= MOST else None

    def cell(self, key: str) -> tuple[Cell, Mapping[str, Any]]:
        """A cell by its key, and its record. Raises StoreError where that cannot be read."""
        path = self.root / "cells" / key / "cell.json"
        record = read_json(path)
        try:
            cell = Cell(record["ledger"])
            if cell.key != key:
                raise StoreError(f"{path} has been changed by hand: its ledger's key is {cell.key}")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise StoreError(
                f"{path} is not a cell's record ({error!r}); the run that made it writes it anew"
            ) from error
        return cell, record

    def put_prompts(self, digest: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Keep a prompt list, in order."""
        path, content = self.root / "prompts" / f"{digest}.jsonl", b"".join(map(json_line, lines))
        if self._prompts(digest) != content:  # not there, torn or edited
            with clear_errors(path), replacing(path) as temporary:
                temporary.write_bytes(content)

    def prompts(self, digest: str) -> list[dict[str, Any]]:
        """A prompt list: text, seed and meta of each entry. Raises StoreError where it is not to be read."""
        try:
            lines = filter(None, (self._prompts(digest) or b"{").split(b"\n"))
            found = list(json.loads(b"[" + b",".join(lines) + b"]"))
            if not all(isinstance(e["text"], str) and isinstance(e["seed"], int) for e in found):
                raise ValueError("an entry without text and seed")
            return found
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            where = self.root / "prompts" / f"{digest}.jsonl"
            raise StoreError(f"{where} is not a list of prompts ({error!r}); run again what made it") from error

    def _prompts(self, digest: str) -> bytes | None:
        path = self.root / "prompts" / f"{digest}.jsonl"
        with clear_errors(path, "read"):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def kept(self, name: str) -> Any:
        """A set metric's or a study's result, by name and identity; None if it is not there."""
        return read_json(self.root / "sets" / f"{name}.json")

    def keep(self, name: str, record: Any) -> None:
        """Keep such a result."""
        write_json(self.root / "sets" / f"{name}.json", record)

    def keep_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays by name, such as what set metrics compare with."""
        path = self.root / "sets" / f"{name}.npz"
        with clear_errors(path), replacing(path) as temporary, temporary.open("wb") as file:
            save_arrays(file, arrays)

    def put_sheet(self, name: str, image: Image.Image) -> Path:
        """Keep a picture made of pictures; return where it lies."""
        path = self.root / "sheets" / f"{name}.png"
        with clear_errors(path), replacing(path) as temporary:
            image.save(temporary, format="PNG")
        return path

    def put_run(self, cell: Cell, record: Mapping[str, Any]) -> Path:
        """Keep what varies between runs beside the cell."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns():x}.json"
        path = self.folder(cell) / "runs" / name
        write_json(path, record)
        return path

    def runs(self, cell: Cell) -> list[Mapping[str, Any]]:
        """The records of the runs that made a cell's pictures, in the order in which they ended, but for torn ones."""
        folder = self.folder(cell) / "runs"
        records = [read_json(folder / name) for name in scan(folder, ".json")]
        return [record for record in records if isinstance(record, dict)]

    def log(self, cell: Cell, event: Mapping[str, Any]) -> None:
        """Add one line to the cell's event log; several may at once."""
        path = self.folder(cell) / "events.jsonl"
        with clear_errors(path), path.open("ab") as f:
            f.write(json_line(event))

    def batch_sizes(self) -> dict[str, int]:
        """What was found out so far, by a key of GPU, model and size."""
        record = read_json(self.root / "batch_sizes.json")
        known = record.items() if isinstance(record, dict) else ()
        return {str(key): n for key, n in known if isinstance(n, int) and not isinstance(n, bool) and 0 < n <= MOST}

    def put_batch_sizes(self, found: Mapping[str, int]) -> None:
        """Add to what was found out."""
        write_json(self.root / "batch_sizes.json", self.batch_sizes() | dict(found))


def save_arrays(file: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Write arrays by name."""
    named: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(file, **named)
