"""One device's work: each model opened once, each batch of prompts encoded once, slots made one by one."""

import gc
import platform
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zz.diffusion.memory import Memory
from zz.diffusion.samplers.controls import Cost
from zz.diffusion.trajectory import Meter, Probe, silent
from zz.lab.clips import picture
from zz.lab.hooks import SlotDone
from zz.lab.planner import Job
from zz.lab.slots import Bundle, Slot
from zz.lab.store import Store
from zz.models.base import Model, Pipeline
from zz.sampling import draw

BARREN = 8  # slots in a row of which nothing came: then it is not the prompts
KEPT = 2**31  # bytes of conditions, 1,600 prompts of SDXL in precision 32: what is beyond is encoded again
Conditions = tuple[Any, Any]  # of the prompts, and of the negative prompts


def work(bundles: Sequence[Bundle], store: Store, device: str) -> Iterator[SlotDone | str]:
    """Make slots, one by one: what was done, and what a person should know. Pictures that are there are left alone.

    Raises what the model raises where it is not a prompt's fault, and StoreError where the store cannot be written.
    """
    by_model: dict[tuple[Model, str], list[Bundle]] = {}
    for bundle in bundles:
        by_model.setdefault((bundle[0].job.model, bundle[0].job.precision), []).append(bundle)
    for (model, precision), mine in by_model.items():
        yield from _by_one(model, precision, mine, store, device)
        gc.collect()  # two models need not fit on a device at once
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def _by_one(
    model: Model, precision: str, bundles: Sequence[Bundle], store: Store, device: str
) -> Iterator[SlotDone | str]:
    """Make the slots of one model. When it ends, nothing here holds on to the weights."""
    with opened(model, device, precision) as pipeline:
        desk = _Desk(pipeline, Encoder(pipeline, [slot for bundle in bundles for slot in bundle]), store, device)
        for bundle in bundles:
            memory = Memory(bundle[0].job.guidance.rows) if len(bundle) > 1 else None
            for slot in bundle:
                yield from desk.make(slot, memory)


@contextmanager
def opened(model: Model, device: str, precision: str) -> Iterator[Pipeline]:
    """A model on the one device of a Lightning Fabric; one without weights needs no such thing."""
    if not model.has_weights:
        with model.open(device, precision) as pipeline:
            yield pipeline
        return
    from lightning.fabric import Fabric  # takes seconds to import
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    kind, _, index = device.partition(":")
    # Lightning's own environment: under SLURM the tasks share slots, not a process group
    fabric = Fabric(accelerator=kind, devices=[int(index)] if index else 1, plugins=LightningEnvironment())
    fabric.launch()
    with model.open(str(fabric.device), precision) as pipeline:
        yield pipeline


class Encoder:
    """Encodes each batch of prompts once, for all slots that will ask for it. Conditions wait on the CPU meanwhile.

    room: bytes that they may take there; what has none left is encoded again
    """

    def __init__(self, pipeline: Pipeline, slots: Sequence[Slot] = (), room: int = KEPT) -> None:
        self.pipeline, self.kept, self.room = pipeline, dict[object, Conditions](), room
        self.uses = Counter(self._key(slot.job, slot.padded) for slot in slots)

    def __call__(self, job: Job, prompts: Sequence[int]) -> Conditions:
        """The conditions of a job's prompts, by their numbers."""
        if (kept := self.used(job, prompts)) is not None:
            return _moved(kept, self.pipeline.device)
        conditions = self.pipeline.encode([job.prompts[i] for i in prompts], [job.negative_prompt] * len(prompts))
        key, size = self._key(job, prompts), _bytes(conditions)
        if self.uses[key] > 0 and size <= self.room:
            self.kept[key] = _moved(conditions, torch.device("cpu"))
            self.room -= size
        return conditions

    def used(self, job: Job, prompts: Sequence[int]) -> Conditions | None:
        """One use less of these prompts: what is kept of them, and let go after the last one."""
        key = self._key(job, prompts)
        self.uses[key] -= 1
        if self.uses[key] > 0 or key not in self.kept:
            return self.kept.get(key)
        self.room += _bytes(self.kept[key])
        return self.kept.pop(key)

    @staticmethod
    def _key(job: Job, prompts: Sequence[int]) -> object:
        return job.digest, job.negative_prompt, tuple(prompts)


def draw_prompts(
    job: Job,
    prompts: Sequence[int],
    pipeline: Pipeline,
    encoded: Conditions,
    probe: Probe = silent,
    memory: Memory | None = None,
) -> Tensor:
    """One batch of a job's latents (B, C, h, w), for prompts by their numbers."""
    return draw(
        pipeline,
        encoded,
        [job.seed + i for i in prompts],
        sampler=job.sampler,
        solver=job.solver,
        guidance=job.guidance,
        spacing=job.spacing,
        steps=job.steps,
        size=job.size,
        probe=probe,
        memory=memory,
    )


