"""The 2-D exact model with component std .3, on a grid with fixed endpoints: nodes uniform in log(sigma / alpha)."""

import pytest
import torch

from zz.diffusion.guidance import CFG
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.solvers import DDIM
from zz.diffusion.spacing import LogUniform
from zz.diffusion.trajectory import silent
from zz.models.mixture import points

SEEDS = tuple(range(16))


@pytest.fixture(scope="session")
def plane():
    """A function (sampler, T, ...) -> x_0 in float64, on the 2-D exact model, prompt "north"."""
    with points(std=0.3).open() as pipeline:
        cond, uncond = pipeline.encode(["north"] * len(SEEDS), [None] * len(SEEDS))
        guided = CFG().bind(pipeline, cond, uncond)
        start = starting_noise(SEEDS, (2, 1, 1)).double()

        def run(sampler, T, solver=None, probe=silent, denoise=guided, schedule=None):
            schedule = schedule or LogUniform(14, 0.03).schedule(pipeline.curve, T)
            noise = KeyedNoise(SEEDS, (2, 1, 1))
            with torch.no_grad():
                return sampler.sample(denoise, start, schedule, solver or DDIM(), noise, probe)

        run.denoise, run.curve, run.start = guided, pipeline.curve, start
        yield run
