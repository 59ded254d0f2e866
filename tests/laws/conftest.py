"""The 2-D exact model with component std .3, on a grid with fixed endpoints: nodes uniform in log(sigma / alpha)."""

from contextlib import contextmanager

import pytest
import torch

from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.probes.step import no_op
from zz.diffusion.schedules.log_uniform import LogUniform
from zz.diffusion.solvers.ddim import DDIM
from zz.models.mixture import points

SEEDS = tuple(range(16))


@contextmanager
def on_the_plane(seeds):
    """A function (sampler, T, ...) -> x_0 in float64, on the 2-D exact model, prompt "north"."""
    seeds = tuple(seeds)
    with points(std=0.3).open() as pipeline:
        cond, uncond = pipeline.encode(["north"] * len(seeds), [None] * len(seeds))
        guided = CFG().bind(pipeline, cond, uncond)
        start = starting_noise(seeds, (2, 1, 1)).double()

        def run(sampler, T, solver=None, probe=no_op, denoise=guided, schedule=None, noise=None):
            schedule = schedule or LogUniform(14, 0.03).nodes(pipeline.levels, T)
            noise = noise or KeyedNoise(seeds, (2, 1, 1))
            with torch.no_grad():
                return sampler.sample(denoise, start, schedule, solver or DDIM(), noise, probe)

        run.denoise, run.levels, run.start = guided, pipeline.levels, start
        yield run


@pytest.fixture(scope="session")
def plane():
    """The function of `on_the_plane`, for 16 pictures."""
    with on_the_plane(SEEDS) as run:
        yield run
