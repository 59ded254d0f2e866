"""Prompt sets that their authors publish."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from zz.data.base import Prompt, PromptSet
from zz.hub.published import Published


@dataclass(frozen=True)
class Benchmark(PromptSet):
    """A prompt set in one file, downloaded once from a fixed place and checked by its digest.

    file: where it is published
    path: a copy of it, read as it is; None: downloaded
    """

    file: Published = field(kw_only=True)
    path: str | None = field(default=None, kw_only=True)

    @property
    def files(self) -> tuple[Published, ...]:
        return () if self.path else (self.file,)

    def load(self) -> Sequence[Prompt]:
        return self.read(self.path or str(self.file.fetch(f"dataset={self.name}")))

    @abstractmethod
    def read(self, path: str) -> Sequence[Prompt]:
        """The whole set, of its file. Raises ValueError with the file, the place in it and the remedy."""
