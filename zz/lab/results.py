"""From scores in the store to rows: each cell's means, and each comparison that its controls allow."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zz.lab.cell import titles
from zz.lab.planner import Job
from zz.lab.scoring import identity
from zz.lab.stats import Interval, Winning, mean, share, winning
from zz.lab.store import Store
from zz.scorers.base import Scorer


class CellRow(NamedTuple):
    """One cell's line."""

    job: Job
    title: str
    images: int  # of job.wanted
    means: dict[str, Interval]  # scorer name -> mean over the prompts asked for


class ComparisonRow(NamedTuple):
    """One cell against one of its controls."""

    job: Job
    title: str
    control: str
    against: Job
    scorer: str
    winning: Winning


def cell_rows(jobs: Sequence[Job], store: Store) -> list[CellRow]:
    """One row a cell."""
    rows = []
    title = titles([job.cell for job in jobs])
    for job in jobs:
        images = sum(i < job.wanted for i in store.images(job.cell))
        means = {s.name: _average(list(_scores(job, s, store).values())) for s in job.scorers}
        rows.append(CellRow(job, title[job.cell.key], images, means))
    return rows


def comparison_rows(jobs: Sequence[Job], store: Store, partial: bool = False) -> list[ComparisonRow]:
    """Each job against each control of its own that the store has scores of, over the prompts asked for.

    partial: also against a control that lacks some of them
    """
    rows = []
    title = titles([job.cell for job in jobs])
    for job in jobs:
        for name, control in job.controls().items():
            for scorer in job.scorers:
                ours, theirs = _scores(job, scorer, store), _scores(control, scorer, store)
                if ours.keys() & theirs.keys() and (partial or ours.keys() <= theirs.keys()):
                    found = winning(ours, theirs, scorer.higher_is_better)
                    rows.append(ComparisonRow(job, title[job.cell.key], name, control, scorer.name, found))
    return rows


def columns(jobs: Sequence[Job], store: Store) -> list[tuple[str, Job]]:
    """What a contact sheet shows side by side: each job's standard sampling, if it is there, before the job."""
    shown: dict[str, Job] = {}
    for job in jobs:
        standard = job.controls().get("standard")
        for one in (standard, job):
            if one is not None and store.images(one.cell):
                shown.setdefault(one.cell.key, one)
    title = titles([job.cell for job in shown.values()])
    return [(title[key], job) for key, job in shown.items()]


def _average(scores: Sequence[float]) -> Interval:
    """The mean; of what is either right or wrong, the share that is right, whose interval stays within 0..1."""
    return share(sum(scores), len(scores)) if set(scores) <= {0.0, 1.0} and scores else mean(scores)


def _scores(job: Job, scorer: Scorer, store: Store) -> Mapping[int, float]:
    return {i: s for i, s in store.scores(job.cell, identity(scorer)).items() if i < job.wanted}
