"""The location of a model's files: a local folder, or a repository of the Hugging Face hub, downloaded once.

The settings of huggingface_hub apply (HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN).
"""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from zz.hub.files import WEIGHTS, settings, weights


@dataclass(frozen=True)
class Location:
    """A folder that holds a model or a part of one.

    field:  the config field that names it; `name` is that field's value
    root:   the folder
    inside: the subfolder of `root` that holds its marker file; "": `root` itself
    repo:   the hub repository that `root` is a snapshot of, at `commit`; None for a local folder
    """

    field: str
    name: str
    root: Path
    inside: str = ""
    repo: str | None = None
    commit: str | None = None

    def read(self, path: str) -> Mapping[str, Any]:
        """One of its JSON files, downloaded if necessary."""
        try:
            found = Path(_fetched(self.repo, self.commit, path)) if self.repo else self.root / path
            return json.loads(found.read_text(encoding="utf-8"))
        except Exception as error:  # any that the transport raises
            raise ValueError(refusal(self.field, self.name, error, path)) from error

    def bring(self, inside: str, variant: str | None = None) -> Path:
        """The folder of one part, complete: its settings, and its weights (of the variant, if there are any)."""
        folder, why = self.root / inside, None
        if self.repo and self.commit:
            try:
                _bring(self.repo, self.commit, inside, variant)
            except Exception as error:  # without a network, a complete local copy will do
                why = error
        lack = lacking(folder, variant)
        if lack and why:
            raise ValueError(refusal(self.field, self.name, why, f"{inside}/ ({lack})")) from why
        if lack:
            raise ValueError(
                f"{self.field}={self.name} is not whole: {inside or folder.name}/ has {lack}; copy it again"
            )
        return folder


def find(
    field: str, name: str, markers: Sequence[str], revision: str | None = None, mirrors: Sequence[str] = ()
) -> Location:
    """The location of `name`: a folder, or a hub id (ID or ID@REVISION), that has one of the marker files.

    mirrors: hub ids that are tried in order if `name` is not on the hub, or not in the cache while offline

    Raises ValueError with the field, the name and the remedy.
    """
    if (root := Path(name)).is_dir():
        for marker in markers:
            if (root / marker).is_file():
                return Location(field, name, root, _inside(marker))
        raise ValueError(f"{field}={name} is no such folder: it has no {' or '.join(markers)}")
    if not is_id(name):
        raise ValueError(f"{field}={name} is neither a folder that is there nor a hub id, such as maker/model")
    return _on_hub(field, name, tuple(markers), revision, tuple(mirrors))


def is_id(name: str) -> bool:
    """Whether a name is treated as a hub id: it has the form OWNER/MODEL, and there is no such folder."""
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not Path(name).is_dir()


def at_revision(name: str, revision: str | None) -> str:
    """ID@REVISION, where `name` is a hub id and a revision is given."""
    return f"{name}@{revision}" if revision and is_id(name) else name


