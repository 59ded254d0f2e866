"""What a person sees: the plan, the progress, the tables. Plain lines where there is no terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import rich.progress
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from zz.lab.cell import titles

if TYPE_CHECKING:
    from zz.lab.hooks import SlotDone
    from zz.lab.planner import Plan
    from zz.lab.results import CellRow, ComparisonRow
    from zz.lab.stats import Interval
    from zz.lab.store import Row
    from zz.models.base import Check

WIDTH, WIDE = 160, 110  # of tables where there is no terminal to ask; from where on there is room for all columns

STATES = {"ok": "green", "missing": "red", "unknown": "yellow"}  # and their colours


def console() -> Console:
    """The terminal, or plain text of a fixed width for files and pipes."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=WIDTH)


def show_plan(out: Console, plan: Plan, fate: str = "to make") -> None:
    """Cells, images, guided predictions and network rows, before anything is done."""
    cells = f"{plan.asked} cell{'s' if plan.asked != 1 else ''} asked for"
    if plan.own != plan.asked:
        cells += f", {plan.own} distinct (equal pictures are one cell)"
    if len(plan.jobs) > plan.own:
        cells += f", {len(plan.jobs) - plan.own} controls beside them"
    for path in plan.broken:
        out.print(
            f"[yellow]not a whole picture, {'made again' if fate == 'to make' else fate}:[/] {escape(path)}",
            soft_wrap=True,
        )
    out.print(f"[bold]plan[/]  {cells}; {plan.images:,} images {fate}, {plan.there:,} there already")
    if plan.images:
        out.print(f"      {plan.predictions:,} guided predictions, {plan.rows:,} network rows")
    if plan.saved.predictions:
        saved = f"{plan.saved.predictions:,} predictions and {plan.saved.rows:,} rows"
        out.print(f"      {saved} more are shared by trajectories that begin alike")


def show_jobs(out: Console, plan: Plan) -> None:
    """The plan, cell by cell: what an image costs and what is missing."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("cell", no_wrap=True)
    table.add_column("key", style="dim", no_wrap=True)
    for name in ("predictions", "rows", "there", "to make"):
        table.add_column(name, justify="right", no_wrap=True)
    title = titles([job.cell for job in plan.jobs])
    for job, missing in zip(plan.jobs, plan.missing, strict=True):
        counts = (job.cost.predictions, job.cost.rows, job.wanted - missing, missing)
        table.add_row(escape(title[job.cell.key]), job.cell.key, *(f"{n:,}" for n in counts))
    out.print(table)


def duration(hours: float) -> str:
    """Hours in the unit that a person would use."""
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"


class Bar:
    """One progress bar with a speed and an ETA; a line every tenth of the way where there is no terminal."""

    def __init__(self, out: Console, total: int, what: str, who: str = "") -> None:
        self.out, self.total, self.what, self.who, self.done = out, total, what, who, 0
        self.progress = rich.progress.Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            *([TextColumn("{task.fields[now]}", style="dim")] if out.width >= WIDE else []),
            console=out,
            disable=not out.is_terminal or not total,
        )
        self.task = self.progress.add_task(what, total=total, speed="", now="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def add(self, n: int, more: str = "", now: str = "") -> None:
        """`n` more are done. `more` stands beside the speed, `now` at the end of the line."""
        before, self.done = self.done, self.done + n
        task = self.progress.tasks[0]
        elapsed = task.elapsed or math.inf
        speed = f"{self.done / elapsed:.1f} {self.what}/s{more}"
        self.progress.update(self.task, advance=n, speed=speed, now=escape(now))
        if not self.out.is_terminal and self.total and self.done * 10 // self.total > before * 10 // self.total:
            left = max(0.0, elapsed / self.done * (self.total - self.done))
            line = f"{self.who}{self.done:>6}/{self.total} {self.what}  {speed}  ETA {left:.0f} s  {now}"
            self.out.print(escape(line.rstrip()), soft_wrap=True)


class Progress(Bar):
    """The bar of a whole sweep, with a second one for the cell under way.

    share: (rank, world) of this process's share of the work
    """

    def __init__(self, out: Console, plan: Plan, share: tuple[int, int] = (0, 1)) -> None:
        rank, world = share
        super().__init__(out, -(-plan.images // world), "images", f"[{rank + 1}/{world}] " if world > 1 else "")
        self.title = titles([job.cell for job in plan.jobs])
        self.wanted = {job.cell.key: -(-n // world) for job, n in zip(plan.jobs, plan.missing, strict=True)}
        self.made = dict.fromkeys(self.wanted, 0)
        self.predictions, self.peak = 0, 0
        several = sum(n > 0 for n in plan.missing) > 1
        self.cell = self.progress.add_task("", total=1, speed="", now="", visible=several)

    def slot(self, done: SlotDone) -> None:
        """A slot is done."""
        key = done.cell.key
        self.made[key] += len(done.indices)
        self.predictions += len(done.indices) * (done.predictions - done.shared_predictions)
        self.peak = max(self.peak, done.memory)
        elapsed = self.progress.tasks[0].elapsed or math.inf
        more = f"  {self.predictions / elapsed:,.0f} predictions/s  {self.peak / 1e9:.1f} GB"
        self.progress.update(
            self.cell, total=self.wanted[key], completed=self.made[key], description="cell", now=escape(self.title[key])
        )
        self.add(len(done.indices), more, done.prompt)

    def say(self, text: str) -> None:
        """Something that a person should know."""
        self.out.print(f"[yellow]{escape(text)}[/]", soft_wrap=True)


def show_cells(out: Console, rows: Sequence[CellRow]) -> None:
    """The table of cells: what each costs and scores. A narrow terminal folds the cells' names, never the numbers."""
    scorers = {s.name: s for row in rows for s in row.job.scorers}.values()
    table = Table(title="cells: mean and 95 % interval", title_justify="left", title_style="bold", show_edge=False)
    wide = out.width >= WIDE
    table.add_column("cell", overflow="fold", min_width=16)
    for name in ("key", "images", "predictions", "rows") if wide else ("rows",):
        table.add_column(name, justify="right", no_wrap=True)
    for scorer in scorers:
        arrow = _arrow(out, scorer.higher_is_better)
        table.add_column(f"{scorer.name} {arrow}\n({scorer.unit})", justify="right", no_wrap=True)
    for row in rows:
        cost = row.job.cost
        counts = [row.job.cell.key[:8], f"{row.images}/{row.job.wanted}", str(cost.predictions)] if wide else []
        means = (number(row.means[s.name]) if s.name in row.means else "" for s in scorers)
        table.add_row(escape(row.title), *counts, str(cost.rows), *means)
    out.print(table)


