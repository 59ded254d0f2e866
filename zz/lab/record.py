"""What varies between runs: beside each cell a log of events, and at the end of a run its record.

Nothing here is part of a result's identity.
"""

import contextlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from zz.lab.job import Job
from zz.lab.slots import SlotDone
from zz.lab.store.store import Store, StoreError

SLURM = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "SLURM_RESTART_COUNT")

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Record:
    """One row in one run."""

    job: Job
    store: Store
    host: Mapping[str, Any]  # of `host_info`
    config: object = None  # the resolved configuration that asked for it
    started: float = field(default_factory=time.time)
    slots: list[SlotDone] = field(default_factory=list)

    @property
    def cut(self) -> dict[str, int]:
        """The texts that the encoder cut, in the prompts' order, and how many tokens it reads."""
        found = dict(pair for slot in self.slots for pair in slot.cut)
        asked = {prompt.text: None for prompt in self.job.prompts.entries} if found else {}
        return {text: found[text] for text in (*asked, *found) if text in found}

    def add(self, done: SlotDone) -> None:
        """A slot is done: one line in the cell's event log."""
        if not self.slots:
            self._log("start", **{name: self.host[name] for name in ("host", "pid")})
        self.slots.append(done)
        made = {"row": done.row, "pictures": done.names, "seconds": round(done.seconds, 4), "device": done.device}
        made |= {"predictions": done.predictions, "evals": done.evals}
        apart = {"failed": dict(done.failed), "doubled": done.doubled, "peak_bytes": done.peak_bytes}
        self._log("slot", **made, **{name: value for name, value in apart.items() if value})

    def close(self) -> None:
        """The run is over, however it ended."""
        if not self.slots:
            return
        images = sorted(name for slot in self.slots for name in slot.names)
        self._log("end", made=len(images))
        made, cut = [slot for slot in self.slots if slot.names], self.cut
        record: dict[str, Any] = {
            "row": self.job.id,
            "started": self.started,
            "ended": time.time(),
            "wall_seconds": time.time() - self.started,
            "device_seconds": sum(slot.seconds for slot in self.slots),
            "images": images,
            "failed": {name: error for slot in self.slots for name, error in slot.failed.items()},
            "cut": {"prompts": len(cut), "first": next(iter(cut)), "tokens": min(cut.values())} if cut else None,
            "doubled": sorted(name for slot in self.slots for name in slot.doubled),
            "batch_size": self.store.batch_size(self.job.id),
            "predictions_per_image": made[0].predictions if made else 0,
            "evals_per_image": made[0].evals if made else 0,
            "shared_predictions_per_image": max((slot.shared_predictions for slot in made), default=0),
            "shared_evals_per_image": max((slot.shared_evals for slot in made), default=0),
            "peak_memory_bytes": max(slot.peak_bytes for slot in self.slots),
            "devices": sorted({slot.device for slot in self.slots}),
            "source": dict(self.job.model.source()),
            **self.host,
            "config": self.config,
        }
        with contextlib.suppress(StoreError):  # a full disk must not hide the error that filled it
            self.store.put_run(self.job.cell, record)

    def _log(self, event: str, **fields: Any) -> None:
        with contextlib.suppress(StoreError):
            self.store.log(self.job.cell, {"time": time.time(), "event": event, **fields})


def host_info() -> dict[str, Any]:
    """Where a run takes place: machine, packages, the revision of this code, SLURM's names for it."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "packages": packages(),
        "git": revision(),
        "slurm": {name.removeprefix("SLURM_").lower(): os.environ[name] for name in SLURM if name in os.environ},
    }


def packages() -> dict[str, str]:
    """Versions of zz and of what it needs, as far as they are installed."""
    try:
        needed = [line for line in requires("zz") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        needed = []
    found = {}
    for line in ["zz", *needed]:
        (name,) = re.findall(r"^[\w.-]+", line)
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def revision(root: Path = ROOT) -> dict[str, Any] | None:
    """The commit of the checkout that this code runs from, and whether it was changed since; None outside of one."""
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return None


__all__ = ["Record", "host_info", "packages", "revision"]
