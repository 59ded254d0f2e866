"""A manifest's results as a frame of intervals, and that as Markdown, LaTeX or CSV."""

import math
import re
from collections.abc import Sequence

import pandas

from zz.lab.grid import Grid, text
from zz.lab.results import Results, meta_is
from zz.lab.stats import Interval
from zz.lab.store.manifest import Row

PIPE = "\\|"  # within a cell of Markdown


def frame(results: Results, scores: Sequence[str] = (), by: str | None = None) -> pandas.DataFrame:
    """One line a row: its name, role, cost, number of pictures, and an `Interval` a metric.

    A metric of fewer prompts than a row was asked for has a column of how many, too.

    scores: these metrics, in this order; empty: all
    by:     a field of the prompts' meta: an `Interval` for each of its values and metric of single pictures, too

    Raises ValueError where no row has such a metric or field, with those that there are.
    """
    known = results.metrics
    names = list(scores) or list(known)
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"scores={missing[0]} is of no row; there are {', '.join(known) or 'none'}")
    fewer = {name for name in names for row in results.manifest.rows if results.scored(row, name) < row.wanted}
    lines = []
    for row in results.manifest.rows:
        line: dict[str, object] = {"cell": row.title, "role": row.role, "key": row.cell, "dataset": row.dataset}
        line |= {"predictions": row.predictions, "evaluations": row.evals, "n": results.there(row)}
        for name in names:
            line[name] = results.mean(row, name)
            if name in fewer:
                line[f"{name} prompts"] = results.scored(row, name)
            if by and known[name]["kind"] == "image":
                line |= {f"{name} {value}": _of(results, row, name, by, value) for value in results.categories(by)}
        lines.append(line)
    return pandas.DataFrame(lines)


def _of(results: Results, row: Row, name: str, by: str, value: str) -> Interval:
    return results.mean(row, name, meta_is(by, value))


def of_grid(grid: Grid) -> pandas.DataFrame:
    """A grid as it is read: a line a value of its rows, a column a value of its columns."""
    lines = []
    for value in grid.row_values:
        line: dict[str, object] = {grid.rows: text(value)}
        for column in grid.column_values:
            place = grid.at(value, column)
            head = f"{grid.columns}={text(column)}" if grid.columns else grid.quantity
            line[head] = place.value if place else ""
        lines.append(line)
    return pandas.DataFrame(lines)


def long(grids: Sequence[Grid]) -> pandas.DataFrame:
    """Grids as one line a place, for other programs."""
    lines = []
    for grid in grids:
        for (row, column), place in grid.places.items():
            line: dict[str, object] = {grid.rows: row}
            line |= {grid.columns: column} if grid.columns else {}
            line |= {"of": grid.of} if grid.of else {}
            line |= {"quantity": grid.quantity, "": place.value, "n": place.n, "key": place.row.cell}
            lines.append(line)
    return pandas.DataFrame(lines)


def markdown(table: pandas.DataFrame, caption: str = "") -> str:
    """Every interval as `value [low, high]`."""
    texts = table.map(shown)
    lines = [list(map(str, texts.columns)), ["---"] * len(texts.columns), *texts.astype(str).values.tolist()]
    above = f"{caption}\n\n" if caption else ""
    return above + "\n".join(f"| {' | '.join(cell.replace('|', PIPE) for cell in line)} |" for line in lines) + "\n"


def latex(table: pandas.DataFrame, caption: str = "") -> str:
    """A booktabs table, for `\\usepackage{booktabs}`."""
    style = table.map(shown).style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    return str(style.to_latex(hrules=True, caption=re.sub(r"([&%$#_{}])", r"\\\1", caption) or None))


def csv(table: pandas.DataFrame) -> str:
    """Every interval as three columns: NAME, NAME_low, NAME_high."""
    wide: dict[str, list[object]] = {}
    for name in table.columns:
        column = list(table[name])
        if any(isinstance(x, Interval) for x in column):
            for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                wide[f"{name}{suffix}" if name else part] = [
                    getattr(x, part) if isinstance(x, Interval) else None for x in column
                ]
        else:
            wide[str(name)] = column
    return pandas.DataFrame(wide).to_csv(index=False)


def shown(x: object) -> object:
    """An interval as `value [low, high]`, in as many digits as its width deserves; anything else as it is."""
    if not isinstance(x, Interval):
        return x
    if math.isnan(x.value):
        return "-"
    half = x.high - x.value
    digits = 2 if not math.isfinite(half) or half <= 0 else max(0, 1 - math.floor(math.log10(half)))
    return f"{x.value:.{digits}f} [{x.low:.{digits}f}, {x.high:.{digits}f}]"
