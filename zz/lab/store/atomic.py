"""Files are written to a temporary name and renamed, so readers never see a partial file. Imports no torch."""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

STALE = 86_400  # seconds after which another process's temporary file is taken for abandoned


class StoreError(Exception):
    """The store cannot be read or written; says where, why, and what to do."""


@contextlib.contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "the disk is full: free some space and run the same command again; what is made is kept"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "it cannot be written: choose another with store=PATH"
        else:
            remedy = f"{error.strerror}: choose another with store=PATH"
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
            if not path.exists():
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """A name beside `path` that nobody else has, and that no listing takes for a result."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns():x}")


def write_json(path: Path, record: Any) -> None:
    """Write a JSON file, whole."""
    with clear_errors(path), replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def create_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file that is not there yet, whole; leave it alone if it is."""
    with clear_errors(path), creating(path) as temporary:
        temporary.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """A JSON file's content; None if it is not there, or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def scan(folder: Path, suffix: str = "") -> list[str]:
    """The names of a folder's files, sorted, but for temporary ones; none if there is no such folder.

    Raises StoreError where it cannot be listed.
    """
    return sorted(name for name in listed(folder) if name.endswith(suffix) and not name.startswith("."))


def listed(folder: Path) -> list[str]:
    """All names in a folder; none if there is no such folder. Raises StoreError where it cannot be listed."""
    try:
        return os.listdir(folder)  # noqa: PTH208  # names alone: no stat, no objects
    except FileNotFoundError:
        return []
    except OSError as error:
        why = f"cannot be listed ({error.strerror}); remove it, or choose another with store=PATH"
        raise StoreError(f"store: {folder} {why}") from error


def sweep(folder: Path) -> None:
    """Remove temporary files that were abandoned here long ago."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.is_file() and time.time() - entry.stat().st_mtime > STALE:
                Path(entry.path).unlink(missing_ok=True)
