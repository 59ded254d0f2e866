"""The terminal, and numbers as it shows them."""

import math
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

from zz.cli.terminal.window import Window
from zz.scorers.interval import Interval

WIDTH, WIDE = 160, 110  # of tables where there is no terminal to ask; from where on there is room for all columns


def console(needed: bool = True) -> Console:
    """The terminal, or plain text of a fixed width for files and pipes. Prompts are shown as they are.

    needed: whether what is shown is what the command is for; where not, an output that is full or closed is no error
    """
    file: Any = None if needed or sys.stdout is None else Window(sys.stdout)
    plain = Console(file=file, highlight=False, emoji=False)
    return plain if plain.is_terminal else Console(file=file, highlight=False, emoji=False, width=WIDTH)


def warn(out: Console, text: str) -> None:
    """Something that a person should know."""
    out.print(f"[yellow]{escape(text)}[/]", soft_wrap=True)


def arrow(out: Console, up: bool | None) -> str:
    if up is None:
        return ""
    if out.encoding.lower().startswith("utf"):
        return "↑" if up else "↓"
    return "(higher is better)" if up else "(lower is better)"


def number(x: Interval) -> str:
    """An estimate with its interval, in as many digits as its width deserves."""
    if math.isnan(x.value):
        return "-"
    half = x.high - x.value
    digits = 2 if not math.isfinite(half) or half <= 0 else max(0, 1 - math.floor(math.log10(half)))
    if math.isinf(half):
        return f"{x.value:.{digits}f}"
    return f"{x.value:.{digits}f} [{x.low:.{digits}f}, {x.high:.{digits}f}]"


def rate(x: Interval) -> str:
    """A winning rate in percent, in whole ones unless more digits are needed to tell an end from 50 %."""
    value, low, high = (100 * part for part in x)
    digits = next((n for n in range(3) if 50 not in (round(low, n), round(high, n))), 0)
    return f"{value:.{digits}f} % [{low:.{digits}f}, {high:.{digits}f}]"
