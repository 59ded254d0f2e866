"""`hydra/launcher=submitit_slurm` and `submitit_local`: the distinct cells of a sweep as one array of jobs.

What a job makes goes into the store as always, so that the process that waits for them is needed for nothing but the
tables: the same command sends what is missing by then, and leaves to jobs that still run what they are making.
"""

import time
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from zz.cli.conf import Refusal, near
from zz.cli.config import resolved
from zz.cli.extensions import search_path
from zz.cli.finish import finish
from zz.cli.page import only_shown
from zz.cli.request import Request, put, request
from zz.cli.sent import Sent
from zz.cli.terminal.console import console, warn
from zz.cli.terminal.plan import show_plan
from zz.diffusion.validate import check_count
from zz.lab.scoring.scoring import unscored
from zz.lab.slurm import Limits, states

POLL = 2.0  # seconds between two looks at the jobs
ASK = 5.0  # and between two questions to SLURM
LAG = 10.0  # seconds that a file of another node may take to be seen
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"),
    *("PREEMPTED", "REVOKED"),
)
OURS = ("executor", "submitit_folder", "max_num_timeout", "array_size")  # fields that are no option of a job
SHARED = ("cpus_per_task", "gpus_per_node", "mem_gb", "name", "stderr_to_stdout", "timeout_min")  # by all executors
NOT_OF_A_CELL = ("experiment", "scale", "only")


def launch(cells: Sequence[Sequence[str]], configs: Sequence[DictConfig], launcher: Mapping[str, Any]) -> int | None:
    """Send the cells that lack anything, wait for them, show the tables of all; return the exit code.

    None: there is nothing to send, of an experiment that makes no pictures.
    Raises Refusal with the field, the value and the remedy where the cluster would not take them.
    """
    if only_shown(configs[0]):
        return None
    out, limits = console(needed=False), _checked(launcher)
    asked = request(configs, partial(warn, out))
    asked.store.check_writable()
    show_plan(out, asked.plan)
    groups = groups_of(asked, cells, configs)
    if groups:
        jobs = _send(out, groups, launcher, limits)
        try:
            failed = _wait(out, jobs, limits is not None)
        except KeyboardInterrupt:
            warn(out, f"the jobs go on; the same command shows their tables, `scancel {_number(jobs)}` ends them")
            raise
        if failed:
            out.print("run the same command again to make what is missing")
            return 1
    return _show(out, configs)


def _checked(launcher: Mapping[str, Any]) -> Limits | None:
    """What the cluster allows; None on this machine alone. Refuses what it has not."""
    try:
        import submitit
    except ModuleNotFoundError as error:
        what = f"hydra/launcher=submitit_{launcher['executor']} needs {error.name}, which is not installed"
        raise Refusal(f"{what}: pip install 'zz[slurm]'") from error
    for name in ("array_size", "array_parallelism", "timeout_min", "gpus_per_node", "cpus_per_task"):
        if launcher.get(name) is not None:
            check_count(f"hydra.launcher.{name}", launcher[name], 1)
    if launcher["executor"] != "slurm":
        return None
    if submitit.SlurmExecutor.affinity() < 0:
        raise Refusal("hydra/launcher=submitit_slurm: there is no SLURM here (no srun); run it on a head node")
    limits, partition = Limits.here(), launcher["partition"]
    if unknown := limits.unknown(partition):
        known = list(limits.partitions)
        raise Refusal(
            f"hydra.launcher.partition={partition}: this cluster has no partition {unknown}{near(unknown, known)}; "
            f"sinfo knows {', '.join(known)}"
        )
    if limits.array and (launcher["array_size"] or 1) > limits.array:
        raise Refusal(
            f"hydra.launcher.array_size={launcher['array_size']} is more than an array may have here "
            f"(MaxArraySize={limits.array}); choose at most {limits.array}, or null"
        )
    return limits


def groups_of(asked: Request, cells: Sequence[Sequence[str]], configs: Sequence[DictConfig]) -> list[list[list[str]]]:
    """The words of cells that lack anything, those of one row together, and equal ones once."""
    slots = unscored(asked.plan.jobs, asked.metrics, asked.store)
    poor = {job.id for job, missing in zip(asked.plan.jobs, asked.plan.missing, strict=True) if missing}
    poor |= {slot.job.id for slot in slots} | {row for row, probes in asked.measurements.items() if probes}
    poor |= {asked_row for row in asked.manifest.rows if row.id in poor for asked_row, _ in row.controls}
    found: dict[str, dict[Hashable, list[str]]] = {}
    to_make = [(words, values) for words, values in zip(cells, map(resolved, configs), strict=True) if values["made"]]
    for job, (words, values) in zip(asked.jobs, to_make, strict=True):
        wants = str([values.get(name) for name in ("limit", "controls", "scorers", "measurements")])
        own = [word for word in words if word.lstrip("+").partition("=")[0] not in NOT_OF_A_CELL]
        if job.id in poor:
            found.setdefault(job.id, {}).setdefault((job.prompts.repeats, wants), [*search_path(), *own])
    return [list(group.values()) for group in found.values()]


