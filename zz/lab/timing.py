"""How long will it take: a short measurement on the device that will do the work. It writes nothing."""

from collections.abc import Sequence
from typing import NamedTuple

from zz.lab.device import opened
from zz.lab.job import Job
from zz.lab.plan import Plan
from zz.lab.pool import limited_threads
from zz.lab.runner import Runner
from zz.lab.speed import measure, shortened

STEPS = 4


class Speed(NamedTuple):
    """Seconds an image at a job's batch size, on one worker."""

    evaluation: float  # for each network evaluation
    decoding: float


class Estimate(NamedTuple):
    """What a plan will take."""

    device_hours: float  # of all workers together
    hours: float  # on the clock, if the slots can be shared out evenly
    workers: int


def estimate(plan: Plan, runner: Runner) -> Estimate:
    """Measure each model, precision, size and batch size that lacks pictures once, and add up."""
    devices, speeds, seconds = runner.device_list(), dict[tuple[object, ...], Speed](), 0.0
    slots = 0
    for job, missing, cost in zip(plan.jobs, plan.missing, plan.costs, strict=True):
        if not missing:
            continue
        batch_size = runner.planned_batch_size(job)
        like = (job.model, job.recipe.precision, job.recipe.size, batch_size)
        if like not in speeds:
            with limited_threads(runner.threads):
                speeds[like] = speed(job, batch_size, devices[0])
        full = -(-missing // batch_size)  # slots, each sampled at its full size
        slots += full
        seconds += full * batch_size * (cost.evals / missing * speeds[like].evaluation + speeds[like].decoding)
    workers = max(1, min(len(devices), slots))
    return Estimate(seconds / 3600, seconds / workers / 3600, workers)


def speed(job: Job, batch_size: int, device: str) -> Speed:
    """Seconds an image, from one batch of four standard steps. Raises RuntimeError where it does not fit."""
    model = shortened(job, STEPS).model
    with opened(model, device, job.recipe.precision) as pipeline:
        found = measure(job, pipeline, batch_size, STEPS)
    if found is None:
        raise ValueError(f"runner.batch_size={batch_size} pictures do not fit on {device}; choose fewer")
    return Speed(found.sampling / batch_size / found.evals, found.decoding / batch_size)


def merged_savings(jobs: Sequence[Job]) -> int:
    """Guided predictions that merging equal rows saves, against making each job by itself."""
    seen: dict[str, int] = {}
    saved = 0
    for job in jobs:
        known = seen.get(job.id, 0)
        saved += min(known, job.wanted) * job.recipe.cost.predictions
        seen[job.id] = max(known, job.wanted)
    return saved
