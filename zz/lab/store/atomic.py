"""Files are written to a temporary name and renamed, so readers never see a partial file. Imports no torch."""

import contextlib
import errno
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

STALE = 86_400  # seconds after which another process's temporary file is taken for abandoned
LOCKED = 60  # seconds after which a lock, which is held for one rename, is
_TEMPORARY = re.compile(r"\..+\.(\d+\.[0-9a-f]+|lock)")  # what temporary_name gives, and locks
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY)
_ANY = re.compile(".*", re.S)


class StoreError(Exception):
    """The store cannot be read or written; says where, why, and what to do."""


class InTheWay(StoreError):
    """Something else lies where a file or a folder of the store belongs."""


def in_the_way(path: Path) -> InTheWay:
    """What is said of it."""
    return InTheWay(f"store: {path}: it is in the way: remove it, or choose another with store=PATH; then run it again")


@contextlib.contextmanager
def clear_errors(path: Path, done: str = "written") -> Iterator[None]:
    """Turn an OSError into a StoreError that names the place and the remedy. done: written or read."""
    try:
        yield
    except OSError as error:
        if done == "read" and isinstance(error.filename, str):
            path = Path(error.filename)  # one of those in the folder `path`
        if error.errno in _IN_THE_WAY:
            place = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
            raise in_the_way(place) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "the disk is full: free some space and run the same command again; what is made is kept"
        elif error.errno in READ_ONLY:
            remedy = f"it cannot be {done}: choose another with store=PATH"
        else:
            remedy = f"it cannot be {done} ({error.strerror}): try again, or choose another with store=PATH"
        raise StoreError(f"store: {path}: {remedy}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, renamed onto it if the block succeeds and removed if it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def creating(path: Path) -> Iterator[Path]:
    """As `replacing`, but a file that came to be there meanwhile is kept, and what was written is dropped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            _rename_once(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _rename_once(temporary: Path, path: Path) -> None:
    """Rename, unless `path` is there: of several who do so at once the one that makes the lock file does it."""
    lock = path.with_name(f".{path.name}.lock")
    while not path.exists():
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > LOCKED:  # its maker is dead
                    lock.unlink()
            time.sleep(0.01)
            continue
        try:
            if not path.exists():
                temporary.replace(path)
        finally:
            lock.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """A name beside `path` that nobody else has, and that no listing takes for a result."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns():x}")


def json_line(record: Any, indent: int | None = None) -> bytes:
    """JSON in UTF-8, and the end of the line. What is no Unicode, such as the bytes of a path, is escaped."""
    return (json.dumps(record, indent=indent, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def write_json(path: Path, record: Any) -> None:
    """Write a JSON file, whole."""
    with clear_errors(path), replacing(path) as temporary:
        temporary.write_bytes(json_line(record, indent=1))


def create_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file that is not there yet, whole; leave it alone if it is."""
    with clear_errors(path), creating(path) as temporary:
        temporary.write_bytes(json_line(record))


def read_json(path: Path) -> Any:
    """A JSON file's content; None if it is not there, or is not JSON. Raises StoreError where it cannot be read."""
    try:
        with clear_errors(path, "read"):
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except (FileNotFoundError, NotADirectoryError):
                return None
    except (ValueError, RecursionError):
        return None


def scan(folder: Path, suffix: str = "", like: re.Pattern[str] = _ANY) -> list[str]:
    """The names of a folder's files, sorted, but for hidden and temporary ones; none if there is no such folder.

    like: what the names are; others are not ours

    Raises StoreError where it cannot be listed.
    """
    names = (name for name in listed(folder) if name.endswith(suffix) and not name.startswith("."))
    return sorted(filter(like.fullmatch, names))


def listed(folder: Path) -> list[str]:
    """All names in a folder; none if there is no such folder. Raises StoreError where it cannot be listed."""
    with clear_errors(folder, "read"):
        try:
            return os.listdir(folder)  # noqa: PTH208  # names alone: no stat, no objects
        except FileNotFoundError:
            return []


def sweep(folder: Path) -> None:
    """Remove temporary files that were abandoned here, or in a folder of it, long ago."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  # names alone: no stat, no objects
            if "." not in name:
                sweep(folder / name)
            elif name[0] == "." and _TEMPORARY.fullmatch(name) and _age(folder / name) > STALE:
                (folder / name).unlink()


def _age(path: Path) -> float:
    return time.time() - path.lstat().st_mtime