def show_comparisons(out: Console, rows: Sequence[ComparisonRow]) -> None:
    """A table for each cell and score: the winning rates against its controls, paired by prompt and seed."""
    wide = out.width >= WIDE
    for title, score in dict.fromkeys((row.title, row.scorer) for row in rows):
        table = Table(
            title=f"{escape(title)}: {score}, paired", title_justify="left", title_style="bold", show_edge=False
        )
        table.add_column("against", overflow="fold", min_width=20)
        for name in ("win/tie/loss", "winning rate", "mean difference", *(["sign test p"] if wide else [])):
            table.add_column(name, justify="right", no_wrap=True)
        for row in (row for row in rows if (row.title, row.scorer) == (title, score)):
            w = row.winning
            rate, low, high = (100 * x for x in w.rate)
            shown = [f"{rate:.0f} % [{low:.0f}, {high:.0f}]", number(w.difference), *([f"{w.p:.2g}"] if wide else [])]
            table.add_row(f"{row.control}, T={row.against.steps}", f"{w.win}/{w.tie}/{w.loss}", *shown)
        out.print(table)


def show_store(out: Console, rows: Sequence[Row], root: str) -> None:
    """The list of cells."""
    if not rows:
        out.print(f"no cells in {escape(root)}", soft_wrap=True)
        return
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("key", style="dim", no_wrap=True)
    for name in ("model", "dataset", "cell"):
        table.add_column(name)
    for name in ("images", "complete", "scores"):
        table.add_column(name, justify="right")
    kinds: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kinds.setdefault((row.model, row.dataset), []).append(row)
    title = {key: text for same in kinds.values() for key, text in titles([row.cell for row in same]).items()}
    for row in (row for same in kinds.values() for row in same):
        done = f"{100 * row.images / row.prompts:.0f} %" if row.prompts else ""
        scores = ", ".join(f"{name.rpartition('-')[0]} {n}" for name, n in row.scores.items())
        names = (row.cell.key, row.model, row.dataset, escape(title[row.cell.key]))
        table.add_row(*names, f"{row.images}/{row.prompts}", done, scores)
    out.print(table)
    out.print(f"{len(rows)} cells in {escape(root)}", soft_wrap=True)


def show_checks(out: Console, title: str, checks: Sequence[Check]) -> None:
    """What was looked at and found; then what to do, in lines that can be copied."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.show_header = False
    for check in checks:
        table.add_row(check.name, f"[{STATES[check.state]}]{check.state}[/]", escape(check.found))
    out.print(table)
    for check in checks:
        if check.remedy:
            out.print(f"[{STATES[check.state]}]{check.name}:[/] {escape(check.remedy)}", soft_wrap=True)
    missing = [check.name for check in checks if check.state == "missing"]
    out.print(f"[red]missing:[/] {', '.join(missing)}" if missing else "[green]everything needed is here[/]")


def _arrow(out: Console, up: bool) -> str:
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
