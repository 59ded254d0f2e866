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

from zz.lab.hooks import SlotDone
from zz.lab.planner import Job
from zz.lab.store import Store, StoreError

SLURM = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "SLURM_RESTART_COUNT")

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Record:
    """One cell in one run."""

    job: Job
    store: Store
    place: Mapping[str, Any]  # of `surroundings`
    started: float = field(default_factory=time.time)
    slots: list[SlotDone] = field(default_factory=list)

    def add(self, done: SlotDone) -> None:
        """A slot is done: one line in the cell's event log."""
        if not self.slots:
            self._log("start", **{name: self.place[name] for name in ("host", "pid")})
        self.slots.append(done)
        made = {"indices": done.indices, "seconds": round(done.seconds, 4), "device": done.device}
        self._log("slot", **made, **({"failed": dict(done.failed)} if done.failed else {}))

    def close(self) -> None:
        """The run is over, however it ended."""
        if not self.slots:
            return
        images = sorted(i for slot in self.slots for i in slot.indices)
        self._log("end", made=len(images))
        made = [slot for slot in self.slots if slot.indices]
        record: dict[str, Any] = {
            "started": self.started,
            "ended": time.time(),
            "wall_seconds": time.time() - self.started,
            "device_seconds": sum(slot.seconds for slot in self.slots),
            "images": images,
            "failed": {str(i): error for slot in self.slots for i, error in slot.failed.items()},
            "batch_size": self.store.width(self.job.cell),
            "predictions_per_image": made[0].predictions if made else 0,
            "rows_per_image": made[0].rows if made else 0,
            "shared_predictions_per_image": max((slot.shared_predictions for slot in made), default=0),
            "shared_rows_per_image": max((slot.shared_rows for slot in made), default=0),
            "peak_memory_bytes": max(slot.memory for slot in self.slots),
            "devices": sorted({slot.device for slot in self.slots}),
            "source": dict(self.job.model.source()),
            **self.place,
            "config": self.job.config,
        }
        with contextlib.suppress(StoreError):  # a full disk must not hide the error that filled it
            self.store.put_run(self.job.cell, record)

    def _log(self, event: str, **fields: Any) -> None:
        with contextlib.suppress(StoreError):
            self.store.log(self.job.cell, {"time": time.time(), "event": event, **fields})


def surroundings() -> dict[str, Any]:
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


__all__ = ["Record", "packages", "revision", "surroundings"]
