"""The store: what has been made. A run is its files; resuming is doing what is missing.

    <root>/cells/<key>/cell.json                  the ledger, and how many prompts there are
                      /width.json                 the batch size that the cell began with
                      /images/003/003127.png      a thousand to a folder; of a clip, the strip of its frames
                      /videos/8fps/003/003127.mp4 made of the pictures, and like a contact sheet made again if lost
                      /scores/<name>-<id>/003.json
                      /failed/003127.json         why a picture could not be made
                      /runs/<start>-<host>-<pid>.json    what varies from run to run
                      /events.jsonl               one line for each slot that was made
    <root>/batch_sizes.json                       how many pictures fit at once, by GPU, model and size
    <root>/sheets/<name>.png                      contact sheets

Every file is written beside its place and renamed into it, so that nothing is ever torn, whatever is killed
and however many write. It knows no torch, no models, and nobody's intentions.
"""

import contextlib
import errno
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zz.lab.cell import Cell

FOLDER = 1000  # pictures to a folder, entries to a score file
_PNG_HEAD, _PNG_TAIL = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class StoreError(Exception):
    """The store cannot be read or written; says where, why, and what to do."""


class Missing(NamedTuple):
    """What a cell lacks of what was asked for."""

    indices: list[int]  # to be made, broken ones among them
    broken: list[int]  # there, but half-written or no picture


class Row(NamedTuple):
    """One cell, as a list shows it."""

    cell: Cell
    model: str
    dataset: str
    prompts: int  # in its prompt set
    images: int
    scores: dict[str, int]  # scorer -> pictures scored
    predictions: int  # guided predictions an image
    rows: int  # network rows an image