class _Desk:
    """An open model, and what became known of it: how many pictures fit at once."""

    def __init__(self, pipeline: Pipeline, encoder: Encoder, store: Store, device: str) -> None:
        self.pipeline, self.encoder, self.store, self.device = pipeline, encoder, store, device
        self.named = f"{device} ({device_name(device)})"
        self.most: dict[tuple[int, int], int] = {}  # by size
        self.barren = 0
        self.remarks: list[str] = []

    def make(self, slot: Slot, memory: Memory | None) -> Iterator[SlotDone | str]:
        """Make what the slot lacks. An error that is no prompt's fault is raised."""
        job, start = slot.job, time.perf_counter()
        lacking = tuple(i for i in slot.indices if not self.store.has(job.cell, i))
        if not lacking:
            self.encoder.used(job, slot.padded)
            return
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.device)
        before = (memory.predictions, memory.rows) if memory else (0, 0)
        pictures, errors, cost = self._pictures(job, slot.padded, memory)
        shared = (memory.predictions - before[0], memory.rows - before[1]) if memory else (0, 0)
        self.barren = 0 if pictures else self.barren + 1
        if errors and not pictures and (len(errors) > 1 or self.barren == BARREN):
            raise next(iter(errors.values()))
        failed = {i: f"{type(error).__name__}: {error}".split("\n")[0] for i, error in errors.items() if i in lacking}
        for i in lacking:
            if i in failed:
                self.store.put_failure(job.cell, i, job.prompts[i], job.seed + i, failed[i])
            else:
                self.store.put_image(job.cell, i, picture(pictures[i]), job.prompts[i], job.seed + i)
        yield from self.remarks
        self.remarks.clear()
        made, seconds = tuple(i for i in lacking if i in pictures), time.perf_counter() - start
        prompt, peak = job.prompts[lacking[-1]], self._peak()
        yield SlotDone(job.cell, made, seconds, *cost, *shared, self.named, failed, prompt, peak)

    def _pictures(
        self, job: Job, prompts: Sequence[int], memory: Memory | None
    ) -> tuple[dict[int, Tensor], dict[int, Exception], Cost]:
        """Pictures by prompt, errors by prompt, and what one picture cost. What does not fit, or fails, is halved."""
        if len(prompts) <= self.most.get(job.size, len(prompts)):
            meter = Meter(job.guidance.rows)
            try:
                conditions = self.encoder(job, prompts)
                x = draw_prompts(job, prompts, self.pipeline, conditions, meter, memory)
                return dict(zip(prompts, self.pipeline.decode(x), strict=True)), {}, Cost(meter.predictions, meter.rows)
            except Exception as error:
                if len(prompts) == 1:
                    traceback.clear_frames(error.__traceback__)  # they held the latents, and what the network computed
                    return {}, {prompts[0]: error}, Cost(0, 0)
                if out_of_memory(error):
                    self.most[job.size] = len(prompts) // 2
                    what = f"{len(prompts)} pictures of {job.size[0]}x{job.size[1]} do not fit on {self.device}"
                    self.remarks.append(f"{what}; going on with {len(prompts) // 2} at once")
        # out of the handler: its traceback held the whole batch
        if memory:
            memory.forget()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        pictures, errors, cost = dict[int, Tensor](), dict[int, Exception](), Cost(0, 0)
        half = -(-len(prompts) // 2)
        for part in (prompts[:half], prompts[half:]):
            some, wrong, each = self._pictures(job, list(dict.fromkeys(part)), None)
            pictures, errors, cost = pictures | some, errors | wrong, max(cost, each)
        return pictures, errors, cost

    def _peak(self) -> int:
        """The most memory in use so far, in bytes: on a GPU in this slot, on a CPU by this process."""
        if self.device.startswith("cuda"):
            return torch.cuda.max_memory_allocated(self.device)
        try:
            import resource
        except ImportError:  # Windows
            return 0
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def out_of_memory(error: Exception) -> bool:
    """Whether a smaller batch may help."""
    full = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return full or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def device_name(device: str) -> str:
    """What a device is called by its makers."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        with Path("/proc/cpuinfo").open() as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _moved(what: Any, device: torch.device) -> Any:
    """Conditions on another device, whatever they are made of."""
    if isinstance(what, Tensor):
        return what.to(device)
    if isinstance(what, tuple):
        parts = [_moved(part, device) for part in what]
        return type(what)(*parts) if hasattr(what, "_fields") else tuple(parts)
    return what


def _bytes(what: Any) -> int:
    """Of the tensors in conditions."""
    if isinstance(what, Tensor):
        return what.numel() * what.element_size()
    return sum(_bytes(part) for part in what) if isinstance(what, tuple) else 0


__all__ = ["Encoder", "device_name", "draw_prompts", "opened", "out_of_memory", "work"]
