"""Files of weights: those inside the package, and digests of contents that do not depend on the path."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

NOTES = {"_name_or_path", "_diffusers_version", "transformers_version", "_commit_hash"}  # in configs; no settings
EMBEDDED = Path(__file__).resolve().parents[1] / "weights"


def resolve(pretrained: str | Path) -> str:
    """The folder of the package's own weights for `zz:NAME`; any other folder or hub id unchanged."""
    scheme, _, name = str(pretrained).partition(":")
    if scheme != "zz":
        return str(pretrained)
    known = sorted(path.name for path in EMBEDDED.glob("*") if path.is_dir())
    if name not in known:
        raise ValueError(
            f"pretrained={pretrained} does not come with zz; what does: {', '.join(known) or 'nothing'}; models "
            "of the zoo that a wheel leaves out are in zz/weights of a clone: give that folder"
        )
    return str(EMBEDDED / name)


# names that diffusers and transformers load: model.safetensors, model.fp16.safetensors, model-00001-of-00002.bin, ...
WEIGHTS = re.compile(
    r"(diffusion_pytorch_|pytorch_)?model(\.(?P<variant>\w+))?(-\d+-of-(?P<shards>\d+))?\.(?P<kind>safetensors|bin)"
)


def weights(names: Iterable[str], variant: str | None = None) -> list[str]:
    """Of a folder's file names, the weights that are loaded: the variant if there is one, safetensors before bin."""
    found = [match for name in sorted(names) if (match := WEIGHTS.fullmatch(name))]
    for wanted in dict.fromkeys((variant, None)):
        for kind in ("safetensors", "bin"):
            if these := [m[0] for m in found if m["variant"] == wanted and m["kind"] == kind]:
                return these
    return []


def settings(names: Iterable[str]) -> list[str]:
    """Of a folder's names, configurations, vocabularies, templates; hidden files and copies ("x (1).json") are none."""
    return sorted(name for name in names if re.fullmatch(r"[^.](?!.* \(\d+\)\.).*\.(json|txt|model|jinja)", name))


def digest(
    folder: Path, parts: Sequence[str], elsewhere: Mapping[str, Path] | None = None, variant: str | None = None
) -> str:
    """16 hex digits of the contents of a pipeline's parts. A large file is read once for each path, size and mtime.

    elsewhere: the folders of parts that are not in `folder`
    """
    found = []
    for part in parts:
        home = (elsewhere or {}).get(part, folder / part)
        names = [path.name for path in home.glob("*") if path.is_file()]
        found += [(f"{part}/{name}", _digest(home / name)) for name in weights(names, variant) + settings(names)]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """16 hex digits of the contents of one file, cached as by `digest`."""
    return _digest(path)[:16]


def sha256(path: Path) -> str:
    """64 hex digits of a file's bytes, cached as by `digest`."""
    return _digest(path, as_is=True)


def check_named(path: Path) -> None:
    """Raises ValueError where a file of weights, NAME-743b7d99.pth, has not the digest that its name begins with."""
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if named and not sha256(path).startswith(named[1]):
        raise ValueError(
            f"{path} is not what its name says: its SHA-256 begins with {sha256(path)[:8]}, not {named[1]}; remove it, "
            "and it is downloaded anew"
        )


def _settings_digest(text: bytes) -> str:
    """The digest of a JSON file without the keys in NOTES, which record who saved it and affect no number."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict):
        text = json.dumps({key: said[key] for key in sorted(said.keys() - NOTES)}).encode()
    return hashlib.sha256(text).hexdigest()


def cache() -> Path:
    """The folder of what is kept between runs: ~/.cache/zz, which XDG_CACHE_HOME moves."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zz"


def _digest(path: Path, as_is: bool = False) -> str:
    path, as_is = path.resolve(), as_is or path.suffix != ".json"
    stat, folder = path.stat(), cache() / "digests"
    what = f"{3 if as_is else 2}|{path}|{stat.st_size}|{stat.st_mtime_ns}"
    known = folder / hashlib.sha256(os.fsencode(what)).hexdigest()[:32]
    if known.is_file():
        return known.read_text()
    with path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest() if as_is else _settings_digest(file.read())
    if stat.st_size > 1 << 20:  # a small file is read faster than looked up
        try:
            folder.mkdir(parents=True, exist_ok=True)
            beside = known.with_suffix(f".{os.getpid()}")
            beside.write_text(sha)
            beside.replace(known)
        except OSError:
            pass  # a cache that cannot be written costs time only
    return sha


def tensors(path: Path) -> list[str]:
    """The names of the tensors in a safetensors file. Raises SafetensorError if it is truncated or of another kind."""
    with safe_open(path, framework="numpy") as file:
        return list(file.keys())


def whole(path: Path) -> bool:
    """Whether a safetensors file can be opened, which fails if it is truncated. True for files of other kinds."""
    if path.suffix != ".safetensors":
        return True
    try:
        tensors(path)
    except (SafetensorError, OSError):
        return False
    return True
