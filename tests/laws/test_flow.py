"""The same laws on rectified flow: alpha = 1 - t and sigma = t, from pure noise at alpha = 0."""

import math

import pytest
import torch

from zz.diffusion.guidance.base import ScaledCond
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.embedded import Embedded
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Flow
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import from_velocity
from zz.diffusion.probes.reflections import Reflections
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.base import ModelSchedule
from zz.diffusion.schedules.shifted import Shifted, ShiftedBySize
from zz.diffusion.schedules.stretched import Stretched
from zz.diffusion.schedules.uniform import UniformInTime
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.diffusion.solvers.noisy_inversion import NoisyInversion
from zz.models.mixture import Mixture
from zz.models.pretrained.scheduler import from_config
from zz.worlds.scenes import Compass

SEEDS = tuple(range(16))
NOISE = KeyedNoise(SEEDS, (2, 1, 1))
START = starting_noise(SEEDS, (2, 1, 1)).double()
ZIGZAGS = [Zigzag(2.0, 0.0), Zigzag(2.0, 2.0), Zigzag(2.0, 1.0, k=2), Zigzag(2.0, 0.0, rounds=2)]
OTHERS = [EndToEnd(2.0, 0.0), GuidanceMatched(2.0, 0.0), GuidanceMatched(2.0, 0.0, k=3), Resampling(2.0)]
SOLVERS = [DDIM(), EulerAncestral(), EulerAncestral(0.5), DPMpp2M(), NoisyInversion(error=0.5)]


@pytest.fixture(scope="module")
def guided():
    """The exact model of the plane, which says its velocity."""
    with Mixture(world=Compass(), std=0.3, levels=Flow(), size=(1, 1)).open() as pipeline:
        cond, uncond = pipeline.encode(["north"] * len(SEEDS), [None] * len(SEEDS))
        yield CFG().bind(pipeline, cond, uncond)


def run(sampler, guided, T, solver=None, shift=1.0, **more):
    schedule = Shifted(shift).nodes(Flow(), T)
    assert schedule[0].alpha == 0
    return sampler.sample(guided, START, schedule, solver or DDIM(), NOISE, **more)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("sampler", [Standard(2.0), *ZIGZAGS, *OTHERS], ids=repr)
def test_everything_is_finite_from_alpha_zero(guided, sampler, solver):
    found = run(sampler, guided, 6, solver, shift=3.0)
    assert found.isfinite().all() and found.abs().max() < 100


def test_the_first_zag_ends_on_the_noise_that_was_predicted(guided):
    """At alpha = 0 a latent is its noise; nothing is divided by."""
    steps, measured = [], Reflections()
    run(Zigzag(2.0, 0.0), guided, 6, probe=lambda step: (steps.append(step), measured(step)))
    zag = steps[1]
    assert zag.leg is Leg.ZAG and zag.target.alpha == 0
    assert torch.equal(zag.y, zag.prediction.eps)
    assert measured.delta.isfinite().all() and (measured.delta > 0).all()


def test_euler_is_of_order_one(guided):
    errors, Ts = [], (128, 256, 512)
    reference = run(Standard(2.0), guided, 8192)
    errors = [(run(Standard(2.0), guided, T) - reference).square().mean().sqrt().item() for T in Ts]
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(1, abs=0.15)


