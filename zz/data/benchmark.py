"""Prompt sets that their authors publish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from zz.data.base import Prompt, PromptSet
from zz.data.reading import bare, rows
from zz.hub.files import sha256
from zz.hub.published import Published


@dataclass(frozen=True)
class Benchmark(PromptSet):
    """A prompt set in one table, downloaded once from a fixed place and checked by its digest.

    file:   where it is published
    path:   a copy of it, read as it is; None: downloaded
    column: of the prompts

    A text loses blanks and invisible characters at its ends, as it does in any other set.
    """

    count: ClassVar[int]  # entries that it has
    keeps: ClassVar[Mapping[str, str]] = {}  # columns that become meta, and what they are called there

    file: Published = field(kw_only=True)
    path: str | None = field(default=None, kw_only=True)
    column: str = field(default="prompt", kw_only=True)

    @property
    def files(self) -> tuple[Published, ...]:
        return () if self.path else (self.file,)

    @property
    def remarks(self) -> tuple[str, ...]:
        found = [remark for file in self.files for remark in _remarks(file)]
        if self.path and self.file.sha256 and Path(self.path).is_file() and sha256(Path(self.path)) != self.file.sha256:
            found.append(f"dataset.path={self.path} is not the published {self.file.name}: its digest is another")
        return tuple(found)

    def load(self) -> Sequence[Prompt]:
        if self.path or self.file.sha256:  # a digest says that the file is what it was when this was written
            return self._whole(self.path or str(self.file.fetch(f"dataset={self.name}")))
        try:
            return self._whole(path := str(self.file.fetch(f"dataset={self.name}")))
        except _BadFile as error:
            anew = f"remove {path} and {self.file.place}.sha256, and it is downloaded anew"
            raise ValueError(f"{error}. It came from {self.file.address} and is not pinned: {anew}") from None

    def _whole(self, path: str) -> Sequence[Prompt]:
        try:
            found = self.read(path)
        except ValueError as error:
            raise _BadFile(error) from None
        if len(found) != self.count:
            ways = "copy it again, or read a list of your own with dataset=table"
            raise _BadFile(f"dataset.path={path} holds {len(found)} prompts, and {self.name} has {self.count}; {ways}")
        return found

    def read(self, path: str) -> Sequence[Prompt]:
        """The whole set, of its file. Raises ValueError with the file, the place in it and the remedy."""
        column, found = rows(path, self.column)
        return [self.prompt(f"dataset.path={path}: {at}", row, column) for at, row in found]

    def prompt(self, at: str, row: Mapping[str, Any], column: str) -> Prompt:
        """One row's entry. Raises ValueError where it has none.

        at: where it is, for messages
        """
        for name in (column, *self.keeps):
            if name not in row:
                raise ValueError(f"{at} has no {name}, which {self.name} has; read another table with dataset=table")
        text = row[column]
        if not isinstance(text, str) or not bare(text):
            raise ValueError(f"{at} has no text as {column}; copy the file again")
        return Prompt(bare(text), self.meta(row))

    def meta(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What a row says of its prompt."""
        return {meant: bare(v) if isinstance(v := row[name], str) else v for name, meant in self.keeps.items()}


class _BadFile(ValueError):
    """A file that does not hold the set."""


def _remarks(file: Published) -> Sequence[str]:
    found = []
    if file.sha256 is None:
        first = f"holds: {file.recorded}" if file.recorded else "will hold"
        found.append(f"{file.name} is not pinned by a digest; the first download's {first}")
    if file.licence and "NC" in file.licence.split("-"):
        found.append(f"{file.name} is licensed {file.licence}: not for commercial use")
    return found
