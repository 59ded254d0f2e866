"""`zz plan`: what zz.run would do with the same words, and how long it would take. Runs nothing."""

from collections.abc import Sequence

from omegaconf import DictConfig
from rich.console import Console

from zz.cli.config import build
from zz.cli.costing import lacking, networks, rows, sustained
from zz.cli.experiment import find
from zz.cli.page import only_shown
from zz.cli.request import request
from zz.cli.terminal.console import console, warn
from zz.cli.terminal.costs import row_titles, show_bill, show_hours
from zz.cli.terminal.plan import duration, show_jobs, show_plan
from zz.diffusion.guidance.interval import GuidanceInterval
from zz.lab.costing import bill, tally, unknown
from zz.lab.job import Job
from zz.lab.plan import plan as planned
from zz.lab.timing import estimate, merged_savings
from zz.models.absent import Absent


def plan(configs: Sequence[DictConfig]) -> int:
    """Show the plan and an estimate; return the exit code.

    The estimate is measured on a batch of each model. Where the weights or the prompts of an experiment of the paper
    are not here, and for all of them at once, it is counted.
    """
    out, sustains = console(), sustained(configs[0])
    if len({config.experiment for config in configs}) > 1:
        _count_all(out, configs, sustains)
        return 0
    if only_shown(configs[0]):
        out.print("nothing to make")
        return 0
    if configs[0].scale == "paper" and (lack := lacking(configs)):
        _count(out, configs, lack, sustains)
        return 0
    asked = request(configs)
    show_plan(out, asked.plan)
    if saved := merged_savings(asked.jobs):
        out.print(f"      {saved:,} guided predictions saved by making equal cells once")
    title = {row.id: row.title for row in asked.manifest.rows}
    show_jobs(out, asked.plan, [title[job.id] for job in asked.plan.jobs])
    if asked.plan.images:
        out.print("measuring, a batch of each model ...")
        found = estimate(asked.plan, asked.runner)
        workers = f"{found.workers} worker{'s' if found.workers > 1 else ''}"
        out.print(
            f"estimate: {duration(found.hours)} on {workers}, {found.device_hours:.2g} device hours; "
            "measured on one batch of each model, loading and writing left out"
        )
    return 0


def _count(out: Console, configs: Sequence[DictConfig], lack: Sequence[str], sustains: float) -> None:
    """The plan of one experiment, by count.

    lack: what is not here
    """
    asked, controls = rows(configs)
    remedy = "`python -m zz.doctor` with the same words says what they need"
    warn(out, f"counted without {', '.join(lack)}, not on this machine, as if nothing were made yet; {remedy}")
    found = planned([*asked, *controls], len(asked), None, build(configs[0].runner).reuse)
    show_plan(out, found)
    if saved := merged_savings(asked):
        out.print(f"      {saved:,} guided predictions saved by making equal cells once")
    show_jobs(out, found, row_titles(found.jobs))
    show_hours(out, tally(found, networks()), sustains, unknown(found.jobs, networks()))
    _say_approximate(out, found.jobs)


def _count_all(out: Console, configs: Sequence[DictConfig], sustains: float) -> None:
    """What several experiments take, each alone and all together."""
    asked: dict[str, list[Job]] = {}
    for name in dict.fromkeys(str(config.experiment) for config in configs):
        own = [config for config in configs if config.experiment == name]
        asked[name] = [] if only_shown(own[0]) else [job for some in rows(own) for job in some]
    found = bill(asked, networks(), build(configs[0].runner).reuse)
    show_bill(out, found, sustains)
    every = [job for jobs in asked.values() for job in jobs]
    show_hours(out, found.once, sustains, unknown(every, networks()))
    if studies := [name for name in asked if find(name).study]:
        out.print(f"not counted: what {' and '.join(studies)} make beside cells", soft_wrap=True)
    _say_approximate(out, every)


def _say_approximate(out: Console, jobs: Sequence[Job]) -> None:
    if any(isinstance(j.recipe.guidance, GuidanceInterval) and isinstance(j.model, Absent) for j in jobs):
        warn(out, "evaluations under guidance=interval are approximate: counted at Stable Diffusion's noise levels")
