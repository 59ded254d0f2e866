"""Weights as files: where those that travel with the package lie, and what is in a folder, whatever its path."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

EMBEDDED = Path(__file__).resolve().parent.parent / "weights"


def placed(pretrained: str | Path) -> str:
    """A folder or hub id as it was given; for `zz:NAME`, the folder of the package's own weights of that name."""
    scheme, _, name = str(pretrained).partition(":")
    if scheme != "zz":
        return str(pretrained)
    known = sorted(path.name for path in EMBEDDED.glob("*") if path.is_dir())
    if name not in known:
        raise ValueError(f"pretrained={pretrained} does not come with zz; what does: {', '.join(known) or 'nothing'}")
    return str(EMBEDDED / name)


def digest(folder: Path, parts: Sequence[str]) -> str:
    """16 hex digits of what is in a pipeline's parts. A weights file is read once, then known by path, size, mtime."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zz" / "digests"
    found = []
    for part in parts:
        files = [path for path in sorted((folder / part).glob("*")) if path.is_file()]
        weights = [p for p in files if p.suffix == ".safetensors"] or [p for p in files if p.suffix == ".bin"]
        plain = [p for p in weights if p.stem.count(".") == 0]  # not a variant, such as model.fp16.safetensors
        others = [p for p in files if p.suffix in (".json", ".txt", ".model")]
        found += [(f"{part}/{p.name}", _digest(p, cache)) for p in (plain or weights) + others]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _digest(path: Path, cache: Path) -> str:
    path = path.resolve()
    stat = path.stat()
    known = cache / hashlib.sha256(f"{path}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:32]
    if known.is_file():
        return known.read_text()
    with path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size > 1 << 20:  # what is small is read again sooner than looked up
        try:
            cache.mkdir(parents=True, exist_ok=True)
            beside = known.with_suffix(f".{os.getpid()}")
            beside.write_text(sha)
            beside.replace(known)
        except OSError:
            pass  # a cache that cannot be written costs time only
    return sha