def test_zigzag_is_its_guidance_matched_control_to_first_order(guided):
    apart, Ts = [], (256, 512)
    for T in Ts:
        a, b = (run(kind(1.5, 0.5), guided, T) for kind in (Zigzag, GuidanceMatched))
        apart.append((a - b).square().mean().sqrt().item())
    assert math.log2(apart[0] / apart[1]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("network_time", ["t", "s"])
@pytest.mark.parametrize(("k", "rounds"), [(1, 1), (1, 3), (3, 1)])
def test_a_constant_velocity_makes_zigzag_the_identity(k, rounds, network_time):
    u = torch.randn(16, 2, 1, 1, dtype=torch.float64)

    def constant(x, node, gamma, leg):
        return from_velocity(x, node, u)

    plain = run(Standard(), constant, 8, shift=3.0)
    assert torch.allclose(plain, START - u, atol=1e-12)
    sampler = Zigzag(k=k, rounds=rounds, network_time=network_time, lambda_=8 - k + 1)
    assert (run(sampler, constant, 8, shift=3.0) - plain).abs().max() < 1e-12


def test_the_time_that_a_flow_is_told_in_the_zag(guided):
    """It moves the prediction; the level at which a v is read does not."""
    at = {name: run(Zigzag(2.0, 0.0, **{name: "s"}), guided, 6) for name in ("network_time", "v_at")}
    plain = run(Zigzag(2.0, 0.0), guided, 6)
    assert torch.equal(at["v_at"], plain)
    assert (at["network_time"] - plain).abs().max() > 1e-3


def test_embedded_guidance_tells_the_network_gamma_in_one_row():
    told = []

    def network(x, node, *conds):
        told.append(conds)
        return tuple(from_velocity(x, node, x * cond.gamma) for cond in conds)

    guided = Embedded().bind(network, "prompt", "none")
    nodes = Shifted(3.0).nodes(Flow(), 4)
    Zigzag(3.5, 1.0, lambda_=2).sample(guided, START, nodes, DDIM(), NOISE)
    gammas = [3.5, 1.0, 3.5, 3.5, 1.0, 3.5, 3.5, 3.5]
    assert told == [(ScaledCond("prompt", gamma),) for gamma in gammas]
    assert {Embedded().evals(gamma, None, None) for gamma in (0.0, 1.0, 3.5)} == {1} and not Embedded().affine


def test_a_shift_by_size_is_bound_to_a_picture():
    """mu is 0.5 at 256 tokens, 1.15 at 4096, and on that line beyond."""
    spacing = ShiftedBySize()
    beyond = 1.15 + (16384 - 4096) * (1.15 - 0.5) / (4096 - 256)
    for size, mu in (((256, 256), 0.5), ((1024, 1024), 1.15), ((512, 2048), 1.15), ((2048, 2048), beyond)):
        assert spacing.sized(size).shift == pytest.approx(math.exp(mu))
        linear = ShiftedBySize(growth="linear").sized(size)
        assert linear.shift == pytest.approx(mu)
    own = spacing.sized((1024, 1024)).nodes(Flow(), 4)
    stretched = UniformInTime(ModelSchedule(), 4).bind(spacing).sized((1024, 1024)).nodes(Flow(), 7)
    assert [stretched[i] for i in (0, -1)] == [own[0], own[-1]]
    assert stretched[-2].sigma == pytest.approx(own[-2].sigma)
    assert Shifted().sized((64, 64)) == Shifted()
    with pytest.raises(ValueError, match="by the picture's size; give size"):
        spacing.nodes(Flow(), 4)


@pytest.mark.parametrize("T", [1, 2, 7])
def test_a_stretched_schedule_ends_where_it_is_told(T):
    """As diffusers' shift_terminal: 1 - t is scaled. One step has nothing to stretch."""
    own, found = Shifted(3.0).nodes(Flow(), T), Stretched(Shifted(3.0), 0.02).nodes(Flow(), T)
    assert found[0] == own[0] and found[-1] == own[-1]
    if T > 1:
        assert found[-2].sigma == pytest.approx(0.02) and found[-2].time == pytest.approx(20)
        scales = [b.alpha / a.alpha for a, b in zip(own[1:-1], found[1:-1], strict=True)]
        assert scales == pytest.approx([0.98 / own[-2].alpha] * (T - 1))
    sized = Stretched(ShiftedBySize(), 0.02).sized((512, 512))
    assert sized == Stretched(ShiftedBySize().sized((512, 512)), 0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shifted(0.0), "schedule.shift=0.0 must be at least"),
        (lambda: Shifted(3.0, 2.0), "schedule.last=2.0 lies outside"),
        (
            lambda: from_config({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True}),
            "a flow's scheduler with invert_sigmas=True is not supported",
        ),
        (lambda: Stretched(Shifted(), 1.0), "schedule.terminal=1.0 lies outside"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
