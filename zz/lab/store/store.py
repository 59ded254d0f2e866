"""The store: what has been made. A run is its files; resuming is doing what is missing.

    <root>/store.json                                   the format of what follows
          /cells/<key>/cell.json                        the ledger
                      /images/000017-3fa9c2d1e0b4.png   the seed, and 12 hex digits of the text's SHA-256
                      /whole.txt                        names of pictures that were looked at once and found whole
                      /videos/8fps/<picture>.mp4        made of the pictures; made again if lost
                      /leases/<picture>                 who is making the slot that begins with it (lab/lease.py)
                      /failed/<picture>.json            why a picture could not be made
                      /scores/<scorer>-<id>/            one number a picture, in parts (parts.py)
                      /features/<features>-<id>/        one vector a picture, in parts
                      /measured/<measurement>-<id>/<picture>.npz
                      /runs/<start>-<host>-<pid>.json   what varies from run to run
                      /events.jsonl                     one line for each slot that was made
    <root>/rows/<id>.json                               a cell over a prompt list: the batch size that it began with
    <root>/prompts/<digest>.jsonl                       prompt lists, in order
    <root>/manifests/<name>-<digest>.json               what was asked for (manifest.py)
    <root>/sets/<metric>-<id>.json                      set metrics and studies, by the pictures that they read
    <root>/batch_sizes.json                             how many pictures fit at once, by GPU, model and size
    <root>/sheets/<name>.png                            contact sheets

Whatever is written is whole, for it is renamed into its place; a picture that is there is never replaced while it is
whole. Only a machine that goes down can tear a file: so a picture is looked at once (its first and last bytes) by the
first run that finds it, which notes that in whole.txt; from then on its name is enough, and `verify` looks at all.
It knows no torch, no models, and nobody's intentions.
"""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from zz.lab.cell import Cell
from zz.lab.store.atomic import (
    StoreError,
    clear_errors,
    creating,
    in_the_way,
    listed,
    read_json,
    replacing,
    scan,
    write_json,
)
from zz.lab.store.parts import FeatureParts, ScoreParts
from zz.lab.store.png import is_whole, save
from zz.lab.store.records import Records, save_arrays

NAME = re.compile(r"\d{6,}-[0-9a-f]{12}\.png")
KEY = re.compile(r"[0-9a-f]{16}(\.json)?")  # of cells and rows
IDENTITY = re.compile(r"[\w.-]+-[0-9a-f]{8}")  # of scorers, features and measurements


class Missing(NamedTuple):
    """What a cell lacks of what was asked for."""

    names: list[str]  # to be made, broken ones among them
    broken: list[str]  # there, but half-written or no picture


class CellSummary(NamedTuple):
    """One cell, as a list shows it."""

    cell: Cell
    model: str
    prompts: int  # pictures of the prompt lists that it was asked over, before any limit
    images: int
    scores: dict[str, int]  # scorer -> pictures scored
    predictions: int  # guided predictions an image
    evals: int  # network evaluations an image


