"""The runner: takes the slots of what is missing, on one device or several, alone or beside other tasks of a cluster.

Identity is content, so that every slot can be made by anyone at any time. Each share makes its own slots first,
then takes up whatever is still missing; before a slot is made it is looked up once more.
"""

import contextlib
import multiprocessing as mp
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from zz.diffusion.fields import check_count
from zz.lab.cluster import Share
from zz.lab.fitting import width
from zz.lab.hooks import SlotDone
from zz.lab.planner import Job
from zz.lab.record import Record, surroundings
from zz.lab.slots import Bundle, Slot, bundles, slots
from zz.lab.store import Store, StoreError
from zz.lab.worker import work
from zz.models.base import PRECISIONS

Tell = Callable[[SlotDone], None]
Say = Callable[[str], None]


class Terminated(Exception):
    """The run was asked to end (SIGTERM), and did so at the end of a slot."""


@dataclass(frozen=True)
class Runner:
    """
    devices:    auto: every GPU, or one CPU worker; N workers, on GPUs where there are any; cpu: one CPU worker
    batch_size: auto: found once for each model and size on a GPU, what the model recommends on a CPU; or N.
                The first one that a cell was made with governs it.
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

    def run(self, jobs: Sequence[Job], store: Store, tell: Tell, say: Say) -> int:
        """Make what is missing; return how many pictures still are. `say` hears what a person should know.

        Raises what the work raises if there is one worker; with several, the others go on, and what a dead one
        left is taken up once more. Raises Terminated on SIGTERM, after the slots under way.
        """
        place = surroundings()
        records = {job.cell.key: Record(job, store, place) for job in jobs}
        places, part = self.places(), Share.here()
        given_up: set[tuple[str, int]] = set()  # prompts that failed are not tried again in this run

        def told(done: SlotDone) -> None:
            given_up.update((done.cell.key, i) for i in done.failed)
            records[done.cell.key].add(done)
            tell(done)

        try:
            mine = self._bundles(jobs, store, places[0], given_up, say)
            self._make([bundle for ordinal, bundle in mine if part.owns(ordinal)], store, places, told, say)
            left = None
            while rest := self._bundles(jobs, store, places[0], given_up, lambda text: None):
                before, left = left, sum(len(slot.indices) for _, bundle in rest for slot in bundle)
                if left == before:
                    break
                if part.world > 1:
                    say(f"share {part.rank + 1} of {part.world} is done; taking up what the others have not made yet")
                else:
                    say("some pictures are still missing; trying them once more")
                if part.world > 1:  # in step with whoever is still on the way, every slot would be made twice
                    rest = random.Random(part.rank).sample(rest, len(rest))
                self._make([bundle for _, bundle in rest], store, places, told, say)
        finally:
            for record in records.values():
                record.close()
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
        """The batch size that is planned with: the one asked for, or what the model recommends."""
        found = job.model.batch_size if self.batch_size == "auto" else int(self.batch_size)
        check_count("model.batch_size", found, 1)
        return found

    def _bundles(
        self, jobs: Sequence[Job], store: Store, place: str, given_up: set[tuple[str, int]], say: Say
    ) -> list[tuple[int, Bundle]]:
        """What is missing, each bundle with its place among all that the run would make if nothing was there."""
        found: list[Slot] = []
        for job in jobs:
            missing = [
                i for i in store.missing(job.cell, range(job.wanted)).indices if (job.cell.key, i) not in given_up
            ]
            if not missing:
                continue
            asked = store.width(job.cell) or (
                width(job, store, place) if self.batch_size == "auto" else self.width(job)
            )
            about = {"model": job.model.name, "dataset": job.dataset, **job.cost._asdict()}
            governing = store.begin(job.cell, len(job.prompts), asked, about)
            if self.batch_size not in ("auto", governing):
                used = f"batch size {governing}, which governs it; {self.batch_size} is not used"
                say(f"cell {job.cell.key} was begun with {used}")
            found += slots(job, governing, missing)
        families = {family: n for n, family in enumerate(dict.fromkeys(job.family for job in jobs))}
        return [
            (families[bundle[0].job.family] + bundle[0].start // bundle[0].width, bundle)
            for bundle in bundles(found, self.share)
        ]

    def _make(self, todo: Sequence[Bundle], store: Store, places: list[str], tell: Tell, say: Say) -> None:
        """Make bundles on all places."""
        if not todo:
            return
        if len(places) > 1:
            self._spread(todo, store, places, tell, say)
            return
        with limited_threads(self.threads), _until_sigterm() as asked_to_end:
            for done in work(todo, store, places[0]):
                if isinstance(done, str):
                    say(done)
                    continue
                tell(done)
                if asked_to_end:
                    raise Terminated

    def _spread(self, todo: Sequence[Bundle], store: Store, places: list[str], tell: Tell, say: Say) -> None:
        """One spawned process a place; bundles are shared out by stride."""
        context = mp.get_context("spawn")
        workers: dict[Connection, BaseProcess] = {}
        for rank, place in enumerate(places[: len(todo)]):
            here, there = context.Pipe(duplex=False)
            args = (there, todo[rank :: len(places)], store, place, self.threads)
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
                    if isinstance(message, str):
                        say(f"{workers[pipe].name}: {message}")
                    else:
                        tell(message)
        if asked_to_end:
            raise Terminated


def _worker(pipe: Connection, todo: list[Bundle], store: Store, device: str, threads: int) -> None:
    """A spawned process. The parent hears of every slot, or of the one error that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(threads)
    try:
        with _until_sigterm() as asked_to_end:
            for done in work(todo, store, device):
                pipe.send(done)
                if asked_to_end:
                    raise SystemExit(143)
    except BrokenPipeError:
        raise SystemExit(1) from None  # the parent is gone
    except (ValueError, StoreError, RuntimeError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


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
