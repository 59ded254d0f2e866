"""Numbers and tables as Markdown."""

import math
from collections.abc import Sequence

from zz.lab.stats import Interval


def percent(x: Interval, digits: int = 0) -> str:
    """A proportion and its interval, of a hundred."""
    return _shown(Interval(*(100 * part for part in x)), f".{digits}f")


def points(x: Interval) -> str:
    """A difference of proportions and its interval, in percentage points."""
    return _shown(Interval(*(100 * part for part in x)), "+.1f")


def signed(x: Interval, digits: int) -> str:
    """A difference and its interval."""
    return _shown(x, f"+.{digits}f")


def plus_minus(x: Interval, digits: int) -> str:
    """An estimate and half of its interval."""
    if not math.isfinite(x.high - x.value):
        return _shown(x, f".{digits}f")
    return f"{x.value:.{digits}f} ± {x.high - x.value:.{digits}f}"


def _shown(x: Interval, form: str) -> str:
    """Without an interval where it has no bounds; - where there is no value."""
    if math.isnan(x.value):
        return "-"
    bounds = f" [{x.low:{form}}, {x.high:{form}}]" if math.isfinite(x.high - x.low) else ""
    return f"{x.value:{form}}{bounds}"


def line(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def head(names: Sequence[str]) -> str:
    """The first two lines."""
    return f"{line(names)}\n{line(['---'] * len(names))}"


def table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A whole table."""
    return "\n".join([head(names), *map(line, lines)])
