"""Tables of a page: as HTML shows them, and as LaTeX, Markdown and CSV to be copied."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas

from zz.analysis.render.frame import csv, latex, markdown, shown
from zz.lab.results import Comparison
from zz.lab.view import Table, Value

FORMS = ("LaTeX", "Markdown", "CSV")


class Sheet(NamedTuple):
    """A table, ready to be shown."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]  # by column
    copies: Mapping[str, str]  # by form


def sheet(table: Table) -> Sheet:
    """A table as texts, and its copies."""
    frame = pandas.DataFrame(list(table.lines), columns=_distinct(table.columns), dtype=object)
    numeric = tuple(all(not isinstance(x, str) for x in column) for column in zip(*table.lines, strict=True))
    lines = tuple(tuple(_text(value) for value in line) for line in table.lines)
    return Sheet(
        table.title, table.columns, lines, numeric or (False,) * len(table.columns), copies(frame, table.title)
    )


def copies(frame: pandas.DataFrame, title: str) -> dict[str, str]:
    """A frame of texts, numbers and intervals in each of FORMS."""
    plain = frame.map(lambda x: "" if x is None else x)
    return {"LaTeX": latex(plain, title), "Markdown": markdown(plain, title), "CSV": csv(plain)}


def of_comparisons(found: Iterable[Comparison]) -> Table:
    """Each row against each of its controls."""
    columns = ("row", "against", "role", "score", "prompts", "win/tie/loss", "winning rate", "difference", "p")
    lines: list[tuple[Value, ...]] = []
    for one in found:
        w = one.winning
        names = one.row.title, one.against.title, one.role, one.score
        lines.append((*names, w.n, f"{w.win}/{w.tie}/{w.loss}", w.rate, w.difference, float(f"{w.p:.2g}")))
    return Table("Paired with the controls, by prompt and seed", columns, tuple(lines))


def _text(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(shown(value))


def _distinct(names: Iterable[str]) -> list[str]:
    """Names of columns, of which a frame has each once."""
    found: list[str] = []
    for name in names:
        n, own = 1, name
        while own in found:
            n, own = n + 1, f"{name} ({n + 1})"
        found.append(own)
    return found


__all__ = ["FORMS", "Sheet", "copies", "of_comparisons", "sheet"]
