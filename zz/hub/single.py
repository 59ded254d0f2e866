"""One file of weights: a local one, or one of a repository of the hub, downloaded alone."""

from pathlib import Path
from typing import NamedTuple

from huggingface_hub import try_to_load_from_cache

from zz.hub.location import Location, find, is_id


class Single(NamedTuple):
    """A file, and the folder or repository that it is in.

    field: the config field that names it
    home:  a folder, or a hub id (ID or ID@REVISION) if `hub` is set
    file:  its path in there
    """

    field: str
    home: str
    file: str
    hub: bool

    def find(self) -> tuple[Location, Path]:
        """The location and the file, downloaded if necessary. Raises ValueError with the field and the remedy."""
        location = find(self.field, self.home, (self.file,))
        return location, location.root / self.file

    def cached(self) -> Path | None:
        """A hub's file; None if it must be downloaded. Downloads nothing."""
        repo, _, revision = self.home.partition("@")
        found = try_to_load_from_cache(repo, self.file, revision=revision or None)
        return Path(found) if isinstance(found, str) else None

    def command(self) -> str:
        """The shell command that downloads it."""
        repo, _, revision = self.home.partition("@")
        return f"hf download {repo} {self.file}" + (f" --revision {revision}" if revision else "")


def named(field: str, name: str) -> Single:
    """The file of a name: a path, or ID/FILE or ID@REVISION/FILE of the hub where there is no such path."""
    parts = name.split("/")
    if len(parts) > 2 and is_id("/".join(parts[:2])) and not Path(name).is_file():
        return Single(field, "/".join(parts[:2]), "/".join(parts[2:]), True)
    return Single(field, str(Path(name).parent), parts[-1], False)


def place(location: Location, path: Path) -> str:
    """A file that was found, for the record of a run: ID@COMMIT/FILE, or its path."""
    if not location.repo:
        return str(path)
    return f"{location.repo}@{location.commit}/{path.relative_to(location.root).as_posix()}"


__all__ = ["Single", "named", "place"]
