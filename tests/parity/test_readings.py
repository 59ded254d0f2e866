"""Readings: where the authors' code is not the formula, the loop that is described of it, written out on tiny weights.

Latents agree to 1e-5 of the largest value. Each is also told apart from the default, so that no test can pass by both.
FreeInit's is in test_animatediff, a LoRA's layers and W2SD in test_lora.
"""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import conv2d, interpolate, pad

import zz
from tests.make import recipe
from tests.parity import tiny
from tests.parity.test_guidance import Legacy
from zz.diffusion.guidance.attention import scfg
from zz.diffusion.noise import starting_noise
from zz.diffusion.samplers.reflection import Reflection

CLOSE, PROMPTS, NEGATIVE, SEEDS = 1e-5, ["a red star", "three blue rings"], ["blurred", ""], (3, 1)
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ABAR = torch.cumprod(1 - BETAS, 0)


def chain(T):
    """Leading times, and (alpha, sigma) of each and of the last node, the least noisy level."""
    times = [i * (1000 // T) + 1 for i in reversed(range(T))]
    abar = [ABAR[t].item() for t in (*times, 0)]
    return times, [(a**0.5, (1 - a) ** 0.5) for a in abar]


def ours(pipe, sampler, x, T, **more):
    told = {"negative_prompt": NEGATIVE, "initial_latents": x, "steps": T, "output": "latent"}
    return zz.sample(pipe, PROMPTS, sampler=sampler, **told | more)


def network(pipe):
    """Both branches of a U-Net, by its own processors or by others that were set: eps_u, eps_c."""
    c, u = pipe.encode_prompt(PROMPTS, "cpu", 1, True, negative_prompt=NEGATIVE)
    text = torch.cat([u, c])

    @torch.no_grad()
    def both(x, time):
        return pipe.unet(torch.cat([x, x]), time, encoder_hidden_states=text).sample.chunk(2)

    return both


def moved(x, eps, source, target):
    return target[0] * (x - source[1] * eps) / source[0] + target[1] * eps


def kernel(blur):
    """Three places of exp(-d^2 / (2 * .5^2)), or, squares of twice the deviation, exp(-(d / (2 * .5))^2)."""
    d = torch.tensor([-1.0, 0.0, 1.0])
    weights = torch.exp(-((d / (0.5 * (2 if blur == "computed" else 2**0.5))) ** 2))
    return torch.outer(weights, weights) / weights.sum() ** 2


def smoothed(maps, blur):
    flat = pad(maps.flatten(0, -3)[:, None], (1, 1, 1, 1), mode="reflect")
    return conv2d(flat, kernel(blur)[None, None]).view(maps.shape)


def regions_of(kept, latent, reduction, blur):
    """Of one U-Net call whose processors kept their probabilities: tokens' maps, and those of text begin and rest."""
    tokens, ground, layers, finest = 0, 0, 0, None
    h, w = latent
    for name, processor in kept.items():
        if "attn1" not in name:
            continue
        S, C = processor.kept, kept[name.replace("attn1", "attn2")].kept
        down = round((h * w / S.shape[1]) ** 0.5)
        if down < reduction:
            continue
        maps = torch.bmm((S + 3 * torch.bmm(S, S)) / 4, C).transpose(1, 2).unflatten(2, (h // down, w // down))
        finest = finest or maps.shape[2:]
        maps = smoothed(interpolate(maps, finest, mode="bilinear"), blur)
        both = torch.stack([maps[:, 0], maps[:, 1:].sum(1)], 1)
        tokens = tokens + maps / maps.mean((2, 3), keepdim=True)
        ground = ground + both / both.mean((2, 3), keepdim=True)
        layers += 1
    return tokens[len(PROMPTS) :] / layers, ground[: len(PROMPTS)] / layers


@torch.no_grad()
def semantic(pipe, x, T, gamma, reduction, blur):
    """The description's loop: latents, and each step's maps."""
    pipe = copy.deepcopy(pipe)
    kept = {name: Legacy() for name in pipe.unet.attn_processors}
    pipe.unet.set_attn_processor(dict(kept))
    both, (times, nodes), seen = network(pipe), chain(T), []
    for time, (source, target) in zip(times, pairwise(nodes), strict=True):
        u, c = both(x, time)
        tokens, ground = regions_of(kept, x.shape[2:], reduction, blur)
        seen.append((tokens, ground))
        enlarge = [side // small for side, small in zip(x.shape[2:], tokens.shape[2:], strict=True)]
        big = [m.argmax(1).repeat_interleave(enlarge[0], 1).repeat_interleave(enlarge[1], 2) for m in (tokens, ground)]
        d, rate = (c - u).norm(dim=1), torch.ones_like(x[:, 0])
        for b in range(len(x)):
            for region in big[0][b].unique():
                there = big[0][b] == region
                rate[b][there] = (d[b][big[1][b] == 1].mean() / d[b][there].mean()).clamp(0.8, 3.0)
        rate = smoothed(rate.clamp(max=15 / gamma)[:, None], blur)
        x = moved(x, u + gamma * rate * (c - u), source, target)
    return x, seen


@pytest.mark.parametrize("blur", ["named", "computed"])
@pytest.mark.parametrize(("size", "reduction", "T"), [((32, 32), 4, 5), ((32, 64), 2, 3)])
def test_semantic_guidance(monkeypatch, blur, size, reduction, T):
    """Region maps are equal but for ties under 1e-6, latents where no tie falls otherwise."""
    pipe, gamma = tiny.ready(tiny.sd()), 5.0
    x, cut, real = starting_noise(SEEDS, (4, size[0] // 2, size[1] // 2)), [], scfg.rates
    monkeypatch.setattr(scfg, "rates", lambda d, *more: cut.append(more[:2]) or real(d, *more))
    found = ours(pipe, zz.Standard(gamma), x, T, guidance=zz.SCFG(reduction, blur=blur))
    expected, seen = semantic(pipe, x, T, gamma, reduction, blur)
    same = torch.ones(len(x), dtype=torch.bool)
    for (regions, front), maps in zip(cut, seen, strict=True):
        for cut_by_us, theirs in zip((regions, front.long()), maps, strict=True):
            best = theirs.topk(2, dim=1).values
            flipped = cut_by_us != theirs.argmax(1)
            assert (best[:, 0] - best[:, 1])[flipped].lt(1e-6).all()
            same &= ~flipped.flatten(1).any(1)
    assert same.any() and 0.02 < torch.stack([front.float().mean() for _, front in cut]).mean() < 0.98
    tiny.close(found[same], expected[same], CLOSE)
    other = semantic(pipe, x, T, gamma, reduction, {"named": "computed", "computed": "named"}[blur])[0]
    assert (other - expected).abs().max() > 100 * CLOSE * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "reach"), [(1.0, 4), (3.0, 15), pytest.param(9.0, 15, marks=pytest.mark.ci)])
def test_self_attention_guidance(sigma, reach):
    """Where more attention is received than on average, x0 is blurred, noised again and asked for once more."""
    pipe, gamma, scale, T = tiny.ready(tiny.sd()), 3.0, 0.75, 4
    x = starting_noise(SEEDS, (4, 32, 32))
    found = ours(pipe, zz.Standard(gamma), x, T, guidance=zz.SAG(scale, sigma=sigma, reach=reach))
    other = copy.deepcopy(pipe)
    middle = next(name for name in other.unet.attn_processors if "mid_block" in name and "attn1" in name)
    processors = dict(other.unet.attn_processors)
    keeper = processors[middle] = Legacy()
    other.unet.set_attn_processor(processors)
    both, (times, nodes) = network(other), chain(T)
    for time, (source, target) in zip(times, pairwise(nodes), strict=True):
        u, c = both(x, time)
        much = (keeper.kept[: len(x)].sum(1) > 1).float().unflatten(1, (8, 8))[:, None]
        much = interpolate(much, (32, 32)) > 0
        x0 = (x - source[1] * u) / source[0]
        soft = gaussian_filter(x0.numpy(), [0, 0, sigma, sigma], mode="mirror", radius=[0, 0, reach, reach])
        degraded = source[0] * torch.where(much, torch.from_numpy(soft), x0) + source[1] * u
        x = moved(x, u + gamma * (c - u) + scale * (u - both(degraded, time)[0]), source, target)
    tiny.close(found, x, CLOSE)
    if sigma != 1:
        plain = ours(pipe, zz.Standard(gamma), starting_noise(SEEDS, (4, 32, 32)), T, guidance=zz.SAG(scale))
        assert (plain - found).abs().max() > 100 * CLOSE * found.abs().max()


@pytest.mark.parametrize("extrapolates", ["guided", "mixed", "uncond"])
def test_cfgpp_with_dpm_solver(extrapolates):
    """In sigma space, x = x0 + s eps: a step of CFG++ in log s, and a multiple of how the denoised has changed.

    For Stable Diffusion their code takes the guided one now and the unconditional one before, for SDXL the
    unconditional ones. The first step and the last are of first order here.
    """
    pipe, T, lam = tiny.ready(tiny.sd()), 6, 0.6
    x = starting_noise(SEEDS, (4, 8, 8))
    found = ours(pipe, zz.Standard(lam), x, T, guidance=zz.CFGpp(extrapolates), solver=zz.DPMpp2M())
    both, (times, nodes) = network(pipe), chain(T)
    s = [sigma / alpha for alpha, sigma in nodes]
    y, before = x / nodes[0][0], None
    for i, time in enumerate(times):
        u, c = both(y * nodes[i][0], time)
        denoised, plain = y - s[i] * (u + lam * (c - u)), y - s[i] * u
        h = math.log(s[i] / s[i + 1])
        y = denoised + math.exp(-h) * (y - plain)
        if before is not None and i < T - 1:
            now = plain if extrapolates == "uncond" else denoised
            then = before[0] if extrapolates == "guided" else before[1]
            y = y - math.expm1(-h) * h / (2 * math.log(s[i - 1] / s[i])) * (now - then)
        before = denoised, plain
    tiny.close(found, y * nodes[-1][0], CLOSE)
    ways = {
        e: ours(pipe, zz.Standard(lam), x, T, guidance=zz.CFGpp(e), solver=zz.DPMpp2M())
        for e in ("guided", "mixed", "uncond")
    }
    others = [way for name, way in ways.items() if name != extrapolates]
    assert all((way - found).abs().max() > 100 * CLOSE * found.abs().max() for way in others)


@pytest.mark.parametrize(("shift", "gamma2"), [(3.0, 0.0), (1.0, -1.5)])
def test_the_zags_time_on_a_flow(shift, gamma2):
    """Down, back up with the network told t - 1000 // T, and down again, in velocities; all steps but the last."""
    pipe, gamma1, T = tiny.ready(tiny.sd3(shift)), 3.5, 6
    x = noise = starting_noise(SEEDS, (16, 8, 8))
    told = {"size": (64, 64), "negative_prompt": None}
    found = ours(pipe, zz.Zigzag(gamma1, gamma2, network_time="even"), x, T, **told)
    c, u, pooled_c, pooled_u = pipe.encode_prompt(PROMPTS, None, None, negative_prompt=["", ""])
    text, pooled = torch.cat([u, c]), torch.cat([pooled_u, pooled_c])

    @torch.no_grad()
    def velocity(x, time, gamma):
        rows = pipe.transformer(torch.cat([x, x]), text, pooled, torch.full((4,), time)).sample
        v_u, v_c = rows.chunk(2)
        return v_u + gamma * (v_c - v_u)

    pipe.scheduler.set_timesteps(T)
    s = pipe.scheduler.sigmas.tolist()
    for i in range(T):
        t, step = 1000 * s[i], s[i + 1] - s[i]
        if i < T - 1:
            y = x + step * velocity(x, t, gamma1)
            x = y - step * velocity(y, t - 1000 // T, gamma2)
        x = x + step * velocity(x, t, gamma1)
    tiny.close(found, x, CLOSE)
    for time in ("t", "s"):
        assert (ours(pipe, zz.Zigzag(gamma1, gamma2, network_time=time), noise, T, **told) - found).abs().max() > 1e-3


@pytest.mark.parametrize("gamma1", [1.0, 0.5])
def test_guidance_that_the_official_code_switches_off(gamma1):
    """Its zig and its zag are then the conditional prediction, whatever gamma2; its zag moves by the step below."""
    pipe, T = tiny.ready(tiny.sd()), 5
    x = noise = starting_noise(SEEDS, (4, 8, 8))
    sampler = zz.Zigzag(gamma1, 0.0, inversion="ref_0_22", below_one="conditional")
    found = ours(pipe, sampler, x, T)
    both, (times, nodes) = network(pipe), chain(T)
    for i, time in enumerate(times):
        if i < T - 1:
            y = moved(x, both(x, time)[1], nodes[i], nodes[i + 1])
            x = moved(y, both(y, time)[1], nodes[i + 2], nodes[i + 1])
        x = moved(x, both(x, time)[1], nodes[i], nodes[i + 1])
    tiny.close(found, x, CLOSE)
    formula = ours(pipe, zz.Zigzag(gamma1, 0.0, inversion="ref_0_22"), noise, T)
    assert (formula - found).abs().max() > 100 * CLOSE * found.abs().max()
    assert zz.Zigzag(1.5, 0.0, below_one="conditional").gamma2 == 0


def key(**fields):
    return recipe(model=zz.shapes(), **fields).resolved().cell.key


def test_a_reading_is_part_of_the_identity_where_it_makes_a_difference():
    """And a default leaves no trace, so that the keys of earlier results stand."""
    apart = [
        {"guidance": zz.SCFG(1), "other": zz.SCFG(1, blur="computed")},
        {"guidance": zz.SAG(), "other": zz.SAG(sigma=3.0)},
        {"guidance": zz.SAG(), "other": zz.SAG(reach=15)},
        {"guidance": zz.CFGpp(), "other": zz.CFGpp("mixed"), "solver": zz.DPMpp2M(), "sampler": zz.Zigzag(0.6)},
        {"sampler": zz.Zigzag(), "other": zz.Zigzag(network_time="even")},
        {"sampler": Reflection(gamma_strong=3.0), "other": Reflection(gamma_strong=3.0, inversion="ref_0_22")},
        {"sampler": zz.FreeInit(), "other": zz.FreeInit(diffuse="node")},
        {"sampler": zz.Zigzag(0.5), "other": zz.Zigzag(0.5, below_one="conditional")},
    ]
    for case in apart:
        other, group = case.pop("other"), next(iter(case))
        assert key(**case) != key(**case | {group: other}), other
    cfgpp, zigzag = {"sampler": zz.Zigzag(0.6), "guidance": zz.CFGpp()}, zz.Zigzag(4.0)
    assert key(**cfgpp) == key(**cfgpp | {"guidance": zz.CFGpp("uncond")}), "DDIM looks back at nothing"
    assert key(sampler=zigzag) == key(sampler=zz.Zigzag(4.0, below_one="conditional")), "guidance is on"
    assert key(sampler=zz.Zigzag(1.0, 1.0)) == key(sampler=zz.Zigzag(0.3, 0.0, below_one="conditional"))
    assert key(sampler=Reflection(inversion="ref_0_22")) == key(sampler=zz.Zigzag(inversion="ref_0_22"))
    plain = recipe(model=zz.shapes(), sampler=zigzag, guidance=zz.SCFG(1)).resolved().cell.ledger
    assert "below_one" not in plain["sampler"] and "blur" not in plain["guidance"]
    with pytest.raises(ValueError, match=r"lambda=8 is too many: at steps=8 and k=1 inversion=ref_0_22 allows 0\.\.7"):
        recipe(sampler=Reflection(gamma_strong=3.0, lambda_=8, inversion="ref_0_22"), steps=8).resolved()


def test_a_schedule_that_knows_no_levels_says_so():
    from zz.diffusion.schedule import Nodes

    nodes = Nodes(zz.shapes().noise_levels()[1].nodes(zz.shapes().noise_levels()[0], 4))
    with pytest.raises(ValueError, match=r"its nodes\(levels, T\) must end in Nodes\(\.\.\., levels\)"):
        _ = nodes.levels
    assert np.isclose(zz.shapes().noise_levels()[0].noisiest.time, 999)
