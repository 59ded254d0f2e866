"""The machine that a run would have: its Python, its devices and its disk, looked at and left as they are."""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from zz.lab.runner import Runner
from zz.lab.store import Store
from zz.models.base import Check


def machine(runner: Runner, free: Mapping[str, float]) -> list[Check]:
    """Python, torch, and the devices that the runner would take; `free` as `room` tells."""
    versions = Check("python", "ok", f"Python {platform.python_version()}, torch {torch.__version__}")
    places = runner.places()
    if "cpu" not in places:
        said = ", ".join(f"{p} ({torch.cuda.get_device_name(p)}, {free[p]:,.1f} GB free)" for p in places)
        return [versions, Check("devices", "ok", said)]
    said = "the CPU" if len(places) == 1 else f"{len(places)} workers on the CPU"
    if runner.devices != "cpu" and shutil.which("nvidia-smi"):
        why = "is built without CUDA" if torch.version.cuda is None else "sees no GPU"
        remedy = f"nvidia-smi is here, but torch {why}: install one that fits the driver, from https://pytorch.org"
        return [versions, Check("devices", "unknown", f"{said}; torch {why}", remedy)]
    return [versions, Check("devices", "ok", f"{said}; torch sees {torch.cuda.device_count()} GPUs")]


def room(runner: Runner) -> dict[str, float]:
    """GB of memory that are free on each device that the runner would take, shared by its workers; empty if not told.

    A control group's limit counts as the machine's.
    """
    places = runner.places()
    if "cpu" not in places:
        return {place: torch.cuda.mem_get_info(place)[0] / 1e9 for place in places}
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return {}
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (allowed := limit.read_text().strip()).isdigit():
        free = min(free, int(allowed))
    return {"cpu": free / len(places) / 1e9}


def place(store: Store) -> Check:
    """Whether pictures can be put into the store: a hundred megabytes of them at least."""
    return Check.disk("store", Path(store.root), 0.1, "make room, or choose another with store=PATH")