class Store(Records):
    """A folder of cells."""

    def cells(self, on_problem: Callable[[StoreError], None] | None = None) -> Iterator[CellSummary]:
        """Every cell, in the order of their keys. No picture is opened, so that 30,000 list at once.

        on_problem: hears of a cell that cannot be read, and the others follow; None: that is raised
        """
        self.check_format()
        problem = on_problem or _raise
        asked = self._asked(problem)
        for key in scan(self.root / "cells", like=KEY):
            try:
                cell, record = self.cell(key)
                named = self._parted(cell, "scores")
                counts = {name: len(self.scores(cell, name)) for name in named}
                cost = (_count(record.get("predictions")), _count(record.get("evals")))
                there = len(self.names(cell))
            except StoreError as error:
                problem(error)
                continue
            yield CellSummary(cell, str(record.get("model", "")), asked.get(key, 0), there, counts, *cost)

    def _asked(self, on_problem: Callable[[StoreError], None]) -> dict[str, int]:
        """By cell: the entries of the prompt lists of its rows."""
        found, lengths = dict[str, int](), dict[str, int]()
        for name in scan(self.root / "rows", ".json", KEY):
            try:
                record = read_json(self.root / "rows" / name)
                about = record if isinstance(record, dict) else {}
                cell, digest = str(about.get("cell")), str(about.get("prompts"))
                if digest not in lengths:
                    lengths[digest] = (self._prompts(digest) or b"").count(b"\n")
            except StoreError as error:
                on_problem(error)
                continue
            found[cell] = found.get(cell, 0) + lengths[digest]
        return found

    # -- images --------------------------------------------------------------------------------------------

    def image_path(self, cell: Cell, name: str) -> Path:
        """Where a picture lies, or will lie."""
        return self.folder(cell) / "images" / f"{name}.png"

    def leases(self, cell: Cell) -> Path:
        """Where it stands who is at work on what, by the name of the first picture."""
        return self.folder(cell) / "leases"

    def names(self, cell: Cell) -> set[str]:
        """The names of the pictures that are there."""
        return {name[:-4] for name in listed(self.folder(cell) / "images") if NAME.fullmatch(name)}

    def there(self, cell: Cell, names: Sequence[str]) -> list[str]:
        """Which of `names` have a file, in their order; it is not looked at."""
        found = set(listed(self.folder(cell) / "images"))
        return [name for name in names if f"{name}.png" in found]

    def known(self, cell: Cell, names: Sequence[str]) -> list[str]:
        """Which of `names` are there, or are known to have been where an archive of numbers was made."""
        found = {*self.there(cell, names), *self.told(cell).get("pictures", ())}
        return [name for name in names if name in found]

    def missing(self, cell: Cell, names: Sequence[str], verify: bool = False) -> Missing:
        """Which of `names` are not there as whole PNG files.

        verify: look at every file, also at those that were found whole before; what is torn now is missing from then on
        """
        found, noted = self.there(cell, names), self._checked(cell)
        fresh = found if verify else [name for name in found if name not in noted]
        images = self.folder(cell) / "images"
        with clear_errors(images, "read"):
            broken = [name for name in fresh if not is_whole(images / f"{name}.png")]
        torn = set(broken)
        if torn & noted:
            self._forget(cell, noted - torn)
        if whole := sorted(set(fresh) - torn - noted):
            self._note(cell, whole)
        if len(found) == len(names) and not torn:
            return Missing([], [])
        whole_ones = set(found) - torn
        return Missing([name for name in names if name not in whole_ones], broken)

    def has(self, cell: Cell, name: str) -> bool:
        """Whether a picture is there, whole."""
        path = self.image_path(cell, name)
        with clear_errors(path, "read"):
            return is_whole(path)

    def put_image(self, cell: Cell, name: str, image: Image.Image, prompt: str, seed: int) -> bool:
        """Write one picture; a whole one that came to be there meanwhile is kept. Return whether there was one.

        Its text holds key, prompt and seed only, so that equal pictures are equal files.
        """
        path = self.image_path(cell, name)
        with clear_errors(path):
            torn = path.is_file() and not is_whole(path)  # asked in this order: what others write is whole once there
            with (replacing if torn else creating)(path) as temporary:  # never removed first: others look for it
                save(image, temporary, key=cell.key, prompt=prompt, seed=str(seed))
                doubled = is_whole(path)
        if not self.has(cell, name):
            raise in_the_way(path)
        with contextlib.suppress(OSError):
            self._failure_path(cell, name).unlink()
        return doubled

    def image(self, cell: Cell, name: str) -> Image.Image:
        """Read one picture, whole. Raises StoreError on one that cannot be read."""
        path, file = self.image_path(cell, name), self.origin(cell, name)
        try:
            with Image.open(file) as image:
                image.load()
                found = image.copy()
        except Exception as error:  # any that Pillow raises
            remedy = "remove" if file == path else "mend"
            raise StoreError(f"{file} cannot be read as a picture ({error}); {remedy} it and run again") from error
        found.info["picture"] = name  # by which scorers know it, who read what others said of it
        return found

    def origin(self, cell: Cell, name: str) -> Path:
        """A picture's file: of one that was not made here the one that it is a link to."""
        path = self.image_path(cell, name)
        return path.readlink() if path.is_symlink() else path

    def link_image(self, cell: Cell, name: str, file: Path) -> None:
        """Take in a picture that was not made here, of any format, as a link to its file; a copy where links fail."""
        path = self.image_path(cell, name)
        with clear_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() and path.readlink() == file:
                return
            with replacing(path) as temporary:
                try:
                    temporary.symlink_to(file)
                except OSError:  # a file system without links
                    shutil.copyfile(file, temporary)

    def put_failure(self, cell: Cell, name: str, prompt: str, seed: int, error: str) -> None:
        """Record why a picture could not be made; forgotten when it is made after all."""
        record = {"prompt": prompt, "seed": seed, "error": error, "time": time.time()}
        write_json(self._failure_path(cell, name), record)

    def failures(self, cell: Cell) -> dict[str, dict[str, Any]]:
        """By name: prompt, seed and error of the pictures that could not be made."""
        found = [name.removesuffix(".json") for name in scan(self.folder(cell) / "failed", ".json")]
        names = [name for name in found if NAME.fullmatch(f"{name}.png")]
        records = {name: read_json(self._failure_path(cell, name)) for name in names}
        # another task may have made it just before this one failed
        return {name: record for name, record in records.items() if record and not self.has(cell, name)}

    def _failure_path(self, cell: Cell, name: str) -> Path:
        return self.folder(cell) / "failed" / f"{name}.json"

    def _checked(self, cell: Cell) -> set[str]:
        try:
            return set((self.folder(cell) / "whole.txt").read_text(encoding="utf-8").split("\n"))
        except (OSError, UnicodeDecodeError):
            return set()

    def _note(self, cell: Cell, names: Sequence[str]) -> None:
        """Several may add to it at once; a line that is torn is no name, and its picture is looked at again."""
        try:
            with (self.folder(cell) / "whole.txt").open("a", encoding="utf-8") as file:
                file.write("\n" + "\n".join(names) + "\n")
        except OSError:
            pass  # a store that can only be read is looked at each time

    def _forget(self, cell: Cell, kept: set[str]) -> None:
        """Note these alone; what another adds meanwhile may be lost, and is looked at again."""
        path = self.folder(cell) / "whole.txt"
        with contextlib.suppress(OSError), replacing(path) as temporary:
            temporary.write_text("\n".join(sorted(kept)) + "\n", encoding="utf-8")

    # -- videos --------------------------------------------------------------------------------------------

    def video_path(self, cell: Cell, name: str, fps: int) -> Path:
        """Where the video of a clip lies, or will lie."""
        return self.folder(cell) / "videos" / f"{fps}fps" / f"{name}.mp4"

    def put_video(self, cell: Cell, name: str, fps: int, content: bytes) -> None:
        """Write one video."""
        path = self.video_path(cell, name, fps)
        with clear_errors(path), replacing(path) as temporary:
            temporary.write_bytes(content)

    # -- scores, features, measurements --------------------------------------------------------------------

    def scores(self, cell: Cell, scorer: str) -> dict[str, float]:
        """name -> score; `scorer` is a name and an identity, such as log_odds-1a2b3c4d."""
        return ScoreParts(self.folder(cell) / "scores" / scorer).read()

    def put_scores(self, cell: Cell, scorer: str, about: Mapping[str, Any], scores: Mapping[str, float]) -> None:
        """Add scores to those that are there."""
        parts = ScoreParts(self.folder(cell) / "scores" / scorer)
        parts.add(scores, about)
        parts.fold(about)

    def features(self, cell: Cell, features: str) -> dict[str, np.ndarray]:
        """name -> vector, float64  # (D,)"""
        return FeatureParts(self.folder(cell) / "features" / features).read()

    def put_features(self, cell: Cell, features: str, values: Mapping[str, np.ndarray]) -> None:
        """Add features to those that are there."""
        parts = FeatureParts(self.folder(cell) / "features" / features)
        parts.add(values, {})
        parts.fold({})

    def fold(self, cell: Cell) -> None:
        """Put the small parts of everything that a cell holds together: a finished row opens few files."""
        for name in self._parted(cell, "scores"):
            ScoreParts(self.folder(cell) / "scores" / name).fold({"name": name}, least=1)
        for name in self._parted(cell, "features"):
            FeatureParts(self.folder(cell) / "features" / name).fold({}, least=1)

    def _parted(self, cell: Cell, kind: str) -> list[str]:
        """The identities of what a cell holds there, a folder each; a file is a stranger's."""
        folder = self.folder(cell) / kind
        return [name for name in scan(folder, like=IDENTITY) if not (folder / name).is_file()]

    def measured_path(self, cell: Cell, measurement: str, name: str) -> Path:
        """Where what was measured on a picture lies, or will lie."""
        return self.folder(cell) / "measured" / measurement / f"{name}.npz"

    def put_measured(self, cell: Cell, measurement: str, name: str, values: Mapping[str, Any]) -> None:
        """Keep what was measured on one picture; what is there already is kept while it can be read."""
        path = self.measured_path(cell, measurement, name)
        with clear_errors(path), creating(path) as temporary:
            with temporary.open("wb") as file:
                save_arrays(file, values)
            if self.measured(cell, measurement, name) is None:
                path.unlink(missing_ok=True)

    def measured(self, cell: Cell, measurement: str, name: str) -> dict[str, np.ndarray] | None:
        """What was measured on one picture; None if nothing was, or if that is not to be read."""
        try:
            with np.load(self.measured_path(cell, measurement, name), allow_pickle=False) as file:
                return dict(file)
        except Exception:  # whatever numpy and zip raise on a file that is not there, or is cut
            return None

    def unmeasured(self, cell: Cell, measurement: str, names: Sequence[str], verify: bool = False) -> list[str]:
        """Which of `names` have nothing measured; verify: read every file, for one that is torn counts for nothing."""
        if verify:
            return [name for name in names if self.measured(cell, measurement, name) is None]
        there = set(scan(self.folder(cell) / "measured" / measurement, ".npz"))
        return [name for name in names if f"{name}.npz" not in there]

    def measurements(self, cell: Cell) -> list[str]:
        """The measurements that were made on a cell's pictures: names and identities."""
        return self._parted(cell, "measured")


def _raise(error: StoreError) -> None:
    raise error


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


__all__ = ["CellSummary", "Missing", "Store", "StoreError"]
