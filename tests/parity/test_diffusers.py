"""Ours against diffusers' own schedulers: levels, nodes, steps down, steps up, in both readings of DDIMInverse.

diffusers computes its tables in float32, so agreement is asked for to 1e-5 of the largest value.
"""

import math

import pytest
import torch
from diffusers import (
    DDIMInverseScheduler,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.levels import discrete
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import from_eps, from_v, from_velocity
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.explicit import Explicit
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.models.pretrained.scheduler import from_config

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
SDXL = SD | {"set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading"}
X = starting_noise((0, 1), (4, 8, 8))
NOISE = KeyedNoise((0, 1), (4, 8, 8))
TS = (4, 10, 50)


def network(x, time):
    """A smooth stand-in for a network, the same for both sides."""
    return torch.tanh(0.8 * x + 0.3 * x.roll(1, -1)) + 0.1 * math.sin(float(time) / 90)


def ours(sampler, schedule, solver=None, read=from_eps, x=X):
    def guided(x, node, gamma, leg):
        return read(x, node, network(x, node.time) * (0.5 + 0.1 * gamma))

    return sampler.sample(guided, x, schedule, solver or DDIM(), NOISE)


def theirs(scheduler, x=X, gamma=5.0):
    for time in scheduler.timesteps:
        inside = scheduler.scale_model_input(x, time)
        x = scheduler.step(network(inside, time) * (0.5 + 0.1 * gamma), time, x).prev_sample
    return x


def close(a, b, tolerance=1e-5):
    assert (a - b).abs().max() <= tolerance * b.abs().max(), f"{(a - b).abs().max() / b.abs().max():.2e}"


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_training_levels(beta_schedule, zero_snr):
    scheduler = DDIMScheduler(beta_schedule=beta_schedule, rescale_betas_zero_snr=zero_snr)
    levels, _ = from_config(dict(scheduler.config))
    found = torch.tensor(levels.abar, dtype=torch.float64)
    assert (found - scheduler.alphas_cumprod.double()).abs().max() < 1e-5
    assert (found[-1] == 0) == zero_snr


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("T", [1, 4, 7, 10, 25, 50, 333, 500])
def test_timesteps(spacing, T):
    offset = 1 if spacing == "leading" else 0
    scheduler = DDIMScheduler(**SD, timestep_spacing=spacing, steps_offset=offset, set_alpha_to_one=True)
    scheduler.set_timesteps(T)
    levels, found = from_config(dict(scheduler.config))
    if T == 1 and spacing == "linspace":
        assert scheduler.timesteps.tolist() == [0]
    assert [node.time for node in found.nodes(levels, T)[:-1]] == scheduler.timesteps.tolist()


@pytest.mark.parametrize("T", TS)
@pytest.mark.parametrize("set_alpha_to_one", [False, True])
@pytest.mark.parametrize(("prediction_type", "read"), [("epsilon", from_eps), ("v_prediction", from_v)])
def test_ddim(T, set_alpha_to_one, prediction_type, read):
    config = SDXL | {"set_alpha_to_one": set_alpha_to_one, "prediction_type": prediction_type}
    scheduler = DDIMScheduler(**config)
    scheduler.set_timesteps(T)
    levels, spacing = from_config(dict(scheduler.config))
    close(ours(Standard(5.0), spacing.nodes(levels, T), read=read), theirs(scheduler))


@pytest.mark.parametrize("T", TS)
def test_trailing_ddim_with_zero_terminal_snr(T):
    config = SD | {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    scheduler = DDIMScheduler(**config)
    scheduler.set_timesteps(T)
    levels, spacing = from_config(dict(scheduler.config))
    schedule = spacing.nodes(levels, T)
    assert schedule[0].alpha == 0
    close(ours(Standard(5.0), schedule, read=from_v), theirs(scheduler))


@pytest.mark.parametrize("T", TS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_euler_is_ddim_to_the_clean_node(T, spacing):
    scheduler = EulerDiscreteScheduler(**{k: v for k, v in SD.items() if k != "clip_sample"}, timestep_spacing=spacing)
    scheduler.set_timesteps(T)
    schedule = Timesteps(spacing, 0, "clean").nodes(discrete(), T)
    start = schedule[0]
    close(ours(Standard(5.0), schedule), theirs(scheduler, X / start.alpha))


@pytest.mark.parametrize("T", TS)
def test_dpmpp_2m(T):
    scheduler = DPMSolverMultistepScheduler(
        **{k: v for k, v in SD.items() if k != "clip_sample"}, timestep_spacing="leading", steps_offset=1
    )
    scheduler.set_timesteps(T)
    # its own leading spacing divides by T + 1, so that its nodes are handed over as they are
    schedule = Explicit(tuple(scheduler.timesteps.tolist()), "clean").nodes(discrete(), T)
    close(ours(Standard(5.0), schedule, DPMpp2M()), theirs(scheduler))


@pytest.mark.parametrize("T", TS)
def test_flow_euler_with_sd3s_double_shift(T):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(T)
    levels, spacing = from_config(dict(scheduler.config) | {"_class_name": "FlowMatchEulerDiscreteScheduler"})
    schedule = spacing.nodes(levels, T)
    assert torch.allclose(torch.tensor([n.sigma for n in schedule]), scheduler.sigmas, atol=1e-6)
    x = X
    for time in scheduler.timesteps:
        x = scheduler.step(network(x, time), time, x, return_dict=False)[0]
    close(ours(Standard(5.0), schedule, read=from_velocity), x)


@pytest.mark.parametrize("T", (1, *TS))
@pytest.mark.parametrize("size", [(512, 512), (1024, 1024), (1536, 640)])
@pytest.mark.parametrize("kind", ["dev", "schnell", "linear", "sd3"])
def test_flow_times_by_the_pictures_size(T, size, kind):
    """FLUX's pipeline hands its scheduler even times down to 1 / T; SD3's lets it choose them, down to 1 / 1000."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    settings = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.6, "max_image_seq_len": 3000}
    settings |= {"time_shift_type": "linear"} if kind == "linear" else {}
    scheduler = FlowMatchEulerDiscreteScheduler(**{"shift": 1.0} if kind == "schnell" else settings)
    tokens, found = (size[0] // 16) * (size[1] // 16), scheduler.config
    mu = calculate_shift(tokens, found.base_image_seq_len, found.max_image_seq_len, found.base_shift, found.max_shift)
    even = {} if kind == "sd3" else {"sigmas": torch.linspace(1, 1 / T, T).tolist()}
    scheduler.set_timesteps(T, mu=mu, **even)
    config = dict(found) | {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    levels, spacing = from_config(config, side=16, even=kind != "sd3")
    nodes = spacing.sized(size).nodes(levels, T)
    assert torch.allclose(torch.tensor([n.sigma for n in nodes]), scheduler.sigmas, atol=1e-6)
    assert torch.allclose(torch.tensor([n.time for n in nodes[:-1]]), scheduler.timesteps, rtol=1e-6)


@pytest.mark.parametrize("T", TS)
@pytest.mark.parametrize(
    ("prediction_type", "read", "v_at"), [("epsilon", from_eps, "t"), ("v_prediction", from_v, "s")]
)
@pytest.mark.parametrize("inversion", ["exact", "ref_0_22"])
def test_zigzag_with_both_readings_of_ddim_inverse(T, prediction_type, read, v_at, inversion):
    """diffusers >= 0.22 takes the TARGET's timestep. The official code passes timesteps[i + 1], the paper means [i]."""
    config = SDXL | {"prediction_type": prediction_type}
    down, up = DDIMScheduler(**config), DDIMInverseScheduler(**config)
    down.set_timesteps(T)
    up.set_timesteps(T)
    # DDIMInverse computes steps in place of a fixed chain; its last source is the level before timestep 0
    times = down.timesteps
    x = X
    for i, time in enumerate(times):
        x = down.step(network(x, time) * (0.5 + 0.1 * 5.0), time, x).prev_sample
        if i < T - 1:
            target = time if inversion == "exact" else times[i + 1]
            x = up.step(network(x, time) * (0.5 + 0.1 * 1.5), target, x).prev_sample
            x = down.step(network(x, time) * (0.5 + 0.1 * 5.0), time, x).prev_sample
    levels, spacing = from_config(dict(down.config))
    zigzag = Zigzag(5.0, 1.5, inversion=inversion, v_at=v_at)
    close(ours(zigzag, spacing.nodes(levels, T), read=read), x)


@pytest.mark.parametrize("rescale", [0.3, 0.7, 1.0])
@pytest.mark.parametrize(("on", "read"), [("eps", from_eps), ("v", from_v)])
def test_guidance_rescale(rescale, on, read):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    u, c = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    node = Timesteps("leading", 1).nodes(discrete(), 10)[4]
    guided = CFG(rescale, on).bind(lambda x, node, *conds: tuple(read(x, node, o) for o in conds), c, u)
    expected = rescale_noise_cfg(u + 6.0 * (c - u), c, guidance_rescale=rescale)
    close(guided(X, node, 6.0, Leg.ZIG).eps, read(X, node, expected).eps)
