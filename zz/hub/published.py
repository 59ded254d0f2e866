"""One file as its authors publish it: downloaded once from a fixed place, checked by its digest, and kept.

A file of the Hugging Face hub is kept in the hub's own cache, any other below ~/.cache/zz/files (XDG_CACHE_HOME moves
it), in a folder named after its address; a file that is put there by hand is as good as a downloaded one.
"""

import errno
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils.tqdm import tqdm

from zz.hub.files import cache, sha256
from zz.hub.location import reachable

_HF = re.compile(r"hf:(?P<kind>datasets/|spaces/)?(?P<repo>[^/@:]+/[^/@:]+)@(?P<revision>[^/@:]+)/(?P<file>[^:]+)")
TIMEOUT = 30  # seconds without an answer
ASK = 5  # seconds for a question that may stay open


class _Hub(NamedTuple):
    """A file of the hub."""

    kind: str  # model, dataset, space
    repo: str
    revision: str
    file: str


@dataclass(frozen=True)
class Published:
    """A file at its source.

    source:  https://ADDRESS, or hf:[datasets/]OWNER/NAME@REVISION/FILE for one of the Hugging Face hub
    sha256:  64 hex digits of its contents; None: not known here: those of the first download are kept and hold
    size:    bytes; None: not known here
    licence: under which it is published, in a word
    """

    source: str
    sha256: str | None = None
    size: int | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        if not (_HF.fullmatch(self.source) or re.fullmatch(r"https?://[^/]+/.*[^/]", self.source)):
            raise ValueError(f"source={self.source} must be https://ADDRESS or hf:[datasets/]OWNER/NAME@REVISION/FILE")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256={self.sha256} must be 64 hex digits, or null")

    @property
    def name(self) -> str:
        """Its file name."""
        return self.source.rpartition("/")[2]

    @cached_property
    def _hub(self) -> _Hub | None:
        if not (match := _HF.fullmatch(self.source)):
            return None
        kind = (match["kind"] or "models/").removesuffix("s/")
        return _Hub(kind, match["repo"], match["revision"], match["file"])

    @property
    def address(self) -> str:
        """Where a person can fetch it by hand."""
        if not (hub := self._hub):
            return self.source
        inside = "" if hub.kind == "model" else f"{hub.kind}s/"
        return f"{constants.ENDPOINT}/{inside}{hub.repo}/resolve/{quote(hub.revision)}/{quote(hub.file)}"

    @property
    def place(self) -> Path:
        """Where it is looked for first, and where one that is fetched by hand belongs."""
        at = urlsplit(self.address)
        return cache() / "files" / at.netloc / at.path.lstrip("/")

    @property
    def here(self) -> Path | None:
        """The file, if it is here, whatever is in it."""
        if self.place.is_file():
            return self.place
        if hub := self._hub:
            found = try_to_load_from_cache(hub.repo, hub.file, revision=hub.revision, repo_type=hub.kind)
            return Path(found) if isinstance(found, str) else None
        return None

    @cached_property
    def announced(self) -> int | None:
        """Its bytes, by what is known here or by what its source says; None where neither tells. Downloads nothing."""
        host = urlsplit(self.address)
        if self.size is not None or constants.is_offline_mode() or not reachable(f"{host.scheme}://{host.netloc}"):
            return self.size
        try:
            if self._hub:
                return get_hf_file_metadata(self.address, timeout=ASK).size
            with urlopen(Request(self.address, method="HEAD"), timeout=ASK) as answer:
                return int(answer.headers["Content-Length"])
        except Exception:  # any that the transport raises; a size is no need
            return None

    @property
    def recorded(self) -> str | None:
        """The digest that holds: the one that is known, or that of the first download."""
        if self.sha256:
            return self.sha256
        try:
            return self._record.read_text().split()[0]
        except (OSError, IndexError):
            return None

    @property
    def _record(self) -> Path:
        return self.place.with_name(f"{self.place.name}.sha256")

    def checked(self, path: Path) -> Path:
        """The file, if it is the one that was published. Raises ValueError where it is not."""
        if self.size is not None and (held := path.stat().st_size) != self.size:
            raise ValueError(
                f"{path} is not the {self.name} that is expected: it has {held:,} bytes, not {self.size:,}; "
                "remove the file, and it is downloaded anew"
            )
        found = sha256(path)
        if (wanted := self.recorded) is None:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            self._record.write_text(f"{found}  {self.name}\n")
        elif found != wanted:
            first = f"was its digest when it was first downloaded ({self._record})"
            why = "is the digest of this version" if self.sha256 else first
            raise ValueError(
                f"{path} is not the {self.name} that is expected: its SHA-256 is {found}, but {wanted} {why}; "
                "remove the file, and it is downloaded anew"
            )
        return path

    def fetch(self, field: str) -> Path:
        """The file, downloaded if it is not here. Raises ValueError with the field, the file and the manual way.

        field: the config field that names what it is needed for, with its value
        """
        if (path := self.here) is None:
            try:
                path = self._download()
            except Exception as error:  # any that the transport raises
                raise ValueError(f"{field} needs {self.name}, {self._why(error)}") from error
        try:
            return self.checked(path)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from None

    def _download(self) -> Path:
        if hub := self._hub:
            there = constants.is_offline_mode() or reachable(constants.ENDPOINT)  # or six tries would be made in vain
            return Path(
                hf_hub_download(
                    hub.repo, hub.file, revision=hub.revision, repo_type=hub.kind, local_files_only=not there
                )
            )
        if constants.is_offline_mode():
            raise OfflineModeIsEnabled
        part = self.place.with_name(f"{self.place.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{part}.lock"):
            if not self.place.is_file():
                while not _downloaded(self.source, part):
                    part.unlink()
                part.replace(self.place)
        return self.place

    def _why(self, error: Exception) -> str:
        """What went wrong, and the manual way."""
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        by_hand = f"fetch {self.address} by hand and put it at {self.place}; `python -m zz.doctor` with the same words "
        by_hand += "says what else is missing"
        if isinstance(error, GatedRepoError):
            page = self.address.partition("/resolve/")[0]
            return f"which is gated: accept its terms at {page}, then log in with `hf auth login` or set HF_TOKEN"
        if constants.is_offline_mode():
            return f"which is not here, and HF_HUB_OFFLINE is set: unset it, or {by_hand}"
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            return f"which cannot be written at {error.filename or cache()} ({error.strerror}): make room there"
        status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
        if status:
            return f"which its source does not give (HTTP {status}): {by_hand}"
        said = f"{type(cause).__name__}: {cause}".strip().split("\n")[0].rstrip(": ")
        return f"which is not here and cannot be downloaded ({said}): {by_hand}"


def _downloaded(url: str, part: Path) -> bool:
    """Download to `part`, going on where an earlier download ended; False if what is there is none of it."""
    done = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and done:
            return False
        raise
    with answer:
        start = done if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        shown: Any = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, leave=False)
        with part.open("ab" if start else "wb") as file, shown as bar:
            while piece := answer.read(1 << 16):
                file.write(piece)
                bar.update(len(piece))
            if total is not None and file.tell() < total:
                raise ConnectionError(f"{file.tell()} of {total} bytes came; run again, it goes on from there")
    return True


__all__ = ["Published"]