@cache  # one request a process, so that a whole run uses the same commit
def _on_hub(
    field: str, name: str, markers: tuple[str, ...], revision: str | None, mirrors: tuple[str, ...]
) -> Location:
    first: Exception | None = None
    for source in (name, *mirrors):
        repo, _, pinned = source.partition("@")
        if revision and source != name and not pinned:
            continue  # a revision of `name` does not identify one of a mirror
        asked = pinned or (revision if source == name else None)
        try:
            marker, path = _marker(repo, asked, markers)
        except GatedRepoError as error:
            raise ValueError(refusal(field, source, error)) from error
        except (RepositoryNotFoundError, DisabledRepoError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            first = first or error
        except Exception as error:  # any that the transport raises
            raise ValueError(refusal(field, source, error, markers[0], asked)) from error
        else:
            root = path.parents[marker.count("/")]
            return Location(field, source, root, _inside(marker), repo, root.name)
    also = f" (and of its mirrors {', '.join(mirrors)} none is)" if mirrors else ""
    raise ValueError(refusal(field, name, first or ValueError("it names nothing")) + also) from first


def lacking(folder: Path, variant: str | None = None) -> str:
    """What is missing from a part's folder, in words; "" if nothing."""
    names = [path.name for path in folder.glob("*") if path.is_file()]
    if not settings(names):
        return "no configuration"
    if "config.json" in names:  # a network
        found = [WEIGHTS.fullmatch(name) for name in weights(names, variant)]
        if not found:
            others = sorted({m["variant"] for name in names if (m := WEIGHTS.fullmatch(name))})
            return f"no weights but of the variant {', '.join(others)}" if others else "no weights"
        if (shards := found[0] and found[0]["shards"]) and len(found) != int(shards):
            return f"{len(found)} of {int(shards)} weights files"
    return ""


def refusal(field: str, name: str, error: BaseException, file: str = "", revision: str | None = None) -> str:
    """What went wrong with the hub, and what to do, in one line."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    said, repo = f"{field}={name}", name.split("@")[0].split(" ")[0]
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, GatedRepoError):
        return f"{said} is gated: accept its terms at https://huggingface.co/{repo}, then {log_in}"
    if isinstance(error, RepositoryNotFoundError | DisabledRepoError):
        return f"{said} is not on the hub, or is private: check its spelling, give a folder, or {log_in}"
    if isinstance(error, RevisionNotFoundError):
        return f"{said} has no revision={revision}: give a branch, tag or commit of it, or null"
    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled | ConnectionError | TimeoutError):
        what = f"{file} of it is" if file else "it is"
        if constants.is_offline_mode():
            return (
                f"{said}: {what} not in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set; unset it, or give a "
                "folder; `python -m zz.doctor` with the same words says what is missing and how to get it"
            )
        why = _line(error.__cause__ or error) if _reachable() else f"no answer from {constants.ENDPOINT}"
        return (
            f"{said}: {what} not in {constants.HF_HUB_CACHE}, and the hub cannot be reached ({why}); "
            "`python -m zz.doctor` with the same words says what is missing and how to get it"
        )
    if isinstance(error, EntryNotFoundError | FileNotFoundError):
        return f"{said} is no such model: it has no {file}"
    if status in (401, 403):
        return f"{said}: the hub refuses the token ({status}); {log_in} anew, or unset HF_TOKEN for a public model"
    if isinstance(error, HfHubHTTPError) and status:
        return f"{said}: the hub answered {status}; try again later, what is here already is kept"
    return f"{said} cannot be had ({_line(error)}); run again, what is here already is kept"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().split("\n")[0].rstrip(": ")


def _inside(marker: str) -> str:
    return marker.rpartition("/")[0]


def _marker(repo: str, revision: str | None, markers: tuple[str, ...]) -> tuple[str, Path]:
    """The first of the marker files that the repository has."""
    for marker in markers[:-1]:
        try:
            return marker, Path(_fetched(repo, revision, marker))
        except EntryNotFoundError:
            pass
    return markers[-1], Path(_fetched(repo, revision, markers[-1]))


def _fetched(repo: str, revision: str | None, path: str) -> str:
    return hf_hub_download(repo, path.lstrip("/"), revision=revision, local_files_only=not _reachable())


def _reachable() -> bool:
    return constants.is_offline_mode() or reachable(constants.ENDPOINT)  # what asks for the file knows better


@cache
def reachable(address: str) -> bool:
    """Whether the machine of an address answers, so that nobody waits for a request to be tried five times over."""
    at = urlsplit(address)
    if getproxies() or not at.hostname:
        return True
    try:
        socket.create_connection((at.hostname, at.port or (80 if at.scheme == "http" else 443)), timeout=5).close()
    except OSError:
        return False
    return True


@cache
def _bring(repo: str, commit: str, inside: str, variant: str | None) -> None:
    before = f"{inside}/" if inside else ""
    listed = HfApi().list_repo_files(repo, revision=commit)
    names = [file.removeprefix(before) for file in listed if _inside(file) == inside]
    wanted = [before + name for name in weights(names, variant) + settings(names)]
    snapshot_download(repo, revision=commit, allow_patterns=wanted)


__all__ = ["Location", "at_revision", "find", "is_id", "lacking", "reachable", "refusal"]
