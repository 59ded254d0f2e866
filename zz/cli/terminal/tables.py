"""Tables of results. A row never loses its name: where there is no room it is a number, and the names follow below."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zz.cli.terminal import remarks
from zz.cli.terminal.console import arrow, number, rate
from zz.lab.grid import Grid, text
from zz.lab.results import Comparison, Results, meta_is
from zz.lab.store.manifest import Row
from zz.lab.store.store import CellSummary

ROOM = 24  # columns that a name has at least, or it becomes a number


def numbered(out: Console, table: Table, names: Sequence[str], lines: Sequence[Sequence[str]], head: str) -> None:
    """Print a table with a column of names before it.

    Where the names have no room they become numbers with a legend below, and columns that have none follow in further
    tables: nothing is cut.
    """
    heads = [str(column.header) for column in table.columns]
    widths = [_wide([text, *(line[i] for line in lines)]) + 3 for i, text in enumerate(heads)]
    longest = max((cell_len(name) for name in names), default=0)
    room = out.width - sum(widths) - 1
    legend = longest > room and room < ROOM
    groups: list[list[int]] = [[]]
    for i, width in enumerate(widths):
        if legend and groups[-1] and 6 + width + sum(widths[j] for j in groups[-1]) > out.width:
            groups.append([])
        groups[-1].append(i)
    for n, group in enumerate(groups):
        shown = Table(title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
        shown.title = escape(str(table.title)) if table.title and n == 0 else None
        if legend:
            shown.add_column("#", no_wrap=True, justify="right")
        else:
            shown.add_column(head, overflow="fold", min_width=min(ROOM, max(longest, 1)))
        for i in group:
            shown.add_column(escape(heads[i]), justify=table.columns[i].justify, no_wrap=True)
        for k, (name, line) in enumerate(zip(names, lines, strict=True), 1):
            shown.add_row(str(k) if legend else escape(name), *(escape(line[i]) for i in group))
        out.print(shown)
    if legend:
        for k, name in enumerate(names, 1):
            out.print(f"  {k}: {escape(name)}", soft_wrap=True)


def _wide(texts: Sequence[str]) -> int:
    return max(cell_len(part) for text in texts for part in text.split("\n"))


def show_cells(out: Console, results: Results, scores: Sequence[str] = ()) -> None:
    """The table of rows: what each costs and scores; its metrics are split over tables where they have no room."""
    rows = results.manifest.rows
    metrics = _chosen(results, scores)
    base = [[f"{results.there(row)}/{row.wanted * row.repeats}", str(row.predictions), str(row.evals)] for row in rows]
    heads = {
        name: f"{name} {arrow(out, about['higher_is_better'])}\n({about['unit']})" for name, about in metrics.items()
    }
    values = {name: [_value(results, row, name) for row in rows] for name in metrics}
    names = [row.title for row in rows]
    table = Table(title="cells: mean and 95 % interval")
    for head in ("images", "predictions", "evaluations", *heads.values()):
        table.add_column(head, justify="right")
    lines = [[*base[i], *(values[name][i] for name in metrics)] for i in range(len(rows))]
    numbered(out, table, names, lines, "cell")
    _say(out, remarks.of_cells(results, list(metrics)))


def show_by(out: Console, results: Results, by: str, scores: Sequence[str] = ()) -> None:
    """A table a metric: every row's mean for each value of a field of the prompts' meta."""
    values = results.categories(by)
    chosen = _chosen(results, scores)
    if whole := [name for name, about in chosen.items() if about["kind"] == "set"]:
        out.print(f"{', '.join(whole)}: of a whole set of pictures, and not shown by {by}", soft_wrap=True)
    for name in [name for name in chosen if name not in whole]:
        table = Table(title=f"{name} by {by}: mean and 95 % interval")
        for value in values:
            table.add_column(value, justify="right")
        lines = []
        for row in results.manifest.rows:
            lines.append([number(results.mean(row, name, meta_is(by, value))) for value in values])
        numbered(out, table, [row.title for row in results.manifest.rows], lines, "cell")
    out.print("a value without an interval is of one prompt; - is of none")
    prompts = [prompt for row in results.manifest.rows for prompt in results.prompts(row).entries[: row.wanted]]
    if n := sum(by not in prompt.meta for prompt in prompts):
        out.print(f"{by} is not said of {n} of {len(prompts)} prompts, which are in no column", soft_wrap=True)
    for name in [name for name in chosen if name not in whole]:
        _say(out, remarks.of_fewer(results, name))


def show_grid(out: Console, grid: Grid) -> None:
    """Two fields of a store's cells against each other."""
    table = Table(title=grid.caption)
    for column in grid.column_values:
        table.add_column(text(column) if grid.columns else grid.score, justify="right")
    lines, fewer = [], dict[str, int]()
    shown = rate if grid.shown == "wins" else number
    for value in grid.row_values:
        found = [grid.at(value, column) for column in grid.column_values]
        lines.append([shown(one.value) if one and one.n else "" for one in found])
        fewer |= {one.row.title: one.n for one in found if one and one.n < one.row.wanted and not grid.of}
    numbered(out, table, [text(value) for value in grid.row_values], lines, grid.rows)
    _say(out, remarks.of_grid(grid, fewer))


