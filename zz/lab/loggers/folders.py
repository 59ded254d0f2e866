"""Folders that loggers write into."""

import re
import tempfile
from importlib.util import find_spec
from os.path import relpath
from pathlib import Path

from zz.lab.loggers.sink import About
from zz.lab.store.store import Store

LONGEST = 100  # characters of a title in a folder's name


def check_folder(field: str, path: str) -> None:
    """Raise ValueError unless files can be made there."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"{field}={path} cannot be written ({error.strerror}); choose another folder") from error


def check_installed(field: str, package: str, extra: str) -> None:
    """Raise ValueError unless a package is installed."""
    if find_spec(package) is None:
        raise ValueError(f"{field} needs {package}, which is not installed: pip install 'zz[{extra}]'")


def row_folder(path: str, about: About) -> Path:
    """A row's folder, TITLE ID: the one that is there, for its title may be another beside other rows."""
    there = sorted(Path(path).glob(f"* {about.id}")) if Path(path).is_dir() else []
    title = re.sub(r"[^\w=.,()+-]+", " ", about.title).strip()[:LONGEST]
    return there[0] if there else Path(path) / f"{title} {about.id}"


def place(path: str, store: Store) -> str:
    """A folder as it lies from the store, so that both can be moved together."""
    return relpath(Path(path).expanduser().absolute(), store.root)
