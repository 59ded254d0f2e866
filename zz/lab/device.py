"""One device: what it is called, what it has used, and a model opened on it."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from zz.models.base import Model, Pipeline


@contextmanager
def opened(model: Model, device: str, precision: str) -> Iterator[Pipeline]:
    """A model on the one device of a Lightning Fabric; one without weights, or on a CPU, needs no such thing.

    Fabric picks and sets up the device. Its precision plugins would cast what must stay float32 (the latents), and its
    launchers join processes into a group, which workers that only share out slots must not be in.
    """
    if not model.has_weights or device == "cpu":  # which has nothing to set up, and Fabric takes seconds to import
        with model.open(device, precision) as pipeline:
            yield pipeline
        return
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    kind, _, index = device.partition(":")
    # Lightning's own environment: under SLURM the tasks share slots, not a process group
    fabric = Fabric(accelerator=kind, devices=[int(index)] if index else 1, plugins=LightningEnvironment())
    fabric.launch()
    with model.open(str(fabric.device), precision) as pipeline:
        yield pipeline


def peak_bytes(device: str) -> int:
    """The most memory in use so far, in bytes: on a GPU since it was last reset, on a CPU by this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", 0) or _peak_rss() or memory.rss)


def _peak_rss() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def out_of_memory(error: Exception) -> bool:
    """Whether a smaller batch may help."""
    full = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return full or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def device_name(device: str) -> str:
    """The vendor's name of a device."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        with Path("/proc/cpuinfo").open() as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def describe(device: str) -> str:
    """A device and its vendor's name for it."""
    return f"{device} ({device_name(device)})"
