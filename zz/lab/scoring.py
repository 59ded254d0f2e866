"""The scoring pass: adds numbers to pictures that exist, and never makes a picture."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from statistics import fmean
from typing import NamedTuple

from PIL.Image import Image

from zz.lab.cell import Cell, plain
from zz.lab.clips import frames
from zz.lab.planner import Job
from zz.lab.store import Store, StoreError
from zz.scorers.base import Score, Scorer

BATCH = 64


class Scored(NamedTuple):
    """What a scoring pass did."""

    scores: int
    unreadable: tuple[str, ...]  # pictures that are there but cannot be read
    crashed: Mapping[str, str]  # scorers that broke down, and why; what they scored before is kept


def identity(scorer: Scorer) -> str:
    """A scorer's name, and 8 hex digits of its version and settings: scores of two versions never mix."""
    return f"{scorer.name}-{Cell(_settings(scorer)).key[:8]}"


def unscored(jobs: Sequence[Job], store: Store) -> dict[Scorer, list[tuple[Job, list[int]]]]:
    """By scorer: the jobs it is asked for, each with its pictures that have no score yet."""
    found: dict[Scorer, list[tuple[Job, list[int]]]] = {}
    for job in jobs:
        there = {i for i in store.images(job.cell) if i < job.wanted}
        for scorer in job.scorers:
            if todo := sorted(there - store.scores(job.cell, identity(scorer)).keys()):
                found.setdefault(scorer, []).append((job, todo))
    return found


def score(
    todo: Mapping[Scorer, Sequence[tuple[Job, list[int]]]], store: Store, device: str, tell: Callable[[int], None]
) -> Scored:
    """Score what `unscored` found, each scorer opened once; `tell` hears how many more pictures are scored.

    A scorer that breaks down takes nothing with it: what is scored is kept, and the other scorers go on.
    """
    made, unreadable, crashed = 0, dict[str, None](), {}
    for scorer, work in todo.items():
        try:
            with scorer.open(device) as score_images:
                for job, indices in work:
                    batch = max(1, BATCH // job.model.frames)
                    for start in range(0, len(indices), batch):
                        images, broken = _read(job, indices[start : start + batch], store)
                        unreadable |= dict.fromkeys(broken)
                        values = _values(scorer, score_images, list(images.values()), [job.prompts[i] for i in images])
                        scores = dict(zip(images, values, strict=True))
                        store.put_scores(job.cell, identity(scorer), _settings(scorer), scores)
                        made += len(images)
                        tell(len(images))
        except StoreError:
            raise
        except Exception as error:
            crashed[scorer.name] = f"{type(error).__name__}: {error}".split("\n")[0]
    return Scored(made, tuple(unreadable), crashed)


def _read(job: Job, indices: Sequence[int], store: Store) -> tuple[dict[int, list[Image]], list[str]]:
    """A cell's clips by index, a picture being one of one frame, and what is wrong with those that cannot be read."""
    images, broken = {}, []
    for i in indices:
        try:
            images[i] = frames(store.image(job.cell, i), job.model.frames)
        except StoreError as error:
            broken.append(str(error))
    return images, broken


def _values(scorer: Scorer, score_images: Score, clips: Sequence[list[Image]], prompts: Sequence[str]) -> list[float]:
    """One score a clip: its own, or the mean of its frames'. A picture is a clip of one frame."""
    if scorer.reads_clips:
        return score_images(clips, prompts)
    values = iter(
        score_images([f for clip in clips for f in clip], [p for p, c in zip(prompts, clips, strict=True) for _ in c])
    )
    return [fmean(islice(values, len(clip))) for clip in clips]


def _settings(scorer: Scorer) -> dict[str, object]:
    return {"name": scorer.name, "version": scorer.version, "settings": plain(scorer.settings())}
