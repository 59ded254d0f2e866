"""`zz plan`: what zz.run would do with the same words, and how long it would take. Runs nothing."""

from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli.page import only_shown
from zz.cli.request import request
from zz.cli.terminal.console import console
from zz.cli.terminal.plan import duration, show_jobs, show_plan
from zz.lab.timing import estimate, merged_savings


def plan(configs: Sequence[DictConfig]) -> int:
    """Show the plan and an estimate from a short measurement; return the exit code."""
    out = console()
    if only_shown(configs[0]):
        out.print("nothing to make")
        return 0
    asked = request(configs)
    show_plan(out, asked.plan)
    if saved := merged_savings(asked.jobs):
        out.print(f"      {saved:,} guided predictions saved by making equal cells once")
    show_jobs(out, asked.plan, asked.manifest)
    if asked.plan.images:
        out.print("measuring, a batch of each model ...")
        found = estimate(asked.plan, asked.runner)
        workers = f"{found.workers} worker{'s' if found.workers > 1 else ''}"
        out.print(
            f"estimate: {duration(found.hours)} on {workers}, {found.device_hours:.2g} device hours; "
            "measured on one batch of each model, loading and writing left out"
        )
    return 0
