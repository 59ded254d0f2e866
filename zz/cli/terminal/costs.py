"""What experiments take by count."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zz.cli.terminal.tables import numbered
from zz.lab.costing import Bill, Tally
from zz.lab.job import Job


def show_bill(out: Console, bill: Bill, sustained: float) -> None:
    """A line an experiment, then what is saved, and what is left."""
    table = Table(show_edge=False, pad_edge=False)
    for name in ("cells", "images", "predictions", "evaluations", "GPU hours"):
        table.add_column(name, justify="right", no_wrap=True)
    lines = {
        **bill.alone,
        "each alone": bill.each,
        "cells of several, made once": Tally() - bill.merged,
        "trajectories that begin alike": Tally() - bill.shared,
        "all of it, made once": bill.once,
    }
    numbered(out, table, list(lines), [_line(one, sustained) for one in lines.values()], "experiment")


def show_hours(out: Console, tally: Tally, sustained: float, unknown: Sequence[str]) -> None:
    """GPU hours, and how they were found."""
    if unknown:
        what = f"experiments/costs.yaml does not say what they take: {', '.join(unknown)}"
        out.print(f"[yellow]no GPU hours: {escape(what)}[/]", soft_wrap=True)
        return
    out.print(
        f"estimate: {hours(tally.hours(sustained))} GPU hours by count, {tally.tflops:,.0f} TFLOPs at "
        f"tflops={sustained:g} a second; sampling and decoding, no text encoders, scores, loading or writing",
        soft_wrap=True,
    )


def row_titles(jobs: Sequence[Job]) -> list[str]:
    """What rows are called whose models are known by name only."""
    return [f"{job.cell.title} [{job.model.name}, {job.prompts.name}]" for job in jobs]


def hours(x: float) -> str:
    """Hours in two digits or more, - where they are not known."""
    if math.isnan(x):
        return "-"
    x = round(x, 6)  # differences leave dust
    return f"{x:,.0f}" if abs(x) >= 100 or not x else f"{x:.1f}" if abs(x) >= 1 else f"{x:.2g}"


def _line(tally: Tally, sustained: float) -> list[str]:
    counts = (tally.cells, tally.images, tally.predictions, tally.evals)
    return [*(f"{n:,}" for n in counts), hours(tally.hours(sustained))]
