"""How many pictures fit on a device at once, and are worth it: found once for each model, size and kind of GPU."""

import multiprocessing as mp
import time
from dataclasses import replace
from multiprocessing.connection import Connection

import torch

from zz.diffusion.fields import check_count
from zz.diffusion.samplers import Standard
from zz.diffusion.spacing import Uniform
from zz.lab.cell import Cell, plain
from zz.lab.planner import Job
from zz.lab.store import Store
from zz.lab.worker import Encoder, device_name, draw_prompts, opened, out_of_memory
from zz.models.base import Pipeline

MOST, WORTH = 64, 1.05  # never more at once; twice as many must be so much faster by picture
STEPS = 2


def width(job: Job, store: Store, device: str) -> int:
    """The batch size for a job on a device: what its model recommends on a CPU, what was found out on a GPU.

    Never more than the prompt set holds: what lies beyond would be padding.
    """
    check_count("model.batch_size", job.model.batch_size, 1)
    found = _found(job, store, device) if device.startswith("cuda") else job.model.batch_size
    return min(found, len(job.prompts))


def _found(job: Job, store: Store, device: str) -> int:
    """Measured in a process of its own, which leaves the device as it was, and kept in the store."""
    about = {"model": plain(job.model.identity()), "size": job.size, "precision": job.precision}
    key = Cell.of(**about, device=device_name(device)).key
    known = store.batch_sizes()
    if key not in known:
        here, there = mp.get_context("spawn").Pipe(duplex=False)
        process = mp.get_context("spawn").Process(target=_measure, args=(there, job, device), daemon=True)
        process.start()
        there.close()
        try:
            known[key] = here.recv()
        except EOFError:
            return job.model.batch_size  # it died, and nothing is known; halving will help
        finally:
            process.join()
        store.put_batch_sizes({key: known[key]})
    return known[key]


def _measure(pipe: Connection, job: Job, device: str) -> None:
    with opened(job.model, device, job.precision) as pipeline:
        pipe.send(fitting(job, pipeline))


def fitting(job: Job, pipeline: Pipeline) -> int:
    """From what the model recommends: halved until it fits, then doubled for as long as it fits and is worth it."""
    best = job.model.batch_size
    speed = _speed(job, pipeline, best)
    while speed == 0 and best > 1:
        best //= 2
        speed = _speed(job, pipeline, best)
    while best >= job.model.batch_size and 2 * best <= MOST:
        doubled = _speed(job, pipeline, 2 * best)
        if doubled <= WORTH * speed:  # 0 where nothing fits at all
            break
        best, speed = 2 * best, doubled
    return best


def _speed(job: Job, pipeline: Pipeline, width: int) -> float:
    """Pictures a second at a batch size, over two standard steps and decoding; 0 where they do not fit."""
    short = replace(job, sampler=Standard(job.sampler.gamma1), solver=job.solver.plain, steps=STEPS)
    short = replace(short, spacing=Uniform(job.spacing, job.steps))
    prompts = [i % job.wanted for i in range(width)]
    try:
        for _ in range(2):  # once to warm up
            start = time.perf_counter()
            x = draw_prompts(short, prompts, pipeline, Encoder(pipeline)(short, prompts))
            pipeline.decode(x)
            seconds = time.perf_counter() - start
    except Exception as error:
        if not out_of_memory(error):
            raise
        seconds = float("inf")
    if pipeline.device.type == "cuda":
        torch.cuda.empty_cache()
    return width / seconds


__all__ = ["fitting", "width"]
