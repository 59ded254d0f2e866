"""The runner: takes the slots of what is missing, on one device or several.

The unit of work is a slot: `batch_size` consecutive prompts, with borders at multiples of batch_size from
prompt 0. A slot is always sampled at its full width (a short one is padded), so that at equal batch size and
device a picture is the same file whatever was interrupted and however many workers took part.
"""

import contextlib
import multiprocessing as mp
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor

from zz.diffusion.fields import check_count
from zz.diffusion.memory import Memory
from zz.diffusion.trajectory import Meter, Probe, silent
from zz.lab.clips import picture
from zz.lab.hooks import SlotDone
from zz.lab.planner import Job
from zz.lab.store import Store, StoreError
from zz.models.base import PRECISIONS, Model, Pipeline
from zz.sampling import draw


class Terminated(Exception):
    """The run was asked to end (SIGTERM), and did so at the end of a slot."""


@dataclass(frozen=True)
class Slot:
    """Prompts start..start + width of one job, of which `indices` are to be written."""

    job: Job
    start: int
    width: int
    indices: tuple[int, ...]

    @property
    def padded(self) -> list[int]:
        """The prompts that are sampled: the slot's own, and its last one again where the job ends."""
        return [min(i, self.job.wanted - 1) for i in range(self.start, self.start + self.width)]


