"""What will be done, before anything is."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zz.cli.terminal.tables import numbered
from zz.lab.plan import Plan


def show_plan(out: Console, plan: Plan, fate: str = "to make", unmeasured: int = 0) -> None:
    """Rows, images, guided predictions and network evaluations, before anything is done."""
    rows = f"{plan.asked} cell{'s' if plan.asked != 1 else ''} asked for"
    if plan.own != plan.asked:
        rows += f", {plan.own} distinct (equal pictures are one cell)"
    if len(plan.jobs) > plan.own:
        n = len(plan.jobs) - plan.own
        rows += f", {n} control{'s' if n > 1 else ''} beside {'them' if plan.own > 1 else 'it'}"
    for path in plan.broken:
        what = "made again" if fate == "to make" else fate
        out.print(f"[yellow]not a whole picture, {what}:[/] {escape(path)}", soft_wrap=True)
    for name, n in {job.prompts.name: job.prompts.dropped for job in plan.jobs if job.prompts.dropped}.items():
        what = f"{n} entries whose text and seed came before are left out"
        out.print(f"[yellow]{escape(name)}: {what}[/]", soft_wrap=True)
    for remark in dict.fromkeys(remark for job in plan.jobs for remark in job.prompts.remarks):
        out.print(f"[yellow]{escape(remark)}[/]", soft_wrap=True)
    out.print(f"[bold]plan[/]  {rows}; {plan.images:,} images {fate}, {plan.there:,} there already")
    if plan.images:
        out.print(f"      {plan.predictions:,} guided predictions, {plan.evals:,} network evaluations")
    if unmeasured:
        out.print(f"      {unmeasured:,} pictures to measure; those that are there are sampled again")
    if plan.saved.predictions:
        saved = f"{plan.saved.predictions:,} predictions and {plan.saved.evals:,} evaluations"
        out.print(f"      {saved} more are shared by trajectories that begin alike")


def show_jobs(out: Console, plan: Plan, titles: Sequence[str]) -> None:
    """The plan, row by row: what an image costs and what is missing."""
    table = Table(show_edge=False, pad_edge=False)
    for name in ("predictions", "evaluations", "there", "to make"):
        table.add_column(name, justify="right", no_wrap=True)
    lines = []
    for job, missing in zip(plan.jobs, plan.missing, strict=True):
        cost = job.recipe.cost
        lines.append([str(cost.predictions), str(cost.evals), f"{job.wanted - missing:,}", f"{missing:,}"])
    numbered(out, table, titles, lines, "cell")


def duration(hours: float) -> str:
    """Hours in words."""
    if hours < 1 / 30:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
