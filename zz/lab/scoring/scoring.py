"""The scoring pass: adds numbers and features to pictures that exist, and never makes a picture.

It is shared out in slots of (metric, row, pictures) over all devices and workers, and survives what making pictures
survives: each slot writes a part of its own.
"""

import math
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from PIL.Image import Image

from zz.data.base import Picture, Prompt
from zz.lab import pool
from zz.lab.cluster import Shard
from zz.lab.given import Given
from zz.lab.job import Job
from zz.lab.lease import POLL, Leases, sweep
from zz.lab.pool import Alive, OnMessage
from zz.lab.runner import Runner
from zz.lab.scoring.names import about, identity, score_name, score_names
from zz.lab.store.store import Store, StoreError
from zz.lab.strip import frames
from zz.models.base import cut_line
from zz.scorers.base import Features, ImageScorer, Incomplete, Limited, Metric, Score, SetMetric
from zz.scorers.pictures import rgb

BATCH = 64  # pictures a slot

Scorable = Job | Given
Asked = Mapping[str, Sequence[Metric]]  # by row: what its pictures are scored by


class ScoreSlot(NamedTuple):
    """Some pictures of a row, to be scored by one metric."""

    metric: ImageScorer | Features
    job: Scorable
    pictures: tuple[Picture, ...]

    def lease(self, store: Store) -> Path:
        """Where it stands that someone scores this slot."""
        return store.leases(self.job.cell) / f"{identity(self.metric)}-{self.pictures[0].name}"


class SlotScored(NamedTuple):
    """A slot is done: how many pictures have a number more, and what went wrong."""

    metric: str
    row: str
    scored: int
    unreadable: tuple[str, ...] = ()  # pictures that are there but cannot be read
    crashed: str = ""  # why the metric broke down, or gave no number; what else it did is kept
    cut: tuple[tuple[str, int], ...] = ()  # prompts that it does not read to the end, and how many tokens it reads


class Scored(NamedTuple):
    """What a scoring pass did."""

    scores: int
    unreadable: tuple[str, ...]
    crashed: Mapping[str, str]  # metrics that broke down, and why