def _chosen(results: Results, scores: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    known = results.metrics
    if missing := [name for name in scores if name not in known]:
        raise ValueError(f"scores={missing[0]} is of no row; there are {', '.join(known) or 'none'}")
    return {name: known[name] for name in scores or known}


def _say(out: Console, lines: Iterable[str]) -> None:
    for line in lines:
        out.print(escape(line), soft_wrap=True)


def _value(results: Results, row: Row, name: str) -> str:
    return number(results.mean(row, name)) if name in (row.scorers or {}) else ""


def show_comparisons(out: Console, results: Results, partial: bool = False, scores: Sequence[str] = ()) -> None:
    """One table: every row against its controls in every score, paired by entry."""
    found = [one for one in results.comparisons(partial) if not scores or one.score in scores]
    if not found:
        return _say(out, remarks.of_comparisons(results, partial, scores))
    table = Table(
        title=f"paired with {'other rows' if found[0].role == 'against' else 'the controls'}, by {_key(found[0])}"
    )
    for head in ("score", "win/tie/loss", "winning rate", "mean difference", "p"):
        table.add_column(head, justify="left" if head == "score" else "right")
    titles = list(dict.fromkeys(one.row.title for one in found))
    names, lines = [], []
    for one in found:
        w = one.winning
        number_of = f"{titles.index(one.row.title) + 1} / " if len(titles) > 1 else ""
        against = one.against.title if one.role == "against" else one.role
        names.append(f"{number_of}{against} ({one.against.predictions})")
        lines.append([one.score, f"{w.win}/{w.tie}/{w.loss}", rate(w.rate), number(w.difference), f"{w.p:.2g}"])
    numbered(out, table, names, lines, "against (predictions)")
    if len(titles) > 1:
        for n, title in enumerate(titles, 1):
            out.print(f"  {n} / ...: {escape(title)}", soft_wrap=True)
    _say(out, remarks.of_comparisons(results, partial, scores))


def _key(one: Comparison) -> str:
    return "prompt and seed" if one.row.seeded and one.against.seeded else "prompt"


def show_store(out: Console, cells: Sequence[CellSummary], titles: Sequence[str], root: str) -> None:
    """The list of cells."""
    if not cells:
        out.print(f"no cells in {escape(root)}", soft_wrap=True)
        return
    table = Table()
    for head in ("key", "model", "images", "of all prompts", "scores"):
        table.add_column(head, justify="right" if head in ("images", "of all prompts") else "left")
    lines = []
    for one in cells:
        scores = "\n".join(f"{name.rpartition('-')[0]} {n}" for name, n in one.scores.items())
        done = f"{100 * one.images / one.prompts:.0f} %" if one.prompts else ""
        images = f"{one.images}/{one.prompts}" if one.prompts else str(one.images)
        lines.append([one.cell.key, one.model, images, done, scores])
    numbered(out, table, titles, lines, "cell")
    out.print(f"{len(cells)} cells in {escape(root)}", soft_wrap=True)


def show_verdicts(out: Console, results: Results) -> None:
    """A sentence for each row that was asked for: where it stands against each control, in the first score of all."""
    for row in results.manifest.rows:
        controls = results.manifest.controls_of(row)
        names = [
            n for n, about in (row.scorers or {}).items() if about["kind"] == "image" and about["higher_is_better"]
        ]
        if row.role != "asked" or not controls or not names:
            continue
        said: dict[str, list[str]] = {}
        for role, control in controls:
            found = results.compare(row, control, names[0]).difference
            if not isfinite(found.low):  # fewer than two prompts in common say nothing
                continue
            status = "ahead of" if found.low > 0 else "behind" if found.high < 0 else "indistinguishable"
            by = f" by {number(found)}" if status != "indistinguishable" else ""
            said.setdefault(status, []).append(role + by)
        parts = [f"{how} {_listed(who)}" for how, who in said.items() if how != "indistinguishable"]
        if "indistinguishable" in said:
            parts.append(f"statistically indistinguishable (95 % CI) from {_listed(said['indistinguishable'])}")
        if parts:
            out.print(escape(f"{row.title}: in {names[0]} it is {'; '.join(parts)}."), soft_wrap=True)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
