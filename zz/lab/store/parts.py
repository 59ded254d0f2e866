"""Values by picture, kept in parts: each writer adds files of its own, and a thousand values are folded into one.

A part is never changed. Whoever finds enough of them writes their union under a new name and then removes just those
that it read, so that whatever is killed and however many write, every value is in a file at any moment.
"""

import contextlib
import errno
import json
import math
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from zz.lab.store.atomic import clear_errors, json_line, replacing, scan

FOLD = 1000  # values that a folded file holds at least
PART = re.compile(r"(part|fold)-\S+\.\w+")
V = TypeVar("V")


class _Gone(Exception):
    """A part that was listed is not there any more."""


class Parts(ABC, Generic[V]):
    """A folder of parts."""

    suffix: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> dict[str, V]:
        """The union of all parts: name -> value."""
        while True:
            found: dict[str, V] = {}
            try:
                for name in scan(self.folder, self.suffix, PART):
                    found |= self._part(self.folder / name)
                return found
            except _Gone:
                continue  # folded meanwhile: look again

    def add(self, values: Mapping[str, V], about: Mapping[str, Any]) -> None:
        """Write one more part."""
        if values:
            self._write(f"part-{os.getpid():x}-{time.time_ns():x}", values, about)

    def fold(self, about: Mapping[str, Any], least: int = FOLD) -> None:
        """Put small parts together once they hold `least` values."""
        found, folded = dict[str, V](), list[str]()
        with contextlib.suppress(_Gone):  # another folds
            for name in (name for name in scan(self.folder, self.suffix, PART) if name.startswith("part-")):
                if values := self._part(self.folder / name):  # what cannot be read now stays: it may be another time
                    found |= values
                    folded.append(name)
            if len(folded) < 2 or len(found) < least:
                return
            self._write(f"fold-{os.getpid():x}-{time.time_ns():x}", found, about)
            for name in folded:
                (self.folder / name).unlink(missing_ok=True)

    def _part(self, path: Path) -> dict[str, V]:
        """One part. Raises _Gone where it is not there any more, StoreError where it cannot be read."""
        with clear_errors(path, "read"):
            try:
                return self._load(path)
            except FileNotFoundError:
                if path.is_symlink():
                    return {}  # it leads nowhere
                raise _Gone from None
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, None):
                    return {}  # it can be read another time, or numpy has no word for it
                raise

    def _write(self, stem: str, values: Mapping[str, V], about: Mapping[str, Any]) -> None:
        path = self.folder / f"{stem}{self.suffix}"
        with clear_errors(path), replacing(path) as temporary:
            self._save(temporary, values, about)

    @abstractmethod
    def _load(self, path: Path) -> dict[str, V]:
        """One part. A torn or foreign file counts for nothing. Raises OSError where it cannot be read."""

    @abstractmethod
    def _save(self, path: Path, values: Mapping[str, V], about: Mapping[str, Any]) -> None:
        """Write one part."""


class ScoreParts(Parts[float]):
    """One number a picture."""

    suffix = ".json"

    def _load(self, path: Path) -> dict[str, float]:
        try:
            scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
            if {*map(type, scores.values())} <= {float} and all(map(math.isfinite, scores.values())):
                return scores  # as they are written
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        return {name: float(s) for name, s in scores.items() if _number(s)}

    def _save(self, path: Path, values: Mapping[str, float], about: Mapping[str, Any]) -> None:
        record = {"about": dict(about), "scores": {name: values[name] for name in sorted(values)}}
        path.write_bytes(json_line(record, indent=1))


class FeatureParts(Parts[np.ndarray]):
    """One vector a picture, float64."""

    suffix = ".npz"

    def _load(self, path: Path) -> dict[str, np.ndarray]:
        try:
            with np.load(path, allow_pickle=False) as file:
                names, rows = [str(name) for name in file["names"]], file["features"]
        except OSError:
            raise
        except Exception:  # whatever numpy and zip raise on a file that is cut
            return {}
        if rows.ndim != 2 or len(names) != len(rows):
            return {}
        return {name: row for name, row in zip(names, rows, strict=True) if np.isfinite(row).all()}

    def _save(self, path: Path, values: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
        names = sorted(values)
        with path.open("wb") as file:
            np.savez(file, names=np.array(names), features=np.stack([values[name] for name in names]))


def _number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False