def unscored(jobs: Sequence[Scorable], asked: Asked, store: Store) -> list[ScoreSlot]:
    """Pictures that are there and have no number yet, by metric, in slots."""
    found: dict[ImageScorer | Features, list[ScoreSlot]] = {}
    for job in jobs:
        metrics = kinds(asked.get(job.id, ()))
        there = set(store.there(job.cell, job.names())) if metrics else set()
        for metric in metrics:
            names, known = _kept(metric, job, store)
            named = zip(job.pictures, job.names(), names, strict=True)
            todo = [p for p, name, score in named if score not in known and name in there]
            batch = max(1, BATCH // job.frames)
            cut = [tuple(todo[start : start + batch]) for start in range(0, len(todo), batch)]
            found.setdefault(metric, []).extend(ScoreSlot(metric, job, some) for some in cut)
    return [slot for slots in found.values() for slot in slots]


def kinds(metrics: Sequence[Metric]) -> list[ImageScorer | Features]:
    """What has to be computed for each picture: image scorers, and the features of set metrics."""
    found = [metric.features if isinstance(metric, SetMetric) else metric for metric in metrics]
    return [one for one in dict.fromkeys(found) if isinstance(one, ImageScorer | Features)]


def score(
    slots: Sequence[ScoreSlot], store: Store, runner: Runner, tell: Callable[[SlotScored], None], say: OnMessage
) -> Scored:
    """Score slots on every device; `tell` hears of each slot. A shard does its own, and the first takes what is left.

    A metric that breaks down, or that its workers die of, takes nothing with it: what is scored is kept, and the other
    metrics go on.
    """
    leases = Leases(runner.lease)
    made, unreadable, crashed = 0, dict[str, None](), dict[str, str]()
    cut = dict[str, dict[str, int]]()  # by metric

    def on_done(one: SlotScored) -> None:
        nonlocal made
        made += one.scored
        unreadable.update(dict.fromkeys(one.unreadable))
        if one.crashed:
            crashed[one.metric] = one.crashed
        if one.cut:
            cut.setdefault(one.metric, {}).update(one.cut)
        tell(one)

    def make(todo: Sequence[ScoreSlot]) -> None:
        work = partial(score_slots, lease=runner.lease)
        pool.run(work, todo, store, runner.device_list(), runner.threads, on_done, say, runner.patience)

    def left(some: Sequence[ScoreSlot]) -> list[ScoreSlot]:
        return _lacking([slot for slot in some if slot.metric.name not in crashed], store, unreadable)

    def held(todo: Sequence[ScoreSlot]) -> bool:
        return any(leases.held(slot.lease(store)) for slot in todo)

    def wait(todo: Sequence[ScoreSlot]) -> None:
        if held(todo):
            say("another run is scoring what is left; waiting for it")
        while held(todo):
            time.sleep(POLL)

    shard = Shard.here()
    mine = [slot for n, slot in enumerate(slots) if shard.owns(n)]
    make(mine)
    rest = left(mine if shard.rank else slots)  # a worker may have died, another shard may be late
    for metric in dict.fromkeys(slot.metric for slot in rest):  # each by itself, for it may be what they died of
        todo, before = [slot for slot in rest if slot.metric == metric], -1
        while todo and (len(todo) != before or held(todo)):
            wait(todo)
            todo, before = left(todo), len(todo)
            make(todo)
            todo = left(todo)
        if todo:
            crashed[metric.name] = "its worker died; what it scored before is kept"
    for name, prompts in cut.items():
        say(f"{name}: {cut_line(prompts)}")
    return Scored(made, tuple(unreadable), crashed)


def score_slots(
    slots: Sequence[ScoreSlot], store: Store, device: str, alive: Alive, lease: float | None = None
) -> Generator[SlotScored | str, None, None]:
    """One worker's slots, each metric opened once. What another run is scoring is left out (zz/lab/lease.py)."""
    leases, met = Leases(lease), False
    by_metric: dict[ImageScorer | Features, list[ScoreSlot]] = {}
    for slot in slots:
        by_metric.setdefault(slot.metric, []).append(slot)
    for metric, mine in by_metric.items():
        try:
            with metric.open(device) as compute:
                for slot in mine:
                    if not leases.take([slot.lease(store)]):
                        met = True
                        continue
                    if not met or _lacking([slot], store, ()):  # looked up again where another is at work, too
                        done = _scored(slot, compute, store)
                        leases.release()
                        yield done
                    else:
                        leases.release()
        except StoreError:
            raise
        except Exception as error:
            yield SlotScored(metric.name, "", 0, (), f"{type(error).__name__}: {error}".split("\n")[0])
        finally:
            leases.release()
    for job in dict.fromkeys(slot.job for slot in slots):
        store.fold(job.cell)
        sweep(store.leases(job.cell), lease)


def _scored(slot: ScoreSlot, compute: Any, store: Store) -> SlotScored:
    job, metric = slot.job, slot.metric
    clips, unreadable = dict[Picture, list[Image]](), []
    for picture in slot.pictures:
        try:
            clips[picture] = frames(_named(rgb(store.image(job.cell, picture.name)), picture), job.frames)
        except StoreError as error:  # what is no picture
            unreadable.append(str(error))
        except ValueError as error:  # or has levels without a scale
            unreadable.append(f"{store.origin(job.cell, picture.name)}: {error}")
    numbers, why = dict[Picture, Any](), ""
    if clips and isinstance(metric, ImageScorer):
        values, why = _values(metric, compute, list(clips.values()), [p.prompt for p in clips])
        numbers = {p: v for p, v in zip(clips, values, strict=True) if math.isfinite(v)}
        scores = {score_name(metric, p): v for p, v in numbers.items()}
        store.put_scores(job.cell, identity(metric), about(metric), scores)
    elif clips:
        rows: np.ndarray = compute([frame for clip in clips.values() for frame in clip])
        _check_count(len(rows), sum(map(len, clips.values())))
        each = rows.reshape(len(clips), -1, rows.shape[1]).mean(1)
        numbers = {p: v for p, v in zip(clips, each, strict=True) if np.isfinite(v).all()}
        store.put_features(job.cell, identity(metric), {p.name: v for p, v in numbers.items()})
    without = [picture.name for picture in clips if picture not in numbers]
    crashed = why or (f"it gave no finite number for {', '.join(without)}" if without else "")
    texts = list(dict.fromkeys(picture.prompt.text for picture in clips))
    cut = compute.cut(texts) if isinstance(compute, Limited) else {}
    return SlotScored(metric.name, job.id, len(numbers), tuple(unreadable), crashed, tuple(cut.items()))


def _named(image: Image, picture: Picture) -> Image:
    image.info["picture"] = picture.name  # a conversion may have dropped it
    return image


def _values(
    scorer: ImageScorer, score: Score, clips: Sequence[list[Image]], prompts: Sequence[Prompt]
) -> tuple[list[float], str]:
    """One score a clip: its own, or the mean of its frames'; and why some are nan. A picture is a clip of one frame."""
    if scorer.reads_clips:
        return _complete(score, clips, prompts)
    said = [prompt for prompt, clip in zip(prompts, clips, strict=True) for _ in clip]
    found, why = _complete(score, [frame for clip in clips for frame in clip], said)
    values = iter(found)
    return [fmean(islice(values, len(clip))) for clip in clips], why


def _complete(score: Score, pictures: Sequence[Any], prompts: Sequence[Prompt]) -> tuple[list[float], str]:
    """The scores; and why some are nan, where a scorer got only so far."""
    try:
        found, why = score(pictures, prompts), ""
    except Incomplete as error:
        found, why = error.values, str(error)
    _check_count(len(found), len(pictures))
    return found, why


def _check_count(found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(f"it gave {found} for {wanted} pictures; one each is wanted, also where it is given one only")


def _lacking(slots: Sequence[ScoreSlot], store: Store, unreadable: Collection[str]) -> list[ScoreSlot]:
    """The slots that still have pictures without a number, but for those that cannot be read."""
    lacking = dict[tuple[ImageScorer | Features, Scorable], set[str]]()
    for metric, job in dict.fromkeys((slot.metric, slot.job) for slot in slots):
        names, known = _kept(metric, job, store)
        lacking[metric, job] = {name for name, kept in zip(job.names(), names, strict=True) if kept not in known}
    broken = " ".join(unreadable)
    return [
        slot
        for slot in slots
        if any(
            p.name in lacking[slot.metric, slot.job] and str(store.origin(slot.job.cell, p.name)) not in broken
            for p in slot.pictures
        )
    ]


def _kept(metric: ImageScorer | Features, job: Scorable, store: Store) -> tuple[list[str], Collection[str]]:
    """What a metric's numbers of a job's pictures are called, in order, and those that are there."""
    if isinstance(metric, ImageScorer):
        names = score_names(metric.reads, job.prompts, job.limit)
        return names, store.scores(job.cell, identity(metric)).keys()
    return job.names(), store.features(job.cell, identity(metric)).keys()
