"""`zz plan`: what zz.run would do with the same words, and how long it would take. Runs nothing."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from omegaconf import DictConfig
from rich.console import Console

from zz.cli.conf import Refusal
from zz.cli.config import build, resolved
from zz.cli.costing import lacking, memory, networks, rows, sustained
from zz.cli.experiment import find
from zz.cli.page import only_shown
from zz.cli.request import request
from zz.cli.sbatch import Work, parsed, script
from zz.cli.terminal.console import console, warn
from zz.cli.terminal.costs import row_titles, show_bill, show_hours
from zz.cli.terminal.plan import duration, show_jobs, show_plan
from zz.diffusion.guidance.interval import GuidanceInterval
from zz.lab.costing import bill, tally, unknown
from zz.lab.job import Job
from zz.lab.machine import peak_memory
from zz.lab.plan import Plan, shares
from zz.lab.plan import plan as planned
from zz.lab.runner import Runner
from zz.lab.slurm import Limits
from zz.lab.timing import estimate, merged_savings
from zz.models.absent import Absent

NOTHING = Work(0.0, 1, False, None)


def plan(configs: Sequence[DictConfig], words: Sequence[str]) -> int:
    """Show the plan and an estimate; return the exit code. With sbatch=true they go to the error stream, and a batch
    script for these words alone to the output.

    The estimate is measured on a batch of each model. Where the weights or the prompts of an experiment of the paper
    are not here, and for all of them at once, it is counted.

    words: of the command, as they were typed
    """
    values = resolved(configs[0])
    if not isinstance(values["sbatch"], bool):
        raise Refusal(f"sbatch={values['sbatch']} must be true or false")
    if not values["sbatch"]:
        _plan(configs)
        return 0
    asked, limits, runner = parsed(values["slurm"]), Limits.here(), build(values["runner"])
    asked.check(limits)
    with redirect_stdout(sys.stderr):
        work = _plan(configs, elsewhere=asked.gpus() > 0 and runner.device_list()[0] == "cpu")
    sys.stdout.write(script(words, str(values["name"] or "zz"), work, asked, limits, runner))
    return 0


def _plan(configs: Sequence[DictConfig], elsewhere: bool = False) -> Work:
    """Show the plan and an estimate, and say what it takes.

    elsewhere: whether it is for GPUs that this machine has not: counted, where that can be
    """
    out, sustains = console(), sustained(configs[0])
    if len({config.experiment for config in configs}) > 1:
        return _count_all(out, configs, sustains)
    if only_shown(configs[0]):
        out.print("nothing to make")
        return NOTHING
    if configs[0].scale == "paper" and (lack := lacking(configs)):
        return _count(out, configs, lack, sustains)
    asked = request(configs)
    if elsewhere and not unknown(asked.plan.jobs, networks()):
        return _count(out, configs, ["a GPU"], sustains)
    show_plan(out, asked.plan)
    if saved := merged_savings(asked.jobs):
        out.print(f"      {saved:,} guided predictions saved by making equal cells once")
    title = {row.id: row.title for row in asked.manifest.rows}
    show_jobs(out, asked.plan, [title[job.id] for job in asked.plan.jobs])
    if not asked.plan.images:
        return NOTHING
    out.print("measuring, a batch of each model ...")
    found = estimate(asked.plan, asked.runner)
    workers = f"{found.workers} worker{'s' if found.workers > 1 else ''}"
    out.print(
        f"estimate: {duration(found.hours)} on {workers}, {found.device_hours:.2g} device hours; "
        "measured on one batch of each model, loading and writing left out"
    )
    gpu = asked.runner.device_list()[0] != "cpu"
    return Work(found.device_hours, _shares(asked.plan, asked.runner), gpu, peak_memory())


def _count(out: Console, configs: Sequence[DictConfig], lack: Sequence[str], sustains: float) -> Work:
    """The plan of one experiment, by count.

    lack: what is not here
    """
    asked, controls = rows(configs)
    remedy = "`python -m zz.doctor` with the same words says what they need"
    warn(out, f"counted without {', '.join(lack)}, not on this machine, as if nothing were made yet; {remedy}")
    runner = build(configs[0].runner)
    found = planned([*asked, *controls], len(asked), None, runner.reuse)
    show_plan(out, found)
    if saved := merged_savings(asked):
        out.print(f"      {saved:,} guided predictions saved by making equal cells once")
    show_jobs(out, found, row_titles(found.jobs))
    takes = tally(found, networks())
    show_hours(out, takes, sustains, unknown(found.jobs, networks()))
    _say_approximate(out, found.jobs)
    return Work(takes.hours(sustains), _shares(found, runner), True, memory(configs))


def _count_all(out: Console, configs: Sequence[DictConfig], sustains: float) -> Work:
    """What several experiments take, each alone and all together."""
    asked: dict[str, list[Job]] = {}
    for name in dict.fromkeys(str(config.experiment) for config in configs):
        own = [config for config in configs if config.experiment == name]
        asked[name] = [] if only_shown(own[0]) else [job for some in rows(own) for job in some]
    runner = build(configs[0].runner)
    found = bill(asked, networks(), runner.reuse)
    show_bill(out, found, sustains)
    every = [job for jobs in asked.values() for job in jobs]
    show_hours(out, found.once, sustains, unknown(every, networks()))
    if studies := [name for name in asked if find(name).study]:
        out.print(f"not counted: what {' and '.join(studies)} make beside cells", soft_wrap=True)
    _say_approximate(out, every)
    slots = _shares(planned(every, len(every), None, share=False), runner)
    return Work(found.once.hours(sustains), slots, True, memory(configs))


def _shares(found: Plan, runner: Runner) -> int:
    return shares(found, runner.planned_batch_size, runner.reuse)


def _say_approximate(out: Console, jobs: Sequence[Job]) -> None:
    if any(isinstance(j.recipe.guidance, GuidanceInterval) and isinstance(j.model, Absent) for j in jobs):
        warn(out, "evaluations under guidance=interval are approximate: counted at Stable Diffusion's noise levels")
