"""What experiments take by count: each made alone, and all of them made once. It needs no weights, and no GPU."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from zz.lab.job import Job
from zz.lab.plan import Plan, plan


@dataclass(frozen=True)
class Network:
    """What a model takes at the size that it was counted at, in TFLOPs.

    size:       (height, width) in pixels
    evaluation: of one branch, for one picture or clip
    decoding:   of one picture or clip
    frames:     of a clip; 1 for pictures
    """

    size: tuple[int, int]
    evaluation: float
    decoding: float
    frames: int = 1


@dataclass(frozen=True)
class Tally:
    """What some rows take.

    cells:  rows: each is a cell over a prompt list
    tflops: operations, in 10^12; nan where those of a model are not known
    """

    cells: int = 0
    images: int = 0
    predictions: int = 0
    evals: int = 0
    tflops: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def hours(self, sustained: float) -> float:
        """Hours on one GPU that sustains so many TFLOP/s."""
        return self.tflops / sustained / 3600


class Bill(NamedTuple):
    """What several experiments take."""

    alone: Mapping[str, Tally]  # by experiment: made by itself, every trajectory from its beginning
    merged: Tally  # saved by making once what several experiments ask for
    shared: Tally  # saved by trajectories that begin alike
    once: Tally  # what is left: all of it, made once

    @property
    def each(self) -> Tally:
        """All experiments, each made alone."""
        return sum(self.alone.values(), Tally())


def bill(asked: Mapping[str, Sequence[Job]], networks: Mapping[str, Network], share: bool = True) -> Bill:
    """What experiments take, from their rows with controls, where nothing is there yet.

    share: whether the runner will share what trajectories have in common
    """
    every = [job for jobs in asked.values() for job in jobs]
    alone = {name: tally(plan(jobs, len(jobs), None, share=False), networks) for name, jobs in asked.items()}
    together = tally(plan(every, len(every), None, share=False), networks)
    once = tally(plan(every, len(every), None, share), networks)
    return Bill(alone, sum(alone.values(), Tally()) - together, together - once, once)


def tally(planned: Plan, networks: Mapping[str, Network]) -> Tally:
    """What a plan takes. A model without weights takes no operations that would count."""
    operations = 0.0
    for job, missing, cost in zip(planned.jobs, planned.missing, planned.costs, strict=True):
        if missing and job.model.has_weights:
            network = _counted(job, networks)
            operations += cost.evals * network.evaluation + missing * network.decoding if network else math.nan
    return Tally(len(planned.jobs), planned.images, planned.predictions, planned.evals, operations)


def unknown(jobs: Sequence[Job], networks: Mapping[str, Network]) -> list[str]:
    """The models, with their sizes, whose operations are not known."""
    found = dict[str, None]()
    for job in jobs:
        if job.model.has_weights and not _counted(job, networks):
            frames = f", {job.frames} frames" if job.frames > 1 else ""
            found[f"{job.model.name} at {job.recipe.size[0]}x{job.recipe.size[1]}{frames}"] = None
    return list(found)


def _counted(job: Job, networks: Mapping[str, Network]) -> Network | None:
    """What a row's model takes, if it was counted at the row's size."""
    found = networks.get(job.model.name)
    return found if found and (found.size, found.frames) == (job.recipe.size, job.frames) else None
