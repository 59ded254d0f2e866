"""How many pictures fit on a device at once, and are worth it: found once for each model, size and kind of GPU."""

import multiprocessing as mp
from multiprocessing.connection import Connection

from zz.diffusion.validate import check_count
from zz.lab.cell import Cell, to_json
from zz.lab.device import device_name, opened
from zz.lab.job import Job
from zz.lab.speed import measure
from zz.lab.store.store import Store
from zz.models.base import Pipeline

MAX_BATCH = 64  # largest batch tried
MIN_SPEEDUP = 1.05  # stop doubling below a 5 % gain in pictures a second
STEPS = 2


def batch_size(job: Job, store: Store, device: str) -> int:
    """The batch size for a job on a device: what its model recommends on a CPU, what was found out on a GPU."""
    check_count("model.batch_size", job.model.batch_size, 1)
    return _found(job, store, device) if device.startswith("cuda") else job.model.batch_size


def _found(job: Job, store: Store, device: str) -> int:
    """Measured in a process of its own, which leaves the device as it was, and kept in the store."""
    recipe = job.recipe
    about = {"model": to_json(recipe.model.identity()), "size": recipe.size, "precision": recipe.precision}
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
    with opened(job.model, device, job.recipe.precision) as pipeline:
        pipe.send(largest(job, pipeline))


def largest(job: Job, pipeline: Pipeline) -> int:
    """From what the model recommends: halved until it fits, then doubled for as long as it fits and is worth it."""
    best = job.model.batch_size
    speed = _pictures_a_second(job, pipeline, best)
    while speed == 0 and best > 1:
        best //= 2
        speed = _pictures_a_second(job, pipeline, best)
    while best >= job.model.batch_size and 2 * best <= MAX_BATCH:
        doubled = _pictures_a_second(job, pipeline, 2 * best)
        if doubled <= MIN_SPEEDUP * speed:  # 0 where nothing fits at all
            break
        best, speed = 2 * best, doubled
    return best


def _pictures_a_second(job: Job, pipeline: Pipeline, batch_size: int) -> float:
    """Over two standard steps and decoding; 0 where they do not fit."""
    found = measure(job, pipeline, batch_size, STEPS)
    return batch_size / (found.sampling + found.decoding) if found else 0.0


__all__ = ["batch_size", "largest"]
