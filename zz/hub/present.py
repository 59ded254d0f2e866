"""Whether published files and models are here, and what would be downloaded. Downloads nothing."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import HfApi, constants, try_to_load_from_cache

from zz.hub.check import Check
from zz.hub.files import resolve, settings, weights
from zz.hub.location import lacking, reachable
from zz.hub.published import ASK, Published


def file_check(title: str, file: Published) -> Check:
    """One file: where it is, its size, its licence, and whether its digest holds."""
    terms = f"; licence: {file.licence or 'not known'}"
    pinned = "pinned by its digest" if file.sha256 else "not pinned by a digest"
    if (path := file.here) is None:
        said = f"{file.name} to download: {_size(file.announced)}, {pinned}{terms}"
        return Check(title, "missing", said, f"by hand: fetch {file.address} to {file.place}")
    try:
        file.checked(path)
    except ValueError as error:
        return Check(title, "missing", f"{file.name} is another file{terms}", str(error))
    recorded = "" if file.sha256 else f": {str(file.recorded)[:12]}... is the first download's"
    return Check(title, "ok", f"{file.name} is here, {_size(path.stat().st_size)}, {pinned}{recorded}{terms}")


def model_check(title: str, name: str) -> Check:
    """A model that a scorer reads: a folder, one that comes with zz, or a repository of the hub."""
    folder = Path(resolve(name))
    if folder.is_dir():
        lack = lacking(folder)
        return Check(title, "missing" if lack else "ok", f"folder {name}" + (f" has {lack}" if lack else ""))
    repo, _, revision = name.partition("@")
    found = try_to_load_from_cache(repo, "config.json", revision=revision or None)
    if isinstance(found, str) and not lacking(here := Path(found).parent):
        held = sum(path.stat().st_size for path in here.rglob("*") if path.is_file())
        return Check(title, "ok", f"{name} is in the cache, {_size(held)}")
    said = f"{name} to download: {_size(_announced(repo, revision or None))}"
    return Check(
        title, "missing", said, f"by hand: hf download {repo}" + (f" --revision {revision}" if revision else "")
    )


def _announced(repo: str, revision: str | None) -> int | None:
    """Bytes of a repository's weights and settings, if the hub tells."""
    if constants.is_offline_mode() or not reachable(constants.ENDPOINT):
        return None
    try:
        files = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=ASK).siblings or []
    except Exception:  # any that the transport raises; a size is no need
        return None
    sizes = {file.rfilename: file.size or 0 for file in files}
    return sum(sizes[name] for name in {*weights(sizes), *settings(sizes)}) or None


def package_check(title: str, extras: Sequence[str]) -> Check:
    """Packages that are no dependency of zz."""
    if lack := absent(extras):
        return Check(title, "missing", f"no {', '.join(lack)}", f"pip install {' '.join(lack)}")
    return Check(title, "ok", f"{', '.join(extras)} installed")


def absent(packages: Sequence[str]) -> list[str]:
    """Those that are not installed."""
    return [name for name in packages if find_spec(name.replace("-", "_")) is None]


def _size(n: int | None) -> str:
    if n is None:
        return "size not known here"
    return f"{n:,} bytes" + (f" ({n / 1e9:.2f} GB)" if n >= 1e8 else "")


__all__ = ["absent", "file_check", "model_check", "package_check"]
