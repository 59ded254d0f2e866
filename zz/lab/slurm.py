"""What the SLURM cluster that is asked here says of itself, and times as SLURM writes them. Imports no torch."""

import os
import re
import shutil
import subprocess
from typing import NamedTuple

SECONDS = 20  # after which a cluster that does not answer is taken for none


class Limits(NamedTuple):
    """What a cluster allows.

    partitions: by name, the longest time limit in minutes; None: no end. Empty where no cluster is asked here
    default:    the partition of jobs that name none; None: not known
    array:      elements that an array may have; None: not known
    """

    partitions: dict[str, int | None]
    default: str | None
    array: int | None

    @classmethod
    def here(cls) -> "Limits":
        """As sinfo and scontrol say, where they are on PATH and answer."""
        partitions, default = dict[str, int | None](), None
        for line in _said("sinfo", "--all", "--noheader", "--format=%P|%l").splitlines():
            name, _, longest = line.strip().partition("|")
            if name.endswith("*"):
                name = default = name[:-1]
            partitions[name] = minutes(longest)
        told = re.search(r"^MaxArraySize\s*=\s*(\d+)", _said("scontrol", "show", "config"), re.M)
        return cls(partitions, default, int(told[1]) if told else None)

    def longest(self, partition: str | None) -> int | None:
        """The longest time limit that all of these partitions allow, in minutes; None: no end, or not known."""
        names = partition.split(",") if partition else [self.default] if self.default else []
        known = [limit for name in names if (limit := self.partitions.get(name)) is not None]
        return min(known, default=None)

    def unknown(self, partition: str | None) -> str | None:
        """The first of the partitions named that the cluster has not, where one is asked."""
        names = partition.split(",") if partition and self.partitions else []
        return next((name for name in names if name not in self.partitions), None)


def states(job: str) -> dict[str, str] | None:
    """The state of each element of a job, such as RUNNING, ended ones too as long as SLURM remembers them; None: SLURM
    does not answer.
    """
    try:
        words = ["squeue", "--array", "--noheader", "--states=all", f"--jobs={job}", "--format=%i|%T"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" not in done.stderr:
        return None
    found = (line.strip().partition("|") for line in done.stdout.splitlines())
    return {name: state for name, _, state in found}


def requeue_if_preempted() -> None:
    """Put this job back into the queue if it is preempted: SLURM does so only where it outlasts its grace time."""
    if number := os.environ.get("SLURM_JOB_ID"):
        told = _said("scontrol", "--oneliner", "show", "job", number)
        own = [line for line in told.splitlines() if re.search(rf"\bJobId={number}\b", line)]
        if own and re.search(r" Requeue=1 .*PreemptTime=\d", own[0]):
            _said("scontrol", "requeue", number)


def minutes(text: str) -> int | None:
    """SLURM's MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS in whole minutes, rounded up; None if it is none."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if not found:
        return None
    days, first, second, third = (int(part or 0) for part in found.groups())
    if found[1] is not None:
        seconds = ((days * 24 + first) * 60 + second) * 60 + third
    elif found[4] is not None:
        seconds = (first * 60 + second) * 60 + third
    else:
        seconds = first * 60 + second
    return -(-seconds // 60)


def limit(minutes: int) -> str:
    """Minutes as SLURM reads a time limit."""
    days, rest = divmod(minutes, 24 * 60)
    return f"{f'{days}-' if days else ''}{rest // 60:02}:{rest % 60:02}:00"


def _said(*words: str) -> str:
    if not shutil.which(words[0]):
        return ""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


__all__ = ["Limits", "limit", "minutes", "requeue_if_preempted", "states"]