def _send(
    out: Console, groups: Sequence[list[list[str]]], launcher: Mapping[str, Any], limits: Limits | None
) -> Sequence[Any]:
    """Submit them as one array; of more than it may have, a job takes several. Returns submitit's jobs."""
    import submitit

    most = min(filter(None, [launcher["array_size"], limits.array if limits else None, len(groups)]))
    shares = [[words for group in groups[n::most] for words in group] for n in range(most)]
    kind = launcher["executor"]
    options = {
        name if name in SHARED else f"{kind}_{name}": value
        for name, value in launcher.items()
        if name not in OURS and value is not None
    }
    try:
        folder = Path(launcher["submitit_folder"]).absolute()
        timeouts = {f"{kind}_max_num_timeout": launcher["max_num_timeout"]}
        executor = submitit.AutoExecutor(folder, cluster=kind, **timeouts)
        executor.update_parameters(**options)
        jobs = executor.map_array(Sent(), shares)
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        said = next((line for line in str(error).splitlines() if "error" in line), str(error))
        raise Refusal(f"hydra/launcher=submitit_{kind}: sbatch refuses the array: {said.strip()}") from error
    cells = f"{len(groups)} distinct cell{'s' if len(groups) > 1 else ''}"
    array = f"as an array of {len(jobs)}, job {_number(jobs)}" if kind == "slurm" else f"in {len(jobs)} processes"
    out.print(f"sent {cells} {array}; logs: {escape(str(folder.parent))}/{_number(jobs)}*/", soft_wrap=True)
    return list(jobs)


def _number(jobs: Sequence[Any]) -> str:
    """The number of the array; of processes of this machine there is none in common."""
    numbers = {str(job.job_id).partition("_")[0] for job in jobs}
    return numbers.pop() if len(numbers) == 1 else ""


def _wait(out: Console, jobs: Sequence[Any], slurm: bool) -> bool:
    """Wait for all; name those that failed, with their logs. Whether any did."""
    waiting, failed, asked = {str(job.job_id): job for job in jobs}, False, -ASK
    since = dict[str, float]()  # when a job was first seen to have ended
    ended = dict[str, str]()
    while waiting:
        now = time.monotonic()
        if now - asked > ASK:
            asked, ended = now, _ended(waiting, slurm)
            since = {name: since.get(name, now) for name in ended}
        for name, job in list(waiting.items()):
            if job.paths.result_pickle.exists():
                problem = _problem(job)
            elif now - since.get(name, now) > LAG:
                problem = f"ended without a result ({ended[name]})"
            else:
                continue
            del waiting[name]
            if problem:
                failed = True
                out.print(f"[red]failed:[/] job {name} {problem}; log: {escape(str(job.paths.stdout))}", soft_wrap=True)
        if waiting:
            time.sleep(POLL)
    return failed


def _ended(jobs: Mapping[str, Any], slurm: bool) -> dict[str, str]:
    """Those of these jobs that do not run and are not waiting, and in which state. None where SLURM does not answer.

    squeue knows ended jobs for some minutes only: one that it has forgotten has ended.
    """
    if not slurm:
        return {name: str(job.state) for name, job in jobs.items() if job.done()}
    if (told := states(_number([*jobs.values()]))) is None:
        return {}
    return {name: told.get(name, "forgotten") for name in jobs if told.get(name, ENDED[0]) in ENDED}


def _problem(job: Any) -> str:
    """What went wrong in a job that left its result; empty if nothing did."""
    try:
        code = job.result()
    except Exception as error:  # whatever the job raised, as submitit tells it
        return f"({str(error).strip().splitlines()[-1]})"
    return f"(exit code {code})" if code else ""


def _show(out: Console, configs: Sequence[DictConfig]) -> int:
    """The tables of the whole sweep; return the exit code. Makes no picture."""
    asked = request(configs, partial(warn, out))
    asked.loggers.on_start(asked.plan, asked.manifest, asked.configs, asked.store)
    put(asked)
    try:
        return finish(out, asked, asked.plan.images)
    finally:
        asked.loggers.on_end(0, asked.plan.images)


__all__ = ["groups_of", "launch"]
