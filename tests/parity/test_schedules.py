"""Our spacings against diffusers' timesteps and sigmas, and a U-Net sampled on both.

diffusers' tables are float32. Where they start at t = 0, sigma is the root of 1 - abar = 8.5e-4, of which float32 keeps
four digits: sigmas agree to 1e-4 of themselves, timesteps to what that moves them by.
"""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DModel,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import AysSchedules

from zz.diffusion.levels import Flow, discrete
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import from_eps
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.schedules.ays import AYS, TABLES
from zz.diffusion.schedules.explicit import Explicit
from zz.diffusion.schedules.karras import Karras
from zz.diffusion.schedules.multistep import MultistepShifted
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM
from zz.models.pretrained.scheduler import from_config

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
CURVE = discrete()
NAMES = {"sd": "StableDiffusion", "sdxl": "StableDiffusionXL"}  # in diffusers' AysSchedules
TS = (4, 7, 10, 20, 50)


def rs(schedule):
    return np.array([node.r for node in schedule])


def times(schedule):
    """The times that the network is given, of all nodes but the last."""
    return np.array([node.time for node in schedule[:-1]])


def euler(T=None, *, sigmas=None, timesteps=None, **config):
    scheduler = EulerDiscreteScheduler(**SD, **config)
    scheduler.set_timesteps(T, sigmas=sigmas, timesteps=timesteps)
    return scheduler


def interpolated(table, T):
    """sigma / alpha at T + 1 levels: log-linear over the index of the authors' eleven timesteps."""
    abar = DDIMScheduler(**SD).alphas_cumprod.double().numpy()
    listed = np.sqrt(1 / abar - 1)[[*TABLES[table], 0]]
    return np.exp(np.interp(np.linspace(0, 10, T + 1), np.arange(11), np.log(listed)))


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).eval()


def apart(unet, schedule, scheduler):
    """How far our latents are from Euler's, of the largest. Ours are variance-preserving, Euler's x / alpha."""

    def guided(x, node, gamma, leg):
        return from_eps(x, node, unet(x, torch.tensor(node.time, dtype=torch.float32)).sample)

    x = starting_noise((0, 1), (4, 8, 8))
    ours = Standard(5.0).sample(guided, x, schedule, DDIM(), KeyedNoise((0, 1), (4, 8, 8)))
    x = x / schedule[0].alpha
    for time in scheduler.timesteps:
        x = scheduler.step(unet(scheduler.scale_model_input(x, time), time).sample, time, x).prev_sample
    theirs = x * schedule[-1].alpha
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.parametrize("T", TS)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_timesteps(spacing, offset, T):
    config = SD | {"timestep_spacing": spacing, "steps_offset": offset}
    ddim = DDIMScheduler(**config)
    ddim.set_timesteps(T)
    levels, own = from_config(dict(ddim.config))
    assert own == Timesteps(spacing, offset, "clean")
    found = times(own.nodes(levels, T))
    assert found.tolist() == ddim.timesteps.tolist()
    near = 0.5 if spacing == "linspace" else 0  # which Euler does not round
    theirs = euler(T, timestep_spacing=spacing, steps_offset=offset)
    assert np.abs(found - theirs.timesteps.numpy()).max() <= near
    if spacing == "linspace":
        found = [levels.node(time) for time in np.linspace(999, 0, T)]
        assert np.allclose([n.r for n in found], theirs.sigmas[:-1], rtol=2e-3)  # between levels Euler is not in logs
    else:
        assert np.allclose(rs(own.nodes(levels, T)), theirs.sigmas, rtol=1e-4)


@pytest.mark.parametrize("table", NAMES)
def test_the_lists_are_the_published_ones(table):
    assert list(TABLES[table]) == AysSchedules[NAMES[table] + "Timesteps"]
    schedule = AYS(table, "clean").nodes(CURVE, 10)
    assert schedule == Explicit(TABLES[table], "clean").nodes(CURVE, 10)
    theirs = euler(timesteps=AysSchedules[NAMES[table] + "Timesteps"])
    assert times(schedule).tolist() == theirs.timesteps.tolist()
    assert np.allclose(rs(schedule), theirs.sigmas, rtol=1e-4)
    printed = [CURVE.time(min(r, rs(schedule)[0])) for r in AysSchedules[NAMES[table] + "Sigmas"][:-1]]
    assert (
        np.abs(times(schedule) - printed).max() < 0.7
    )  # the published sigmas, of three decimals, rounded to timesteps
    assert AYS(table).nodes(CURVE, 10)[-1] == CURVE.node(0)


@pytest.mark.parametrize("table", NAMES)
@pytest.mark.parametrize("T", [2, 4, 7, 10, 20, 50])
def test_other_counts_are_log_linear(table, T):
    schedule, expected = AYS(table).nodes(CURVE, T), interpolated(table, T)
    assert np.allclose(rs(schedule), expected, rtol=1e-4)
    theirs = euler(sigmas=expected.tolist())  # the time of a level, by interpolation in log(sigma)
    assert np.abs(times(schedule) - theirs.timesteps.numpy()).max() < 0.01


@pytest.mark.parametrize("final", ["first", "clean"])
@pytest.mark.parametrize("table", NAMES)
def test_monotone_for_any_count(table, final):
    for T in range(2, 101):
        for spacing in (AYS(table, final), Karras(7, final)):
            schedule = spacing.nodes(CURVE, T)
            assert schedule.T == T
            assert schedule[0] == CURVE.node(999)
            assert (np.diff(rs(schedule)) < 0).all() and (np.diff(times(schedule)) < 0).all()
            last = schedule[-1]
            assert last == CURVE.node(0) if final == "first" else (last.alpha, last.sigma) == (1, 0)


