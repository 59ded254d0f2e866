"""Two warm batches of standard sampling, timed: what batch sizes and estimates are found by."""

import time
from dataclasses import replace
from typing import NamedTuple

import torch

from zz.diffusion.samplers.standard import Standard
from zz.diffusion.schedules.uniform import UniformInTime
from zz.lab.device import out_of_memory
from zz.lab.encoder import Encoder, draw_pictures
from zz.lab.job import Job
from zz.models.base import Pipeline


class Timed(NamedTuple):
    """Seconds that one batch took."""

    sampling: float  # encoding among it
    decoding: float
    evals: int  # network evaluations an image


def measure(job: Job, pipeline: Pipeline, batch_size: int, steps: int) -> Timed | None:
    """Time a batch of so many standard steps, after one to warm up; None where it does not fit on the device."""
    short = shortened(job, steps)
    n = len(job.prompts.entries)
    pictures = [short.prompts.picture(i % n) for i in range(batch_size)]
    found = None
    try:
        for _ in range(2):
            start = time.perf_counter()
            x = draw_pictures(
                short, pictures, pipeline, Encoder(pipeline)(short, pictures)
            ).cpu()  # waits for the device
            drawn = time.perf_counter()
            pipeline.decode(x.to(pipeline.device))
            found = Timed(drawn - start, time.perf_counter() - drawn, short.recipe.cost.evals)
    except Exception as error:
        if not out_of_memory(error):
            raise
        found = None
    if pipeline.device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def shortened(job: Job, steps: int) -> Job:
    """Standard sampling over the range of a job's nodes in a few steps."""
    recipe = job.recipe
    short = replace(recipe, sampler=Standard(recipe.sampler.standard_gamma), steps=steps)
    short = replace(short, schedule=UniformInTime(recipe.schedule, recipe.steps))
    return replace(job, recipe=short.resolved())


__all__ = ["Timed", "measure", "shortened"]
