"""A manifest's results as a frame of intervals, and that as Markdown, LaTeX or CSV."""

import math
from collections.abc import Sequence

import pandas

from zz.lab.results import Results, meta_is
from zz.lab.stats import Interval
from zz.lab.store.manifest import Row


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
                line |= {f"{name} {value}": _of(results, row, name, by, value) for value in values(results, by)}
        lines.append(line)
    return pandas.DataFrame(lines)


def values(results: Results, by: str) -> list[str]:
    """The values of a field of the prompts' meta, in the order in which they come."""
    entries = [prompt for row in results.manifest.rows for prompt in results.prompts(row).entries]
    found = list(dict.fromkeys(str(prompt.meta[by]) for prompt in entries if by in prompt.meta))
    if not found:
        fields = sorted({name for prompt in entries for name in prompt.meta})
        raise ValueError(f"by={by} is in no prompt's meta; there are {', '.join(fields) or 'none'}")
    return found


def _of(results: Results, row: Row, name: str, by: str, value: str) -> Interval:
    return results.mean(row, name, meta_is(by, value))


def markdown(table: pandas.DataFrame) -> str:
    """Every interval as `value [low, high]`."""
    shown = table.map(_text)
    lines = [list(map(str, shown.columns)), ["---"] * len(shown.columns), *shown.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def latex(table: pandas.DataFrame) -> str:
    """A booktabs table, for `\\usepackage{booktabs}`."""
    return table.map(_text).style.hide(axis="index").format(escape="latex").to_latex(hrules=True)


def csv(table: pandas.DataFrame) -> str:
    """Every interval as three columns: NAME, NAME_low, NAME_high."""
    wide: dict[str, list[object]] = {}
    for name in table.columns:
        column = list(table[name])
        if any(isinstance(x, Interval) for x in column):
            for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                wide[f"{name}{suffix}"] = [getattr(x, part) if isinstance(x, Interval) else None for x in column]
        else:
            wide[str(name)] = column
    return pandas.DataFrame(wide).to_csv(index=False)


def _text(x: object) -> object:
    if not isinstance(x, Interval):
        return x
    if math.isnan(x.value):
        return "-"
    half = x.high - x.value
    digits = 2 if not math.isfinite(half) or half <= 0 else max(0, 1 - math.floor(math.log10(half)))
    return f"{x.value:.{digits}f} [{x.low:.{digits}f}, {x.high:.{digits}f}]"
