"""What an experiment shows: tables, claims with their status, figures. Plain values, which analysis/ renders."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zz.scorers.interval import Interval

HOLDS, CONTRADICTED, UNDECIDED = "holds", "contradicted", "undecided"  # of a claim
PARTLY, MIXED = "holds in part", "mixed"  # of one over several columns: none of them, or some, contradicted
REPRODUCED, WITHIN, DIFFERS = "reproduced", "within interval", "differs"  # of a number that is printed
NOT_RUN, NO_STAND_IN = "not run", "no stand-in yet"
STATUSES = (HOLDS, PARTLY, MIXED, UNDECIDED, CONTRADICTED, REPRODUCED, WITHIN, DIFFERS, NOT_RUN, NO_STAND_IN)

Value = str | int | float | Interval | None  # None: nothing to say


class Table(NamedTuple):
    """A table: its title, the heads of its columns, and the lines below them."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[Value, ...], ...]


class Verdict(NamedTuple):
    """One claim, and what was found of it."""

    claim: str
    status: str  # of STATUSES
    evidence: str = ""
    control: bool = False  # against a control of ours, of which the paper says nothing


class Figure(NamedTuple):
    """A plot or a grid of pictures."""

    name: str  # of its file, without suffix
    caption: str
    draw: Callable[[Path], None]  # writes it, as .svg, .png or .pdf


class View(NamedTuple):
    """What an experiment shows of a store."""

    title: str
    claim: str
    tables: tuple[Table, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()


__all__ = ["STATUSES", "Figure", "Table", "Value", "Verdict", "View"]
