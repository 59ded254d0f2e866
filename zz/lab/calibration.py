"""How long will it take: a short measurement on the device that will do the work. It writes nothing."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from zz.diffusion.samplers import Standard
from zz.diffusion.spacing import Uniform
from zz.lab.planner import Job, Plan
from zz.lab.runner import Runner, limited_threads
from zz.lab.worker import Encoder, draw_prompts, opened

STEPS = 4


class Speed(NamedTuple):
    """Seconds an image at a job's batch size, on one worker."""

    row: float  # for each network row
    decode: float  # for decoding


class Estimate(NamedTuple):
    """What a plan will take."""

    device_hours: float  # of all workers together
    hours: float  # on the clock, if the slots can be shared out evenly
    workers: int


def estimate(plan: Plan, runner: Runner) -> Estimate:
    """Measure each model, precision, size and batch size that lacks pictures once, and add up."""
    places, speeds, seconds = runner.places(), dict[tuple[object, ...], Speed](), 0.0
    slots = 0
    for job, missing, cost in zip(plan.jobs, plan.missing, plan.costs, strict=True):
        if not missing:
            continue
        width = runner.width(job)
        like = (job.model, job.precision, job.size, width)
        if like not in speeds:
            with limited_threads(runner.threads):
                speeds[like] = speed(job, width, places[0])
        full = -(-missing // width)  # slots, each sampled at its full width
        slots += full
        seconds += full * width * (cost.rows / missing * speeds[like].row + speeds[like].decode)
    workers = max(1, min(len(places), slots))
    return Estimate(seconds / 3600, seconds / workers / 3600, workers)


def speed(job: Job, width: int, device: str) -> Speed:
    """Time one batch of four standard steps, after one to warm up."""
    short = replace(job, sampler=Standard(job.sampler.gamma1), solver=job.solver.plain, steps=STEPS)
    short = replace(short, spacing=Uniform(job.spacing, job.steps)).resolved()
    prompts = [i % job.wanted for i in range(width)]
    with opened(short.model, device, short.precision) as pipeline:
        for _ in range(2):
            start = time.perf_counter()
            x = draw_prompts(short, prompts, pipeline, Encoder(pipeline)(short, prompts)).cpu()  # waits for the device
            drawn = time.perf_counter()
            pipeline.decode(x.to(pipeline.device))
            decoded = time.perf_counter()
    return Speed((drawn - start) / width / short.cost.rows, (decoded - drawn) / width)


def shares(jobs: Sequence[Job]) -> int:
    """Guided predictions that merging equal cells saves, against making each job by itself."""
    seen: dict[str, int] = {}
    saved = 0
    for job in jobs:
        known = seen.get(job.cell.key, 0)
        saved += min(known, job.wanted) * job.cost.predictions
        seen[job.cell.key] = max(known, job.wanted)
    return saved
