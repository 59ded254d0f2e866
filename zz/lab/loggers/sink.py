"""Where the numbers of one row go: what a logger of rows has to write down, by whatever it writes with."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from zz.lab.loggers.history import Pair


class About(NamedTuple):
    """Whose numbers they are: those of a row, or the tables of a whole manifest."""

    id: str  # the row's, 16 hex digits; or a digest of the manifest's
    group: str  # the experiment's name, or the manifest's
    role: str  # the row's; or "tables"
    title: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]


class Sink(ABC):
    """One row, open. It hears of each number once, at steps that only go up."""

    @abstractmethod
    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """A point of the history."""

    @abstractmethod
    def whole(self, numbers: Mapping[str, float], changed: Mapping[str, float]) -> None:
        """What holds for the row as a whole, by now; and what of it is new, or not as it was sent."""

    def pictures(self, step: int, pairs: Sequence[Pair]) -> None:  # noqa: B027  not every logger shows pictures
        """Pictures side by side."""

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:  # noqa: B027
        """A table of a manifest."""

    @abstractmethod
    def close(self, complete: bool) -> None:
        """complete: whether every picture is there."""


__all__ = ["About", "Sink"]
