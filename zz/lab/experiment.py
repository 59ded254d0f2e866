"""An experiment is data: cells as override lines, what their table shows, and the claim that they test."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zz.lab.results import Results  # loads scipy, and a list of cells needs none


@dataclass(frozen=True)
class Layout:
    """How the rows of an experiment are shown.

    scores: the metrics of the table, in order; empty: all that the rows have
    by:     a field of the prompts' meta, such as category: a column for each of its values
    """

    scores: tuple[str, ...] = ()
    by: str | None = None

    def to_json(self) -> Mapping[str, Any]:
        """As a manifest keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class Experiment:
    """One experiment, found by its file's name as `experiment=NAME`.

    claim:  what is tested, in a sentence
    cells:  override lines, as on the command line: "sampler=standard,zigzag gamma1=2,4 steps=20" is four cells
    common: words of every line, before its own
    cost:   what it takes, roughly
    layout: how it is shown
    study:  a pure function of what the store holds, for what is no grid of pictures; what it gives is kept
    page:   writes pictures and CSV beside a path, and returns the text of its page
    """

    claim: str
    cells: tuple[str, ...]
    common: str = ""
    cost: str = ""
    layout: Layout = field(default_factory=Layout)
    study: Callable[["Results"], Any] | None = None
    page: Callable[["Results", Path], str] | None = None
