"""What a set of pictures is compared with: a folder of real pictures, or published statistics of one."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from zz.diffusion.validate import validate
from zz.hub.files import cache, file_digest
from zz.hub.published import Published
from zz.scorers.base import Extract
from zz.scorers.frechet import Moments, Tally, tally
from zz.scorers.pictures import rgb

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CHUNK = 256  # pictures in memory at once


@dataclass(frozen=True)
class Reference:
    """Real pictures.

    path: a folder of pictures, with its subfolders; or a .npz of `mu` and `sigma`, which serves Fréchet distances only
    file: such a .npz as its authors publish it, where `path` is null
    """

    path: str | None = None
    file: Published | None = None

    def __post_init__(self) -> None:
        validate(self, "against")

    def identity(self, scorer: str) -> str:
        """What it is known by: its contents, whatever the path. Raises ValueError where it is not there."""
        if self.path is None:
            if self.file is None:
                raise ValueError(
                    f"scorers.{scorer}.against.path=null: give a folder of real pictures to compare with, as "
                    f"scorers.{scorer}.against.path=FOLDER"
                )
            return self.file.sha256 or self.file.source
        if Path(self.path).is_file():
            return file_digest(Path(self.path))
        return _folder_digest(self._pictures(scorer))

    def moments(self, extract: Extract, scorer: str) -> Moments:
        """Mean and covariance of its features."""
        if self.path is None or Path(self.path).is_file():
            self.identity(scorer)
            path = Path(self.path) if self.path else self.file.fetch(f"scorers={scorer}") if self.file else Path()
            return _statistics(path, f"scorers.{scorer}.against")
        total: Tally | None = None
        for rows in self._extracted(extract, scorer):
            one = tally(rows)
            total = total.merged(one) if total else one
        if total is None or total.n < 2:
            raise ValueError(f"scorers.{scorer}.against.path={self.path} has one picture: a covariance needs more")
        return total.moments

    def features(self, extract: Extract, scorer: str) -> np.ndarray:
        """The features of its pictures, by name of file  # (N, D)"""
        if self.path is None or Path(self.path).is_file():
            of = self.path or (self.file.source if self.file else "null")
            raise ValueError(
                f"scorers.{scorer}.against.path={of}: it needs the pictures themselves, not their statistics; give a "
                f"folder, as scorers.{scorer}.against.path=FOLDER"
            )
        return np.concatenate(list(self._extracted(extract, scorer)))

    def _pictures(self, scorer: str) -> list[Path]:
        folder = Path(self.path or "")
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            what = "has no pictures" if folder.is_dir() else "is not there"
            raise ValueError(
                f"scorers.{scorer}.against.path={self.path} {what}; give a folder of {', '.join(SUFFIXES)}, or a .npz"
            )
        return found

    def _extracted(self, extract: Extract, scorer: str) -> Iterator[np.ndarray]:
        paths = self._pictures(scorer)
        for start in range(0, len(paths), CHUNK):
            yield extract([_read(path, scorer) for path in paths[start : start + CHUNK]])


def check_dimensions(scorer: str, ours: int, theirs: int) -> None:
    """Raises ValueError where features of two kinds would be compared."""
    if ours != theirs:
        raise ValueError(
            f"scorers.{scorer}.against has features of {theirs} dimensions, the pictures of {ours}: compare with "
            "pictures, or with statistics of the same network"
        )


def _read(path: Path, scorer: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return rgb(image)
    except Exception as error:  # any that Pillow raises
        raise ValueError(f"scorers.{scorer}.against: {path} cannot be read ({error}); mend or remove it") from error


def _statistics(path: Path, field: str) -> Moments:
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, covariance = (np.asarray(file[name], dtype=np.float64) for name in ("mu", "sigma"))
    except Exception as error:  # whatever numpy and zip raise
        raise ValueError(f"{field}: {path} is no .npz of mu and sigma ({error}); give another, or a folder") from error
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"{field}: {path} has mu {mean.shape} and sigma {covariance.shape}, not (D,) and (D, D)")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(f"{field}: {path} holds what is not finite; fetch it again")
    return Moments(mean, covariance)


def _folder_digest(paths: list[Path]) -> str:
    """16 hex digits of the contents of files, in order. Read once for each state of names, sizes and times."""
    stats = [(str(p.resolve()), (s := p.stat()).st_size, s.st_mtime_ns) for p in paths]
    return _of_state(hashlib.sha256(repr(stats).encode(errors="surrogateescape")).hexdigest()[:32], tuple(paths))


@lru_cache(maxsize=64)
def _of_state(state: str, paths: tuple[Path, ...]) -> str:
    known = cache() / "digests" / state
    if known.is_file():
        return known.read_text()
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    found = total.hexdigest()[:16]
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(found)
    except OSError:
        pass  # a cache that cannot be written costs time only
    return found


__all__ = ["Reference", "check_dimensions"]