class Store:
    """A folder of cells."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().resolve()

    def check_writable(self) -> None:
        """Raise StoreError unless files can be made here."""
        with _clear(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass

    def folder(self, cell: Cell) -> Path:
        """Where a cell's files lie."""
        return self.root / "cells" / cell.key

    # -- cells ---------------------------------------------------------------------------------------------

    def begin(self, cell: Cell, prompts: int, width: int, about: Mapping[str, str | int]) -> int:
        """Make the cell's folder if need be; return the batch size that governs it, the first one it began with.

        prompts: how many the cell's prompt set holds; about: what follows from the ledger and is asked for often
        """
        folder = self.folder(cell)
        with _clear(folder):
            if not (folder / "cell.json").exists():
                _write_json(folder / "cell.json", {"key": cell.key, "prompts": prompts, **about, "ledger": cell.ledger})
            _create_json(folder / "width.json", {"width": width})  # two who begin at once agree on one
            if self.width(cell) is None:  # torn when the machine went down
                (folder / "width.json").unlink(missing_ok=True)
                _create_json(folder / "width.json", {"width": width})
            return self.width(cell) or width

    def width(self, cell: Cell) -> int | None:
        """The batch size that a cell began with; None if it has not begun, or if that is not to be read."""
        try:
            return int(json.loads((self.folder(cell) / "width.json").read_text())["width"]) or None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def table(self) -> Iterator[Row]:
        """Every cell, in the order of their keys. Counts file names only, so that 30,000 pictures list at once."""
        for path in sorted((self.root / "cells").glob("*/cell.json")):
            try:
                record = json.loads(path.read_text())
                cell = Cell(record["ledger"])
                if cell.key != path.parent.name:
                    raise StoreError(f"{path} has been changed by hand: its ledger's key is {cell.key}")
                counts = {p.name: len(_entries(p)) for p in sorted((path.parent / "scores").glob("*"))}
                names = str(record.get("model", "")), str(record.get("dataset", ""))
                cost = int(record.get("predictions", 0)), int(record.get("rows", 0))
                yield Row(cell, *names, int(record["prompts"]), len(self.images(cell)), counts, *cost)
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{path} is not a cell's record ({error!r}); remove the folder to forget it"
                ) from error

    # -- images --------------------------------------------------------------------------------------------

    def image_path(self, cell: Cell, index: int) -> Path:
        """Where picture `index` lies, or will lie."""
        return self.folder(cell) / "images" / f"{index // FOLDER:03d}" / f"{index:06d}.png"

    def images(self, cell: Cell) -> set[int]:
        """The indices of the pictures that are there, by their names."""
        found = set()
        for folder in _scan(self.folder(cell) / "images"):
            found |= {int(f.name[:-4]) for f in _scan(Path(folder.path)) if re.fullmatch(r"\d{6,}\.png", f.name)}
        return found

    def missing(self, cell: Cell, indices: Iterable[int]) -> Missing:
        """Which of `indices` are not there as whole PNG files."""
        there = self.images(cell)
        absent, broken = [], []
        for i in indices:
            if i not in there:
                absent.append(i)
            elif not _whole(self.image_path(cell, i)):
                broken.append(i)
        return Missing(sorted(absent + broken), broken)

    def has(self, cell: Cell, index: int) -> bool:
        """Whether picture `index` is there, whole."""
        return _whole(self.image_path(cell, index))

    def put_image(self, cell: Cell, index: int, image: Image.Image, prompt: str, seed: int) -> None:
        """Write one picture. Its text holds key, prompt and seed only, so that equal pictures are equal files."""
        text = PngInfo()
        for name, value in (("key", cell.key), ("prompt", prompt), ("seed", str(seed))):
            text.add_itxt(name, value)
        path = self.image_path(cell, index)
        with _clear(path), _replacing(path) as temporary:
            image.save(temporary, format="PNG", pnginfo=text)
        self._failure_path(cell, index).unlink(missing_ok=True)

    def image(self, cell: Cell, index: int) -> Image.Image:
        """Read one picture, whole. Raises StoreError on one that cannot be read."""
        path = self.image_path(cell, index)
        try:
            with Image.open(path) as image:
                image.load()
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise StoreError(f"{path} cannot be read as a picture ({error}); remove it and run again") from error

    def put_failure(self, cell: Cell, index: int, prompt: str, seed: int, error: str) -> None:
        """Record why picture `index` could not be made; forgotten when it is made after all."""
        path = self._failure_path(cell, index)
        with _clear(path):
            _write_json(path, {"prompt": prompt, "seed": seed, "error": error, "time": time.time()})

    def failures(self, cell: Cell) -> dict[int, dict[str, Any]]:
        """By index: prompt, seed and error of the pictures that could not be made."""
        found = {}
        for entry in _scan(self.folder(cell) / "failed"):
            with contextlib.suppress(OSError, ValueError):
                found[int(entry.name.removesuffix(".json"))] = json.loads(Path(entry.path).read_text())
        # another task may have made it just before this one failed
        return {i: found[i] for i in sorted(found) if not self.has(cell, i)}

    def _failure_path(self, cell: Cell, index: int) -> Path:
        return self.folder(cell) / "failed" / f"{index:06d}.json"

    # -- videos --------------------------------------------------------------------------------------------

    def video_path(self, cell: Cell, index: int, fps: int) -> Path:
        """Where the video of clip `index` lies, or will lie."""
        return self.folder(cell) / "videos" / f"{fps}fps" / f"{index // FOLDER:03d}" / f"{index:06d}.mp4"

    def put_video(self, cell: Cell, index: int, fps: int, content: bytes) -> None:
        """Write one video."""
        path = self.video_path(cell, index, fps)
        with _clear(path), _replacing(path) as temporary:
            temporary.write_bytes(content)

    # -- scores --------------------------------------------------------------------------------------------

    def scores(self, cell: Cell, scorer: str) -> dict[int, float]:
        """index -> score; `scorer` is a name and an identity, such as log_odds-1a2b3c4d."""
        return _entries(self.folder(cell) / "scores" / scorer)

    def put_scores(self, cell: Cell, scorer: str, settings: Mapping[str, Any], scores: Mapping[int, float]) -> None:
        """Add scores to those that are there."""
        for part in sorted({i // FOLDER for i in scores}):
            path = self.folder(cell) / "scores" / scorer / f"{part:03d}.json"
            mine = {i: s for i, s in scores.items() if i // FOLDER == part}
            merged = _read_scores(path) | mine
            record = {"scorer": dict(settings), "scores": {str(i): merged[i] for i in sorted(merged)}}
            with _clear(path):
                _write_json(path, record)

    def put_sheet(self, name: str, image: Image.Image) -> Path:
        """Keep a picture made of pictures; return where it lies."""
        path = self.root / "sheets" / f"{name}.png"
        with _clear(path), _replacing(path) as temporary:
            image.save(temporary, format="PNG")
        return path

    # -- runs ----------------------------------------------------------------------------------------------

    def put_run(self, cell: Cell, record: Mapping[str, Any]) -> Path:
        """Keep what varies between runs beside the cell."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns():x}.json"
        path = self.folder(cell) / "runs" / name
        with _clear(path):
            _write_json(path, record)
        return path

    def log(self, cell: Cell, event: Mapping[str, Any]) -> None:
        """Add one line to the cell's event log; several may at once."""
        path = self.folder(cell) / "events.jsonl"
        with _clear(path), path.open("a", encoding="utf-8") as f:
            f.write(json.dumps(event, ensure_ascii=False) + "\n")

    # -- batch sizes ---------------------------------------------------------------------------------------

    def batch_sizes(self) -> dict[str, int]:
        """What was found out so far, by a key of GPU, model and size."""
        try:
            return {str(key): int(n) for key, n in json.loads((self.root / "batch_sizes.json").read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def put_batch_sizes(self, found: Mapping[str, int]) -> None:
        """Add to what was found out."""
        path = self.root / "batch_sizes.json"
        with _clear(path):
            _write_json(path, self.batch_sizes() | dict(found))


class _clear:
    """Turn an OSError into a StoreError that names the place and the remedy."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "the disk is full: free some space and run the same command again; what is made is kept"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "it cannot be written: choose another with store=PATH"
        else:
            remedy = f"{error.strerror}: choose another with store=PATH"
        raise StoreError(f"store: {self.path}: {remedy}") from error


class _replacing:
    """A temporary file beside `path`, renamed onto it if the block succeeds and removed if it does not."""

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, _temporary(path)

    def __enter__(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.temporary

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.temporary.replace(self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """A name beside `path` that nobody else has, and that no listing takes for a result."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns():x}")


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    with _replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _create_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a file that is not there yet, whole; leave it alone if it is."""
    temporary = _temporary(path)
    try:
        temporary.write_text(json.dumps(record) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_scores(path: Path) -> dict[int, float]:
    try:
        return {int(i): float(s) for i, s in json.loads(path.read_text())["scores"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # a torn or foreign file counts for nothing, and is written anew


def _entries(folder: Path) -> dict[int, float]:
    merged: dict[int, float] = {}
    for entry in _scan(folder):
        if entry.name.endswith(".json"):
            merged |= _read_scores(Path(entry.path))
    return merged


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _whole(path: Path) -> bool:
    """Whether a file begins and ends as a PNG does. A rename is atomic, but a crash of the machine is not."""
    try:
        with path.open("rb") as f:
            if f.read(8) != _PNG_HEAD:
                return False
            f.seek(-8, os.SEEK_END)
            return f.read(8) == _PNG_TAIL
    except OSError:
        return False