@dataclass(frozen=True)
class Runner:
    """
    devices:    auto: every GPU, or one CPU worker; N workers, on GPUs where there are any; cpu: one CPU worker
    batch_size: auto: what the model recommends; or N. The first one that a cell was made with governs it.
    precision:  32, 16 or bf16; part of the cell
    threads:    CPU threads a worker, the same for any number of workers
    share:      whether cells whose trajectories begin alike, as over lambda, share their predictions; moves no number
    """

    devices: str | int = "auto"
    batch_size: str | int = "auto"
    precision: str = "32"
    threads: int = 1
    share: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", str(self.precision))
        if self.precision not in PRECISIONS:
            raise ValueError(f"runner.precision={self.precision} is not known; known are {', '.join(PRECISIONS)}")
        for name, word in (("devices", ("auto", "cpu")), ("batch_size", ("auto",)), ("threads", ())):
            value = getattr(self, name)
            if value not in word and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                known = ", ".join([*word, "a whole number of at least 1"])
                raise ValueError(f"runner.{name}={value!r} is not known; known are {known}")

    def run(
        self, jobs: Sequence[Job], store: Store, tell: Callable[[SlotDone], None], say: Callable[[str], None]
    ) -> int:
        """Make what is missing; return how many pictures still are. `say` hears what a person should know.

        Raises what the work raises if there is one worker; with several, the others go on, and what a dead one
        left is taken up once more. Raises Terminated on SIGTERM, after the slots under way.
        """
        ledgers = {job.cell.key: _Ledger(job, store) for job in jobs}
        places = self.places()

        def told(done: SlotDone) -> None:
            ledgers[done.cell.key].add(done)
            tell(done)

        try:
            slots = self._slots(jobs, store, say)
            if len(places) == 1:
                with limited_threads(self.threads), _until_sigterm() as asked_to_end:
                    for done in work(_bundles(slots, self.share), store, places[0]):
                        told(done)
                        if asked_to_end:
                            raise Terminated
            else:
                for attempt in (1, 2):
                    if slots:
                        self._spread(slots, store, places, told, say)
                        slots = self._slots(jobs, store, lambda text: None)
                        if slots and attempt == 1:
                            say("some pictures are still missing; trying them once more")
        finally:
            for ledger in ledgers.values():
                ledger.close()
        return sum(len(store.missing(job.cell, range(job.wanted)).indices) for job in jobs)

    def places(self) -> list[str]:
        """The devices to work on, one worker each."""
        gpus = torch.cuda.device_count() if self.devices != "cpu" else 0
        if self.devices in ("auto", "cpu"):
            return [f"cuda:{i}" for i in range(gpus)] or ["cpu"]
        n = int(self.devices)
        if gpus and n > gpus:
            raise ValueError(f"runner.devices={n}, but there are {gpus} GPUs; choose at most {gpus}, or cpu")
        return [f"cuda:{i}" if gpus else "cpu" for i in range(n)]

    def width(self, job: Job) -> int:
        """The batch size that this runner would begin a cell with."""
        width = job.model.batch_size if self.batch_size == "auto" else int(self.batch_size)
        check_count("model.batch_size", width, 1)
        return width

    def _slots(self, jobs: Sequence[Job], store: Store, say: Callable[[str], None]) -> list[Slot]:
        slots = []
        for job in jobs:
            asked = self.width(job)
            missing = store.missing(job.cell, range(job.wanted)).indices
            if not missing:
                continue
            about = {"model": job.model.name, "dataset": job.dataset, **job.cost._asdict()}
            width = store.begin(job.cell, len(job.prompts), asked, about)
            if width != asked and self.batch_size != "auto":
                say(f"cell {job.cell.key} was begun with batch size {width}, which governs it; {asked} is not used")
            for start in sorted({i // width * width for i in missing}):
                mine = tuple(i for i in missing if start <= i < start + width)
                slots.append(Slot(job, start, width, mine))
        return slots

    def _spread(
        self,
        slots: list[Slot],
        store: Store,
        places: list[str],
        tell: Callable[[SlotDone], None],
        say: Callable[[str], None],
    ) -> None:
        """One spawned process a place; bundles of slots are shared out by stride."""
        context = mp.get_context("spawn")
        workers: dict[Connection, BaseProcess] = {}
        bundles = _bundles(slots, self.share)
        for rank, place in enumerate(places[: len(bundles)]):
            here, there = context.Pipe(duplex=False)
            args = (there, bundles[rank :: len(places)], store, place, self.threads)
            process: BaseProcess = context.Process(
                target=_worker, args=args, daemon=True, name=f"worker {rank} on {place}"
            )
            process.start()
            there.close()
            workers[here] = process
        with contextlib.ExitStack() as stack:
            stack.callback(_reap, workers)
            asked_to_end = stack.enter_context(_until_sigterm())
            told_them = False
            while workers:
                if asked_to_end and not told_them:
                    told_them = True
                    for process in workers.values():
                        process.terminate()
                for pipe in wait(list(workers), timeout=0.2):
                    assert isinstance(pipe, Connection)
                    try:
                        message = pipe.recv()
                    except (EOFError, OSError):
                        process = workers.pop(pipe)
                        process.join()
                        if process.exitcode and not asked_to_end:
                            say(f"{process.name} died with exit code {process.exitcode}; the others go on")
                        continue
                    if isinstance(message, SlotDone):
                        tell(message)
                    else:
                        say(f"{workers[pipe].name}: {message}")
        if asked_to_end:
            raise Terminated


Bundle = tuple[Slot, ...]  # slots over the same prompts whose trajectories begin alike, in the order that shares most


def _bundles(slots: Sequence[Slot], share: bool) -> list[Bundle]:
    if not share:
        return [(slot,) for slot in slots]
    found: dict[tuple[Hashable, ...], list[Slot]] = {}
    for slot in slots:
        found.setdefault((slot.job.family, slot.start, slot.width), []).append(slot)
    return [tuple(sorted(same, key=lambda slot: slot.job.order)) for same in found.values()]


def work(bundles: Sequence[Bundle], store: Store, device: str) -> Iterator[SlotDone]:
    """Make slots, one by one; each model is opened once for each precision."""
    by_model: dict[tuple[Model, str], list[Bundle]] = {}
    for bundle in bundles:
        by_model.setdefault((bundle[0].job.model, bundle[0].job.precision), []).append(bundle)
    for (model, precision), mine in by_model.items():
        with model.open(device, precision) as pipeline:
            for bundle in mine:
                memory = Memory(bundle[0].job.guidance.rows) if len(bundle) > 1 else None
                for slot in bundle:
                    yield _make(slot, pipeline, store, device, memory)


def draw_slot(slot: Slot, pipeline: Pipeline, probe: Probe = silent, memory: Memory | None = None) -> Tensor:
    """A slot's latents (width, C, h, w), padding included."""
    job, inside = slot.job, slot.padded
    return draw(
        pipeline,
        [job.prompts[i] for i in inside],
        [job.seed + i for i in inside],
        [job.negative_prompt] * slot.width,
        sampler=job.sampler,
        solver=job.solver,
        guidance=job.guidance,
        spacing=job.spacing,
        steps=job.steps,
        size=job.size,
        probe=probe,
        memory=memory,
    )


def _make(slot: Slot, pipeline: Pipeline, store: Store, device: str, memory: Memory | None) -> SlotDone:
    job, start = slot.job, time.perf_counter()
    meter, before = Meter(job.guidance.rows), (memory.predictions, memory.rows) if memory else (0, 0)
    pictures = pipeline.decode(draw_slot(slot, pipeline, meter, memory))
    shared = (memory.predictions - before[0], memory.rows - before[1]) if memory else (0, 0)
    for i in slot.indices:
        store.put_image(job.cell, i, picture(pictures[i - slot.start]), job.prompts[i], job.seed + i)
    seconds = time.perf_counter() - start
    return SlotDone(job.cell, slot.indices, seconds, meter.predictions, meter.rows, *shared, device)


def _worker(pipe: Connection, bundles: list[Bundle], store: Store, device: str, threads: int) -> None:
    """A spawned process. The parent hears of every slot, or of the one error that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(threads)
    try:
        with _until_sigterm() as asked_to_end:
            for done in work(bundles, store, device):
                pipe.send(done)
                if asked_to_end:
                    raise SystemExit(143)
    except BrokenPipeError:
        raise SystemExit(1) from None  # the parent is gone
    except (ValueError, StoreError, RuntimeError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


@dataclass
class _Ledger:
    """The sidecar of one cell in one run: what varies between runs."""

    job: Job
    store: Store
    started: float = field(default_factory=time.time)
    slots: list[SlotDone] = field(default_factory=list)

    def add(self, done: SlotDone) -> None:
        self.slots.append(done)

    def close(self) -> None:
        if not self.slots:
            return
        images = sorted(i for slot in self.slots for i in slot.indices)
        record: dict[str, Any] = {
            "started": self.started,
            "ended": time.time(),
            "images": images,
            "batch_size": self.store.width(self.job.cell),
            "slot_seconds": sum(slot.seconds for slot in self.slots),
            "predictions_per_image": self.slots[0].predictions,
            "rows_per_image": self.slots[0].rows,
            "shared_predictions_per_image": max(slot.shared_predictions for slot in self.slots),
            "shared_rows_per_image": max(slot.shared_rows for slot in self.slots),
            "devices": sorted({slot.device for slot in self.slots}),
            "host": platform.node(),
            "python": platform.python_version(),
            "source": dict(self.job.model.source()),
            "packages": {name: _version(name) for name in ("zz", "torch", "diffusers", "transformers", "pillow")},
            "pid": os.getpid(),
        }
        with contextlib.suppress(StoreError):  # a full disk must not hide the error that filled it
            self.store.put_run(self.job.cell, record)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextlib.contextmanager
def _until_sigterm() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM arrives. Elsewhere than in the main thread none can, and it stays empty."""
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: arrived.append(number))
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGTERM, before)


def _reap(workers: dict[Connection, BaseProcess]) -> None:
    for process in workers.values():
        process.kill()  # every file is whole at any moment
        process.join()


@contextlib.contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """So many CPU threads for torch, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
