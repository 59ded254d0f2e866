"""Leases: who is at work on a slot, so that two runs do not make the same pictures.

A lease is a file, made exclusively, touched while its holder gets on, and removed when the slot is done. One that was
not touched for so many seconds by the file system's own clock, or whose process on this very host is gone, is anyone's.
It saves work and no more: what two have made all the same is kept once (store.py), and a lease that cannot be written
is none.
"""

import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

POLL = 0.5  # seconds between two looks at what others hold
TOUCH = 1.0  # seconds between two touches at least
UNSIGNED = 10.0  # seconds that a lease lives which names no holder: its maker ended before it could write so


class Leases:
    """The leases that one worker holds. seconds: how long one lives untouched; None or 0: none are taken or heeded."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self._mine, self._touched = seconds or 0.0, list[Path](), 0.0

    def take(self, paths: Iterable[Path]) -> bool:
        """Take all of these, or none if another holds any."""
        taken = list[Path]()
        for path in paths if self.seconds else ():
            if not self._take(path):
                self.release(taken)
                return False
            taken.append(path)
        return True

    def touch(self) -> None:
        """Say that the work gets on."""
        if self._mine and time.monotonic() - self._touched > min(TOUCH, self.seconds / 4):
            self._touched = time.monotonic()
            for path in self._mine:
                with contextlib.suppress(OSError):
                    os.utime(path)  # no time given: the file system's own

    def release(self, paths: Iterable[Path] | None = None) -> None:
        """Give these back, or all."""
        for path in list(self._mine if paths is None else paths):
            if path in self._mine:
                self._mine.remove(path)
                with contextlib.suppress(OSError):
                    if _holder(path) == _me():  # another may have taken it, after a long silence
                        path.unlink()

    def held(self, path: Path) -> bool:
        """Whether another is at work there."""
        return bool(self.seconds) and path not in self._mine and _living(path, self.seconds)

    def _take(self, path: Path) -> bool:
        for _ in range(3):
            try:
                if not path.parent.is_dir():
                    path.parent.mkdir(parents=True)
            except OSError:
                return True
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(json.dumps(_me()))
                self._mine.append(path)
                return True
            except FileExistsError:
                if _living(path, self.seconds):
                    return False
                _clear(path, self.seconds)
            except FileNotFoundError:
                continue  # the folder was swept meanwhile
            except OSError:
                return True
        return True


def sweep(folder: Path, seconds: float | None) -> None:
    """Remove what nobody holds any more, and the folder if nothing is left in it."""
    if not seconds:
        return
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if not _living(path, seconds):
                _clear(path, seconds)
        folder.rmdir()


def _me() -> list[str | int]:
    """A process: its host, its own view of process ids (a container has another), and its id."""
    try:
        view = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        view = 0
    return [socket.gethostname(), view, os.getpid()]


def _holder(path: Path) -> list[str | int] | None:
    """Whose a lease is; None if that is not to be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) and len(found) == 3 else None


def _living(path: Path, seconds: float) -> bool:
    try:
        touched = path.stat().st_mtime
    except OSError:
        return False
    holder, me = _holder(path), _me()
    if holder and holder[:2] == me[:2] and not _runs(holder[2]):
        return False
    return abs(_now(path.parent) - touched) < (seconds if holder else min(seconds, UNSIGNED))


def _runs(pid: str | int) -> bool:
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.Error:
        return True


def _now(folder: Path) -> float:
    """The time by the clock of the file system that a folder lies on, for hosts' clocks differ."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _clear(path: Path, seconds: float) -> None:
    """Remove a lease that nobody holds. Of several who try, one gets it; what is a new one by then is put back."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns():x}")
    with contextlib.suppress(OSError):
        path.rename(aside)
        if _living(aside, seconds):
            aside.rename(path)
        else:
            aside.unlink()