@pytest.mark.parametrize("T", TS)
def test_karras(T):
    theirs = euler(T, use_karras_sigmas=True)  # linspace: between the first and the last of the trained levels
    schedule = Karras().nodes(CURVE, T)
    assert np.allclose(rs(schedule), theirs.sigmas, rtol=1e-4)
    assert np.abs(times(schedule) - theirs.timesteps.numpy()).max() < 0.01
    first = Karras(final="first").nodes(CURVE, T)
    theirs = euler(T + 1, use_karras_sigmas=True)
    assert np.allclose(rs(first), theirs.sigmas[:-1], rtol=1e-4)


def test_rho_one_is_even():
    assert np.allclose(np.diff(rs(Karras(1, "first").nodes(CURVE, 8)), n=2), 0, atol=1e-12)


@pytest.mark.parametrize("table", NAMES)
def test_a_network_sampled_on_ays(unet, table):
    clean = AYS(table, "clean").nodes(CURVE, 10)
    assert apart(unet, clean, euler(timesteps=AysSchedules[NAMES[table] + "Timesteps"])) <= 1e-4
    for T in (4, 17):
        sigmas = interpolated(table, T).tolist()
        assert apart(unet, AYS(table).nodes(CURVE, T), euler(sigmas=sigmas)) <= 1e-4


@pytest.mark.parametrize("T", [4, 10])
def test_a_network_sampled_on_karras(unet, T):
    assert apart(unet, Karras().nodes(CURVE, T), euler(T, use_karras_sigmas=True)) <= 1e-4


@pytest.mark.parametrize("spacing", [AYS(), Karras()], ids=["ays", "karras"])
def test_what_cannot_be_placed_is_refused(spacing):
    name = type(spacing).__name__.lower()
    with pytest.raises(ValueError, match=rf"schedule={name} .*discrete.*; choose schedule=model"):
        spacing.nodes(Flow(), 10)
    with pytest.raises(ValueError, match="steps=0 must be at least 1"):
        spacing.nodes(CURVE, 0)
    with pytest.raises(ValueError, match=rf"schedule={name} .*zero terminal SNR"):
        spacing.nodes(discrete(zero_terminal_snr=True), 11)


def test_ays_from_alpha_zero_is_the_list():
    levels = discrete(zero_terminal_snr=True)
    assert AYS().nodes(levels, 10)[0].alpha == 0
    assert times(AYS().nodes(levels, 10)).tolist() == list(TABLES["sd"])
    with pytest.raises(ValueError, match="1000; choose schedule=model"):
        AYS().nodes(discrete(N=500), 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AYS("sd3"), "schedule.table='sd3' is not known; known are sd, sdxl"),
        (lambda: AYS(final="zero"), "schedule.final='zero' is not known; known are clean, first"),
        (lambda: Karras(0.5), "schedule.rho=0.5 must be at least 1"),
        (lambda: Karras(final="zero"), "schedule.final='zero' is not known"),
    ],
)
def test_fields_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


def from_scheduler(scheduler):
    return from_config({**scheduler.config, "_class_name": type(scheduler).__name__})


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0, 7.3])
@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_a_multistep_solvers_flow_is_its_own_to_the_bit(kind, shift):
    scheduler = kind(**FLOW, flow_shift=shift)
    levels, rule = from_scheduler(scheduler)
    assert levels == Flow(1000) and isinstance(rule, MultistepShifted)
    for T in range(1, 101):
        scheduler.set_timesteps(T)
        nodes = rule.nodes(levels, T)
        assert np.array_equal(np.float32([node.sigma for node in nodes]), scheduler.sigmas.numpy())
        assert times(nodes).tolist() == scheduler.timesteps.tolist()
        assert all(node.alpha == 1 - node.sigma for node in nodes)


def test_flow_eulers_flow_is_its_own():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    levels, rule = from_scheduler(scheduler)
    for T in TS:
        scheduler.set_timesteps(T)
        nodes = rule.nodes(levels, T)
        assert np.allclose([node.sigma for node in nodes], scheduler.sigmas.numpy(), rtol=1e-6, atol=0)
        assert np.allclose(times(nodes), scheduler.timesteps.numpy(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_class_name": "DEISMultistepScheduler"}, "of class DEISMultistepScheduler is not supported; FlowMatchEuler"),
        ({"use_karras_sigmas": True}, "a flow's scheduler with use_karras_sigmas=True is not supported"),
        ({"use_dynamic_shifting": True}, "a flow's scheduler with use_dynamic_shifting=True is not supported"),
        ({"shift_terminal": 0.1}, r"a flow's scheduler with shift_terminal=0\.1 is not supported"),
        ({"final_sigmas_type": "sigma_min"}, "with final_sigmas_type=sigma_min is not supported; only zero is"),
    ],
)
def test_other_flows_of_multistep_solvers_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        from_config({"_class_name": "UniPCMultistepScheduler", **FLOW, **config})


def test_a_multistep_flow_needs_a_flow():
    with pytest.raises(ValueError, match="needs a rectified-flow model"):
        MultistepShifted().nodes(CURVE, 4)
    with pytest.raises(ValueError, match="steps=0 must be at least 1"):
        MultistepShifted().nodes(Flow(), 0)
