"""`zz plan sbatch=true`: one batch script for SLURM, sized by the estimate, which holds all that it needs."""

import math
import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from zz.cli.conf import Refusal, near, shipped
from zz.cli.terminal.costs import hours
from zz.diffusion.validate import check_count, check_number, check_text
from zz.lab.runner import Runner
from zz.lab.slurm import Limits, limit, minutes

SAFETY = 1.5  # other GPUs, other neighbours: what a job may take longer than its share of the estimate
LOADING = 15  # minutes for weights, scores and tables, which the estimate leaves out
STEP = 5  # minutes that time limits are rounded up to
OWN = ("sbatch", "slurm", "tflops")  # keys that zz.run has not


class Work(NamedTuple):
    """What a plan takes.

    hours:  on one device; nan where that is not known
    slots:  how many can work on it at once
    gpu:    whether the hours are a GPU's
    memory: in GB, of one worker; None: not known
    """

    hours: float
    slots: int
    gpu: bool
    memory: float | None


@dataclass(frozen=True)
class Slurm:
    """The fields `slurm.*` of a script. None: from the estimate, or as the cluster has it.

    tasks: jobs of the array
    hours: of work for each, where `tasks` is None
    time:  each job's limit, as SLURM writes it, or minutes
    mem:   each job's memory, such as 32G
    cpus:  of each job
    gres:  of each job, such as gpu:a100:1

    Raises ValueError and Refusal with the field, the value and the remedy.
    """

    tasks: int | None
    hours: float
    time: str | int | None
    mem: str | int | None
    cpus: int | None
    gres: str | None
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None

    def __post_init__(self) -> None:
        for name in ("tasks", "cpus"):
            if getattr(self, name) is not None:
                check_count(f"slurm.{name}", getattr(self, name), 1)
        check_number("slurm.hours", self.hours, 0)
        if not self.hours:
            raise Refusal(f"slurm.hours={self.hours} must be above 0: hours of work for each job")
        if self.time is not None and not minutes(str(self.time)):
            raise Refusal(f"slurm.time={self.time} is no time limit: minutes, H:MM:SS or D-HH:MM:SS")
        if self.mem is not None and not re.fullmatch(r"[1-9]\d*[KMGT]?", str(self.mem)):
            raise Refusal(f"slurm.mem={self.mem} is no memory: a whole number of megabytes, or such as 32G")
        for name in ("gres", "partition", "account", "qos", "constraint"):
            value = getattr(self, name)
            check_text(f"slurm.{name}", value)
            if value is not None and not re.fullmatch(r"[\w.,:=&|*()\[\]+/@-]+", value):
                raise Refusal(f"slurm.{name}={value!r} must be one word, as behind --{name}= of sbatch")

    def check(self, limits: Limits) -> None:
        """Refuse what the cluster has not, or does not allow."""
        if name := limits.unknown(self.partition):
            known = list(limits.partitions)
            raise Refusal(
                f"slurm.partition={self.partition}: this cluster has no partition {name}{near(name, known)}; sinfo "
                f"knows {', '.join(known)}"
            )
        if self.tasks and limits.array and self.tasks > limits.array:
            raise Refusal(
                f"slurm.tasks={self.tasks} is more than an array may have here (MaxArraySize={limits.array}); choose "
                f"at most {limits.array}, or null"
            )
        longest = limits.longest(self.partition)
        if self.time and longest and (minutes(str(self.time)) or 0) > longest:
            raise Refusal(
                f"slurm.time={self.time} is more than the partition allows ({limit(longest)}); choose less, or null: a "
                "job goes back into the queue before its limit"
            )

    def gpus(self) -> int:
        """GPUs that `gres` asks for."""
        found = re.findall(r"(?:^|,)(?:gres/)?gpu(?::[^,:]*[^,:\d][^,:]*)?(?::(\d+))?(?=,|$)", self.gres or "")
        return sum(int(n or 1) for n in found)


