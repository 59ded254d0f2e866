"""Effective guidance: standard sampling's is its scale; zigzag's is what a computation apart says, and its limit."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch

import zz
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.base import ModelSchedule
from zz.diffusion.solvers.ddim import DDIM
from zz.lab.measurements.effective_guidance import LEAST, EffectiveGuidance
from zz.models.mixture import points

PLANE = points(), ["north"] * 16, (1, 1)
PICTURES = zz.Mixture(), ["a red circle", "a blue star", "a green square"], (32, 32)
SHAPES = zz.shapes(), ["a photo of a red star", "a photo of three circles"], (32, 32)


def measured(where, sampler, T, dtype=torch.float64, guidance=None):
    """By picture; the trajectory is of this dtype, and so the network's answers, where it is exact."""
    model, prompts, size = where
    with model.open() as pipeline:
        seeds, shape = tuple(range(len(prompts))), tuple(pipeline.shape(size))
        guided = pipeline.bind(guidance or CFG(), *pipeline.encode(prompts, [None] * len(prompts)))
        nodes = ModelSchedule().bind(pipeline.schedule).sized(size).nodes(pipeline.levels, T)
        watch = EffectiveGuidance().watch(pipeline, size)
        start = starting_noise(seeds, shape).to(dtype)
        sampler.sample(guided, start, nodes, DDIM(), KeyedNoise(seeds, shape), watch.probe)
        return watch.values()


def off(values, gamma, kept=True):
    """The largest distance of a step's scale from gamma, relative to gamma."""
    return max(np.abs(v["projected"][v["kept"] | (not kept)] - gamma).max() for v in values) / abs(gamma)


@pytest.mark.parametrize("gamma", [3.0, 0.5, -2.0])
@pytest.mark.parametrize(
    ("where", "T", "dtype", "close"),
    [
        (PLANE, 10, torch.float64, 1e-9),
        (PLANE, 50, torch.float64, 1e-9),
        (PICTURES, 20, torch.float64, 1e-9),
        (PICTURES, 10, torch.float32, 1e-4),
        (SHAPES, 10, torch.float32, 1e-4),
    ],
    ids=["plane 10", "plane 50", "pictures, float64", "pictures, float32", "shapes, float32"],
)
def test_that_of_standard_sampling_is_its_scale_sign_and_all(where, T, dtype, close, gamma):
    values = measured(where, Standard(gamma), T, dtype)
    assert off(values, gamma) < close
    for v in values:
        assert v["omega_e"] == pytest.approx(gamma, rel=close) and v["omega_v"] == pytest.approx(abs(gamma), rel=close)


def test_steps_whose_branches_agree_are_left_out_and_counted():
    """On the pictures of the exact model the prompt is settled early: what is left is a quotient of rounding errors."""
    values = measured(PICTURES, Standard(3.0), 10, torch.float32)
    assert off(values, 3.0) < 1e-4 < 1 < off(values, 3.0, kept=False)
    for v in values:
        assert v["left_out"] == (~v["kept"]).sum() >= 3 and v["kept"][0]
        assert v["omega_e"] == v["projected"][v["kept"]].mean()


def apart(T, gamma1, gamma2, seeds=range(16)):
    """omega_e of zigzag over T - 1 reflected steps on the plane, from the formulas, one picture at a time in numpy."""
    with PLANE[0].open() as pipeline:
        nodes = ModelSchedule().bind(pipeline.schedule).sized((1, 1)).nodes(pipeline.levels, T)
        means = PLANE[0].world.means((1, 1)).reshape(-1, 2)
        north = list(PLANE[0].world.allowed("north"))
    found = []
    for seed in seeds:
        x = starting_noise([seed], (2,))[0].double().numpy()

        def eps(x, t, some):
            variance = t.alpha**2 * PLANE[0].std ** 2 + t.sigma**2
            off = x - t.alpha * means[some]
            w = np.exp(-(off**2).sum(1) / (2 * variance) + (off**2).sum(1).min() / (2 * variance))
            return t.sigma / variance * (x - t.alpha * (w / w.sum()) @ means[some])

        def both(x, t):
            return eps(x, t, slice(None)), eps(x, t, north)

        def move(x, t, s, gamma, read):
            u, c = both(x, read)
            e = u + gamma * (c - u)
            return s.alpha * (x - t.sigma * e) / t.alpha + s.sigma * e

        scales, gaps = [], []
        for i in range(T):
            t, s = nodes[i], nodes[i + 1]
            u, c = both(x, t)
            y = x
            if i < T - 1:
                y = move(move(y, t, s, gamma1, t), s, t, gamma2, t)  # the zag is told the time of t
            y = move(y, t, s, gamma1, t)
            stretch = s.sigma - s.alpha / t.alpha * t.sigma
            v = (y - s.alpha / t.alpha * x) / stretch - u
            scales.append(v @ (c - u) / ((c - u) @ (c - u)))
            gaps.append(math.hypot(*(c - u)))
            x = y
        kept = np.array(gaps) >= LEAST * max(gaps)
        found.append(np.array(scales)[kept].mean())
    return np.array(found)


@cache
def zigzags(T, gamma2):
    return np.array([float(v["omega_e"]) for v in measured(PLANE, Zigzag(2.0, gamma2), T)])


@pytest.mark.parametrize("T", [10, 25])
def test_that_of_zigzag_is_what_a_computation_apart_says(T):
    expected = apart(T, 2.0, 0.0)
    assert np.allclose(zigzags(T, 0.0), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("gamma2", [0.0, 1.0])
def test_it_tends_to_the_first_order(gamma2):
    """To 2 gamma1 - gamma2, from below: twice the steps, half the distance. Without a gap it tends to gamma1."""
    short = [4 - gamma2 - zigzags(T, gamma2).mean() for T in (25, 50, 100, 200)]
    assert all(1.6 < a / b < 2.4 for a, b in pairwise(short)) and 0 < short[-1] < 0.15
    without = [2 - zigzags(T, 2.0).mean() for T in (25, 50, 100, 200)]
    assert without == sorted(without, reverse=True) and 0 < without[-1] < 0.02


def test_under_another_guidance_the_branches_are_the_network_s_own():
    """CFG++ at gamma is classifier-free guidance at gamma / (1 - r_s / r_t)."""
    values = measured(PLANE, Standard(0.6), 10, guidance=CFGpp())
    with PLANE[0].open() as pipeline:
        nodes = ModelSchedule().bind(pipeline.schedule).sized((1, 1)).nodes(pipeline.levels, 10)
    expected = np.array([0.6 / (1 - s.r / t.r) for t, s in pairwise(nodes)])
    for v in values:
        assert np.allclose(v["projected"][v["kept"]], expected[v["kept"]], rtol=1e-9)
