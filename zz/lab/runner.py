"""The runner: makes what is missing, on one device or several, alone or beside other tasks of a cluster.

Identity is content, so that every slot can be made by anyone at any time. Each shard makes its own slots first,
then takes up whatever is still missing; before a slot is made it is looked up once more. What another run is making
comes last: it is waited for, and taken as it is.
"""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from zz.diffusion.validate import check_count
from zz.lab import pool
from zz.lab.batch_size import batch_size
from zz.lab.cluster import Shard
from zz.lab.job import Job
from zz.lab.lease import POLL, Leases, sweep
from zz.lab.measurements.base import Measurement
from zz.lab.pool import OnMessage
from zz.lab.record import Record, host_info
from zz.lab.sharing import family
from zz.lab.slots import Bundle, Slot, SlotDone, bundles, slots
from zz.lab.store.store import Store
from zz.lab.worker import work
from zz.models.base import PRECISIONS, cut_line

Measured = Mapping[str, Sequence[Measurement]]  # by row: what is measured on its pictures


@dataclass(frozen=True)
class Runner:
    """How pictures are made: nothing here but `precision` is part of what they are.

    devices:    auto: every GPU, or one CPU worker; N workers, on GPUs where there are any; cpu: one CPU worker
    batch_size: auto: found once for each model and size on a GPU, what the model recommends on a CPU; or N, of which
                no more are taken than there are prompts. The first one that a row was made with governs it.
    precision:  32, 16 or bf16; part of the cell
    threads:    CPU threads a worker, the same for any number of workers
    reuse:      whether cells whose trajectories begin alike, as over lambda, reuse predictions; moves no number
    verify:     whether every picture file is looked at, also those that were found whole before
    lease:      seconds without a sign of life after which a slot that another run is making is taken for abandoned;
                0 or null: what others are making is made again
    patience:   seconds without a sign of life after which one of several workers is killed and started again;
                0 or null: never
    """

    devices: str | int = "auto"
    batch_size: str | int = "auto"
    precision: str = "32"
    threads: int = 1
    reuse: bool = True
    verify: bool = False
    lease: float | None = 300
    patience: float | None = 1800

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", str(self.precision))
        if self.precision not in PRECISIONS:
            raise ValueError(f"runner.precision={self.precision} is not known; known are {', '.join(PRECISIONS)}")
        for name, word in (("devices", ("auto", "cpu")), ("batch_size", ("auto",)), ("threads", ())):
            value = getattr(self, name)
            if value not in word and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                known = ", ".join([*word, "a whole number of at least 1"])
                raise ValueError(f"runner.{name}={value!r} is not known; known are {known}")
        for name in ("reuse", "verify"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"runner.{name}={getattr(self, name)!r} must be true or false")
        for name in ("lease", "patience"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0):
                raise ValueError(f"runner.{name}={value!r} is not known; known are null and seconds of at least 0")

    def run(
        self,
        jobs: Sequence[Job],
        store: Store,
        on_slot: Callable[[SlotDone], None],
        on_message: OnMessage,
        measured: Measured | None = None,
        configs: Mapping[str, object] | None = None,
    ) -> int:
        """Make what is missing; return how many pictures still are. `on_message` hears what a person should know.

        measured: by row, what is measured on its pictures
        configs:  by row, the resolved configuration that asked for it, for the record

        Raises what the work raises if there is one worker; with several, the others go on, and what a dead one
        left is taken up once more. Raises Terminated when a signal asks for the end, after the slots under way.
        """
        host, wanted = host_info(), measured or {}
        records = {job.id: Record(job, store, host, (configs or {}).get(job.id)) for job in jobs}
        devices, shard = self.device_list(), Shard.here()
        leases, waited, unfinished = Leases(self.lease), False, list[Job]()
        given_up: set[tuple[str, str]] = set()  # pictures that failed are not tried again in this run

        def on_done(done: SlotDone) -> None:
            given_up.update((done.row, name) for name in done.failed)
            records[done.row].add(done)
            on_slot(done)

        def make(todo: Sequence[Bundle]) -> None:
            worked = partial(work, lease=self.lease)
            pool.run(worked, todo, store, devices, self.threads, on_done, on_message, self.patience)

        def leased(bundle: Bundle) -> list[Path]:
            return [slot.lease(store) for slot in bundle]

        def wait(held: Collection[Path]) -> None:
            nonlocal waited
            if not waited:
                on_message("another run is making what is left; waiting for it")
            waited = True
            while all(leases.held(path) for path in held):
                time.sleep(POLL)

        def run_all(jobs: Sequence[Job]) -> None:
            mine = self._bundles(jobs, store, devices[0], given_up, wanted, on_message, self.verify)
            make([bundle for ordinal, bundle in mine if shard.owns(ordinal)])
            begun = {slot.job.id: slot.job for _, bundle in mine for slot in bundle}
            jobs, tried = list(begun.values()), list[Slot]()  # the others lack nothing, and are not looked at again
            unfinished.extend(jobs)
            while rest := self._bundles(jobs, store, devices[0], given_up, wanted, lambda text: None):
                held = {path for _, bundle in rest for path in leased(bundle) if leases.held(path)}
                free = [bundle for _, bundle in rest if held.isdisjoint(leased(bundle))]
                found = [slot for bundle in free for slot in bundle]
                if found in ([], tried):  # nothing to do, or nothing came of it
                    if not held:
                        break
                    wait(held)
                    continue
                tried = found
                if shard.world > 1:
                    on_message(f"{shard} is done; taking up what the others have not made yet")
                    # in step with whoever is still on the way, every slot would be made twice
                    free = random.Random(shard.rank).sample(free, len(free))
                else:
                    on_message("some pictures are still missing; trying them once more")
                make(free)

        try:
            run_all([job for job in jobs if not job.recipe.scale])
            run_all([job for job in jobs if job.recipe.scale])  # they read what was measured on the others
        finally:
            for record in records.values():
                record.close()
                sweep(store.leases(record.job.cell), self.lease)
            if cut := {text: tokens for record in records.values() for text, tokens in record.cut.items()}:
                on_message(cut_line(cut))
            store.sweep(dict.fromkeys(job.cell for job in jobs))
        return sum(len(store.missing(job.cell, job.names()).names) for job in unfinished)

    def device_list(self) -> list[str]:
        """The devices to work on, one worker each."""
        gpus = torch.cuda.device_count() if self.devices != "cpu" else 0
        if self.devices in ("auto", "cpu"):
            return [f"cuda:{i}" for i in range(gpus)] or ["cpu"]
        n = int(self.devices)
        if gpus and n > gpus:
            raise ValueError(f"runner.devices={n}, but there are {gpus} GPUs; choose at most {gpus}, or cpu")
        return [f"cuda:{i}" if gpus else "cpu" for i in range(n)]

    def planned_batch_size(self, job: Job) -> int:
        """The batch size that is planned with: the one asked for, or what the model recommends."""
        check_count("model.batch_size", job.model.batch_size, 1)
        return job.model.batch_size if self.batch_size == "auto" else _at_most(int(self.batch_size), job, job.limit)

    def _bundles(
        self,
        jobs: Sequence[Job],
        store: Store,
        device: str,
        given_up: set[tuple[str, str]],
        measured: Measured,
        on_message: OnMessage,
        verify: bool = False,
    ) -> list[tuple[int, Bundle]]:
        """What is missing, each bundle with its place among all that the run would make if nothing was there."""
        found: list[Slot] = []
        for job in jobs:
            lacking = store.missing(job.cell, job.names(), verify).names
            lacking = [name for name in lacking if (job.id, name) not in given_up]
            unmeasured = {m: names for m in measured.get(job.id, ()) if (names := _unmeasured(job, m, store, verify))}
            if lacking or unmeasured:
                found += slots(job, self._governing(job, store, device, on_message), lacking, unmeasured)
        ordinals = {kind: n for n, kind in enumerate(dict.fromkeys(family(job) for job in jobs))}
        return [
            (ordinals[family(bundle[0].job)] + bundle[0].start // bundle[0].batch_size + bundle[0].repeat, bundle)
            for bundle in bundles(found, self.reuse)
        ]

    def _governing(self, job: Job, store: Store, device: str, on_message: OnMessage) -> int:
        """The batch size of a row, and its records begun."""
        if (known := store.batch_size(job.id)) is not None:
            known = _at_most(known, job)
        asked = known or (batch_size(job, store, device) if self.batch_size == "auto" else self.planned_batch_size(job))
        store.begin(job.cell, {"model": job.model.name, **job.recipe.cost._asdict()})
        governing = _at_most(store.begin_row(job.id, job.cell, job.prompts.record_digest, asked), job)
        if self.batch_size != "auto" and governing != self.planned_batch_size(job):
            used = f"batch size {governing}, which governs it; {self.batch_size} is not used"
            on_message(f"row {job.id} was begun with {used}")
        return governing


def _at_most(batch_size: int, job: Job, limit: int | None = None) -> int:
    """A batch size without slots that are mostly padding: no more than there are prompts, or the model recommends."""
    return min(batch_size, max(job.model.batch_size, len(job.prompts.entries[:limit])))


def _unmeasured(job: Job, measurement: Measurement, store: Store, verify: bool) -> list[str]:
    """The names of pictures that are still to be measured."""
    asked = job.pictures if measurement.first is None else [p for p in job.pictures if p.entry < measurement.first]
    return store.unmeasured(job.cell, measurement.identity, [p.name for p in asked], verify)


__all__ = ["Runner"]