def parsed(plain: Any) -> Slurm:
    """The fields `slurm.*` of a config's plain values."""
    known = [f.name for f in fields(Slurm)]
    if not isinstance(plain, dict) or set(plain) != set(known):
        raise Refusal(f"slurm={plain} cannot be set as a whole; set its fields: slurm.{known[0]}=VALUE")
    return Slurm(**plain)


def script(words: Sequence[str], name: str, work: Work, asked: Slurm, limits: Limits, runner: Runner) -> str:
    """A batch script that does the work with these words of zz.plan. Raises Refusal where its size is not known."""
    gpu = work.gpu or bool(asked.gpus())
    workers = runner.devices if isinstance(runner.devices, int) else asked.gpus() or 1
    tasks, time = _size(work, asked, limits, workers)
    said = {
        "job-name": re.sub(r"[^A-Za-z0-9._-]", "-", name),
        "array": f"0-{tasks - 1}" if tasks > 1 else None,
        "nodes": 1,
        "ntasks": 1,
        "gres": asked.gres,
        "gpus-per-task": workers if gpu and not asked.gres else None,
        "cpus-per-task": asked.cpus or (2 * workers if gpu else workers * runner.threads),
        "mem": asked.mem or (f"{_memory(work.memory, workers)}G" if work.memory else None),
        "time": time,
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "constraint": asked.constraint,
        "output": "%x-%A_%a.log" if tasks > 1 else "%x-%j.log",
        "open-mode": "append",
        "signal": "B:USR1@120",
    }
    command = shlex.join(own_words(words))
    store = os.environ.get("ZZ_STORE")
    lines = [
        "#!/usr/bin/env bash",
        f"# By zz.plan, for `python -m zz.run` with the words below: {_estimated(work)}.",
        *(f"#SBATCH --{option}={value}" for option, value in said.items() if value is not None),
        "#SBATCH --requeue",
        f"cd -- {shlex.quote(str(Path.cwd()))} || exit 2 # where the plan was made, and relative paths begin",
        f"export PYTHON=${{PYTHON:-{shlex.quote(sys.executable)}}}",
        *([f"export ZZ_STORE={shlex.quote(store)}"] if store else []),
        f'set -- zz.run {command} "$@"',
        "",
        (shipped("slurm", "body.sh") / "body.sh").read_text(encoding="utf-8"),
    ]
    return "\n".join(lines)


def own_words(words: Sequence[str]) -> list[str]:
    """Of zz.plan's words those that zz.run takes."""
    return [word for word in words if re.split(r"[.=]", word.lstrip("+~"), maxsplit=1)[0] not in OWN]


def _size(work: Work, asked: Slurm, limits: Limits, workers: int) -> tuple[int, str]:
    """How many jobs, and the time limit of each."""
    if math.isnan(work.hours) and not (asked.tasks and asked.time):
        raise Refusal(
            "slurm.tasks=null, slurm.time=null: what this takes is not known, see above; give both, such as "
            "slurm.tasks=8 slurm.time=4:00:00"
        )
    most = max(1, -(-work.slots // workers))
    tasks = asked.tasks or min(math.ceil(work.hours / workers / asked.hours) or 1, limits.array or most)
    tasks = min(tasks, most)
    if asked.time:
        return tasks, limit(minutes(str(asked.time)) or 1)
    needed = SAFETY * work.hours * 60 / tasks / workers + LOADING
    needed = STEP * math.ceil(needed / STEP)
    return tasks, limit(min(needed, limits.longest(asked.partition) or needed))


def _memory(gb: float, workers: int) -> int:
    return max(2, math.ceil(SAFETY * gb * workers))


def _estimated(work: Work) -> str:
    took = "hours not known" if math.isnan(work.hours) else f"{hours(work.hours)} {'GPU' if work.gpu else 'CPU'} hours"
    return f"{work.slots:,} slots, {took}"


__all__ = ["Slurm", "Work", "own_words", "parsed", "script"]
