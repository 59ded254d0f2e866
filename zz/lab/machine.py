"""The machine that a run would have: its Python, its devices and its disk, looked at and left as they are."""

import platform
import resource
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import torch

from zz.hub.check import Check
from zz.lab.runner import Runner
from zz.lab.store.store import Store


def machine(runner: Runner, free: Mapping[str, float]) -> list[Check]:
    """Python, torch, and the devices that the runner would take; `free` as `room` tells."""
    versions = Check("python", "ok", f"Python {platform.python_version()}, torch {torch.__version__}")
    devices = runner.device_list()
    if "cpu" not in devices:
        said = ", ".join(f"{d} ({torch.cuda.get_device_name(d)}, {free[d]:,.1f} GB free)" for d in devices)
        return [versions, Check("devices", "ok", said)]
    said = "the CPU" if len(devices) == 1 else f"{len(devices)} workers on the CPU"
    if runner.devices != "cpu" and shutil.which("nvidia-smi"):
        why = "is built without CUDA" if torch.version.cuda is None else "sees no GPU"
        remedy = f"nvidia-smi is here, but torch {why}: install one that fits the driver, from https://pytorch.org"
        return [versions, Check("devices", "unknown", f"{said}; torch {why}", remedy)]
    return [versions, Check("devices", "ok", f"{said}; torch sees {torch.cuda.device_count()} GPUs")]


def room(runner: Runner) -> dict[str, float]:
    """GB of memory that are free on each device that the runner would take, shared by its workers.

    A control group's limit counts as the machine's.
    """
    devices = runner.device_list()
    if "cpu" not in devices:
        return {device: torch.cuda.mem_get_info(device)[0] / 1e9 for device in devices}
    free = psutil.virtual_memory().available
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (allowed := limit.read_text().strip()).isdigit():
        free = min(free, int(allowed))
    return {"cpu": free / len(devices) / 1e9}


def peak_memory() -> float:
    """GB that this process has had in memory at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)  # there in bytes, elsewhere in kilobytes


def disk(store: Store) -> Check:
    """Whether pictures can be put into the store: a hundred megabytes of them at least."""
    return Check.disk("store", Path(store.root), 0.1, "make room, or choose another with store=PATH")
