"""Numbers and tables as Markdown."""

from collections.abc import Sequence

from zz.lab.stats import Interval


def percent(x: Interval, digits: int = 0) -> str:
    """A proportion and its interval, of a hundred."""
    return f"{100 * x.value:.{digits}f} [{100 * x.low:.{digits}f}, {100 * x.high:.{digits}f}]"


def points(x: Interval) -> str:
    """A difference of proportions and its interval, in percentage points."""
    return f"{100 * x.value:+.1f} [{100 * x.low:+.1f}, {100 * x.high:+.1f}]"


def signed(x: Interval, digits: int) -> str:
    """A difference and its interval."""
    return f"{x.value:+.{digits}f} [{x.low:+.{digits}f}, {x.high:+.{digits}f}]"


def plus_minus(x: Interval, digits: int) -> str:
    """An estimate and half of its interval."""
    return f"{x.value:.{digits}f} ± {x.high - x.value:.{digits}f}"


def line(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def head(names: Sequence[str]) -> str:
    """The first two lines."""
    return f"{line(names)}\n{line(['---'] * len(names))}"


def table(names: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A whole table."""
    return "\n".join([head(names), *map(line, lines)])
