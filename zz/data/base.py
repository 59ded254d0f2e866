"""Prompt sets: an ordered list of entries, each a text, a seed and whatever its benchmark says of it."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from zz.diffusion.validate import Positive, as_tuple, check_count, check_text, typed, validate
from zz.hub.published import Published

REPEAT = 1_000_000  # added to an entry's seed for each repeat


@dataclass(frozen=True)
class Prompt:
    """One entry of a prompt set.

    text: what the model reads
    meta: what its benchmark says of it: a category, a GenEval record, ...
    seed: its own, which the request's `seed` is added to; None: its number in the whole set
    files: SHA-256 of its pictures' files, repeat by repeat, where they were not made here
    """

    text: str
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    seed: int | None = None
    files: tuple[str, ...] | None = None


class Picture(NamedTuple):
    """One picture to be made of a prompt: its seed, and its place in what was asked for."""

    prompt: Prompt
    seed: int  # all added up
    entry: int  # number of the entry in the list, after selection
    repeat: int

    @property
    def name(self) -> str:
        """What its file is called: the seed, and 12 hex digits of the text's SHA-256.

        One that was not made here has its number among its prompt's pictures, and digits of text and file.
        """
        if (files := self.prompt.files) is None:
            return picture_name(self.prompt.text, self.seed)
        file = files[self.repeat] if self.repeat < len(files) else "none"
        return picture_name(f"{self.prompt.text}/{file}", self.repeat)


def picture_name(text: str, seed: int) -> str:
    """The name of a picture of `text` from `seed`, without its suffix."""
    return f"{seed:06d}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, eq=False)
class PromptList:
    """The entries of one request, in order: after selection, with the request's seed added, before `limit`.

    name:    of the prompt set
    entries: each with its final seed
    repeats: pictures an entry
    dropped: entries left out because their text and seed came before
    remarks: what its user should know of the set
    """

    name: str
    entries: tuple[Prompt, ...]
    repeats: int = 1
    dropped: int = 0
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[str], seed: int = 0, name: str = "inline") -> "PromptList":
        """Plain texts, numbered from `seed`."""
        return cls(name, tuple(Prompt(text, {}, seed + i) for i, text in enumerate(texts)))

    @cached_property
    def digest(self) -> str:
        """16 hex digits of what the pictures are of: texts and seeds, whatever the set is called."""
        return _digest([[p.text, p.seed] for p in self.entries])

    @cached_property
    def record_digest(self) -> str:
        """16 hex digits of everything: texts, seeds and meta, and the files of pictures that were not made here."""
        return _digest([[p.text, p.seed, dict(p.meta), *(p.files or ())] for p in self.entries])

    def pictures(self, limit: int | None = None) -> list[Picture]:
        """The pictures of the first `limit` entries, repeat by repeat."""
        return _pictures(self, len(self.entries[:limit]))

    def names(self, limit: int | None = None) -> list[str]:
        """What their files are called."""
        return _names(self, len(self.entries[:limit]))

    def picture(self, entry: int, repeat: int = 0) -> Picture:
        """One picture."""
        prompt = self.entries[entry]
        return Picture(prompt, (prompt.seed or 0) + REPEAT * repeat, entry, repeat)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PromptList) and self._same == other._same

    def __hash__(self) -> int:
        return hash(self._same)

    @property
    def _same(self) -> tuple[str, str, int]:
        return self.name, self.record_digest, self.repeats


@lru_cache(maxsize=32)  # many cells are of one list
def _pictures(prompts: PromptList, n: int) -> list[Picture]:
    return [prompts.picture(entry, repeat) for repeat in range(prompts.repeats) for entry in range(n)]


@lru_cache(maxsize=32)
def _names(prompts: PromptList, n: int) -> list[str]:
    return [picture.name for picture in _pictures(prompts, n)]


@dataclass(frozen=True)
class PromptSet(ABC):
    """Prompts in a fixed order. An entry's seed is its own, or its number in the whole set.

    repeats: pictures an entry; picture r of it has 1,000,000 r added to its seed
    where:   only entries whose meta says so: {category: Colors}; a list of values allows any of them
    indices: only these entries, by their numbers in the whole set
    skip:    of what is left, so many entries are passed over first
    """

    repeats: Positive = field(default=1, kw_only=True)
    where: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)
    indices: tuple[int, ...] | None = field(default=None, kw_only=True)
    skip: int = field(default=0, kw_only=True)
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        validate(self, "dataset")
        if not isinstance(self.where, Mapping):
            raise ValueError(f"dataset.where={self.where!r} names no field of meta; write dataset.where.FIELD=VALUE")
        if self.indices is not None:
            object.__setattr__(self, "indices", as_tuple(self.indices))

    @property
    def files(self) -> tuple[Published, ...]:
        """The files that `load` downloads, or has downloaded."""
        return ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever uses it should know, a line each: a licence, a file without a known digest."""
        return ()

    @abstractmethod
    def load(self) -> Sequence[Prompt]:
        """The whole set. Raises ValueError or FileNotFoundError with the remedy."""

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """The whole set, each entry with its seed."""
        found = tuple(p if p.seed is not None else replace(p, seed=i) for i, p in enumerate(self.load()))
        if not found:
            raise ValueError(f"dataset={self.name} holds no prompts")
        for i, prompt in enumerate(found):
            if not isinstance(prompt.text, str):
                raise ValueError(f"dataset={self.name}, prompt {i} is {prompt.text!r}, which is no text")
            check_text(f"dataset={self.name}, prompt {i}", prompt.text)
            check_count(f"dataset={self.name}, seed of prompt {i}", prompt.seed)
        return found

    def listed(self, seed: int = 0) -> PromptList:
        """What is asked for: selected, with `seed` added, each text and seed once."""
        found, seen, dropped = [], set[tuple[str, int]](), 0
        for prompt in self._selected():
            one = replace(prompt, seed=(prompt.seed or 0) + seed)
            if (mine := (one.text, one.seed or 0)) in seen:
                dropped += 1
                continue
            seen.add(mine)
            found.append(one)
        return PromptList(self.name, tuple(found), self.repeats, dropped, self.remarks)

    def _selected(self) -> list[Prompt]:
        found = list(self.prompts)
        if self.indices is not None:
            for i in self.indices:
                if not isinstance(i, int) or not 0 <= i < len(found):
                    raise ValueError(
                        f"dataset.indices: {i!r} is no entry of {self.name}, which has 0..{len(found) - 1}"
                    )
            found = [found[i] for i in self.indices]
        for name, wanted in self.where.items():
            if not any(name in p.meta for p in self.prompts):
                known = sorted({key for p in self.prompts for key in p.meta})
                said = f"its meta has {', '.join(known)}" if known else "it has no meta"
                raise ValueError(f"dataset.where.{name}: no entry of {self.name} has it; {said}")
            several = wanted if isinstance(wanted, list | tuple) else [wanted]
            allowed = {value for one in several for value in self._meant(name, one)}
            kept = [p for p in found if _written(p.meta.get(name)) in allowed]
            if not kept:
                values = sorted({_written(p.meta.get(name)) for p in self.prompts})
                said = f"dataset.where.{name}={_written(wanted)} is of no entry"
                raise ValueError(f"{said}; there are {', '.join(values[:30])}")
            found = kept
        if self.skip >= len(found):
            raise ValueError(
                f"dataset.skip={self.skip} leaves none of {len(found)} entries of {self.name}; choose less"
            )
        return found[self.skip :]

    def _meant(self, name: str, wanted: Any) -> set[str]:
        """The values of a meta field that are `wanted`, as they are written. YAML may have read 1_000 as a number."""
        written = _written(wanted)
        if isinstance(wanted, str) or any(_written(p.meta.get(name)) == written for p in self.prompts):
            return {written}
        found = {text for p in self.prompts if isinstance(text := p.meta.get(name), str) and _reads_as(text, wanted)}
        if len(found) > 1:
            remedy = typed(f"dataset.where.{name}", min(found))
            raise ValueError(f"dataset.where.{name}={written} may be {', '.join(sorted(found))}; quote it, as {remedy}")
        return found


def _written(value: Any) -> str:
    """A value of meta in text, as a table has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _reads_as(text: str, value: Any) -> bool:
    """Whether YAML may have read `text` as that value: a number, true, false, null."""
    if value is None or isinstance(value, bool):
        return text.lower() == _written(value)
    try:
        return isinstance(value, int | float) and type(value)(text) == value
    except ValueError:
        return False


def _digest(what: Any) -> str:
    text = json.dumps(what, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:16]
