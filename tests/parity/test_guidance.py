"""Guidance that reaches into a U-Net's attention, against diffusers' own pipelines and hooks, on tiny random weights.

Agreement is 1e-4 of the largest value: the reference hands its network the same rows, but in other passes and orders.
"""

import copy

import diffusers
import pytest
import torch
from diffusers.hooks.smoothed_energy_guidance_utils import _gaussian_blur_2d
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

import zz
from tests.parity import tiny
from tests.parity.test_adapt import state
from zz.diffusion.guidance.attention.tap import Tapped
from zz.diffusion.leg import Leg
from zz.diffusion.noise import starting_noise
from zz.diffusion.probes.meter import Meter
from zz.models.pretrained.borrowed import adapted

T, GAMMA = 5, 4.0
PROMPTS, NEGATIVE = ["a red star", "three blue rings"], ["blurred", ""]
SIZE, SEEDS = (16, 32), (3, 1)


def latents(size=SIZE):
    return starting_noise(SEEDS, (4, size[0] // 2, size[1] // 2))


def pipes():
    """Ours to lend to zz, and the parts that a pipeline of diffusers shares with it: with DDIM."""
    pipe = tiny.ready(tiny.sd())
    parts = dict(pipe.components)
    parts["scheduler"] = diffusers.DDIMScheduler.from_config(
        pipe.scheduler.config, clip_sample=False, set_alpha_to_one=False
    )
    return pipe, parts


def ours(pipe, guidance, gamma, size=SIZE, sampler=None):
    return zz.sample(
        pipe,
        PROMPTS,
        sampler=sampler or zz.Standard(gamma),
        guidance=guidance,
        steps=T,
        negative_prompt=NEGATIVE,
        initial_latents=latents(size),
        output="latent",
    )


def theirs(pipe, gamma, size=SIZE, **more):
    pipe.set_progress_bar_config(disable=True)
    told = {"guidance_scale": gamma, "latents": latents(size), "output_type": "latent", "num_inference_steps": T}
    return pipe(PROMPTS, *size, negative_prompt=NEGATIVE, **told, **more).images


@pytest.mark.parametrize("gamma", [1.0, GAMMA])
@pytest.mark.parametrize(("blocks", "layers"), [("mid", "mid"), ("down", "down"), ("all", ["down", "mid", "up"])])
def test_pag_is_that_of_diffusers(gamma, blocks, layers):
    pipe, parts = pipes()
    other = diffusers.StableDiffusionPAGPipeline(
        **copy.deepcopy(parts), requires_safety_checker=False, pag_applied_layers=layers
    )
    expected = theirs(other, gamma, pag_scale=3.0)
    tiny.close(ours(pipe, zz.PAG(blocks=blocks), gamma), expected)
    plain = ours(pipe, zz.CFG(), gamma)
    assert (plain - expected).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.parametrize("gamma", [1.0, GAMMA])
def test_sag_is_that_of_diffusers(gamma):
    pipe, parts = pipes()
    other = diffusers.StableDiffusionSAGPipeline(**copy.deepcopy(parts), requires_safety_checker=False)
    size = (32, 48)  # diffusers mirrors four places: the latent must have more
    expected = theirs(other, gamma, size, sag_scale=0.75)
    tiny.close(ours(pipe, zz.SAG(), gamma, size), expected)
    plain = ours(pipe, zz.CFG(), gamma, size)
    assert (plain - expected).abs().max() > 0.001 * expected.abs().max()


def mean(query):
    return query.mean(1, keepdim=True).expand_as(query)


def gaussian(query):
    """diffusers' own blur. Its branches are swapped: told that this deviation counts as infinite, it blurs by it."""
    return _gaussian_blur_2d(query.clone(), 5, 0.8, sigma_threshold_inf=0.0)  # ceil(6 * .8) = 5


@pytest.mark.parametrize(("sigma", "blurred", "size"), [(None, mean, SIZE), (0.8, gaussian, (32, 32))])
def test_seg_is_diffusers_unet_with_blurred_queries(sigma, blurred, size):
    """Three passes apart, the third with a hook on the middle block's to_q; the steps are diffusers' DDIM."""
    pipe, parts = pipes()
    scheduler, unet, x = parts["scheduler"], copy.deepcopy(pipe.unet), latents(size)
    query = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    c, u = pipe.encode_prompt(PROMPTS, "cpu", 1, True, negative_prompt=NEGATIVE)
    scheduler.set_timesteps(T)
    for t in scheduler.timesteps:
        eps_u, eps_c = (unet(x, t, encoder_hidden_states=text).sample for text in (u, c))
        with query.register_forward_hook(lambda module, args, out: blurred(out)):
            eps_p = unet(x, t, encoder_hidden_states=c).sample
        x = scheduler.step(eps_u + GAMMA * (eps_c - eps_u) + 3.0 * (eps_c - eps_p), t, x).prev_sample
    tiny.close(ours(pipe, zz.SEG(sigma=sigma), GAMMA, size), x)


class Legacy:
    """Attention with explicit probabilities, by diffusers' own formula, which it keeps."""

    def __init__(self):
        self.kept = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            attn.head_to_batch_dim(f(h)) for f, h in ((attn.to_q, hidden_states), (attn.to_k, text), (attn.to_v, text))
        )
        probs = attn.get_attention_scores(q, k, attention_mask)
        self.kept = probs.unflatten(0, (-1, attn.heads)).mean(1)
        return attn.to_out[0](attn.batch_to_head_dim(torch.bmm(probs, v)))


def test_semantic_guidance_is_its_formula_on_diffusers_probabilities():
    """Regions and foreground by loops over a U-Net whose processors keep their probabilities."""
    pipe, _ = pipes()
    unet, (h, w), gamma, t = copy.deepcopy(pipe.unet), (8, 16), 5.0, 401
    kept = {name: Legacy() for name in unet.attn_processors}
    unet.set_attn_processor(dict(kept))
    c, u = pipe.encode_prompt(PROMPTS, "cpu", 1, True, negative_prompt=NEGATIVE)
    x = latents()
    eps_u, eps_c = unet(torch.cat([x, x]), t, encoder_hidden_states=torch.cat([u, c])).sample.chunk(2)

    tokens, ground, layers = 0, 0, 0
    for name, processor in kept.items():
        if "attn1" not in name:
            continue
        S, C = processor.kept, kept[name.replace("attn1", "attn2")].kept
        down = round((h * w / S.shape[1]) ** 0.5)
        if down < 2:
            continue
        refined = (S + 3 * torch.bmm(S, S)) / 4
        maps = torch.bmm(refined, C).transpose(1, 2).reshape(4, -1, h // down, w // down)
        maps = interpolate(maps, (h // 2, w // 2), mode="bilinear")
        maps = torch.from_numpy(gaussian_filter(maps.numpy(), [0, 0, 0.5, 0.5], mode="mirror", radius=[0, 0, 1, 1]))
        both = torch.stack([maps[:, 0], maps[:, 1:].sum(1)], 1)
        tokens = tokens + (maps / maps.mean((2, 3), keepdim=True))[2:]
        ground = ground + (both / both.mean((2, 3), keepdim=True))[:2]
        layers += 1
    assert layers == 4  # at 4x8 one down and two up, at 2x4 the middle; those at 8x16 are left out
    regions, front = tokens.argmax(1), ground.argmax(1) == 1
    rate, d = torch.ones(2, h, w), (eps_c - eps_u).norm(dim=1)
    big = [m.repeat_interleave(2, 1).repeat_interleave(2, 2) for m in (regions, front)]
    for b in range(2):
        for region in big[0][b].unique():
            there = big[0][b] == region
            rate[b][there] = (d[b][big[1][b]].mean() / d[b][there].mean()).clamp(0.8, 3.0).clamp(max=15 / gamma)
    rate = torch.from_numpy(gaussian_filter(rate.numpy(), [0, 0.5, 0.5], mode="mirror", radius=[0, 1, 1]))
    assert 0.02 < front.float().mean() < 0.98 and rate.std() > 0.01

    with adapted(pipe) as pipeline:
        node = pipeline.levels.node(t)
        guided = zz.SCFG(2).bind(pipeline, *reversed((u, c)))
        found = guided(x, node, gamma, Leg.ZIG)
    tiny.close(found.eps, eps_u + gamma * rate[:, None] * (eps_c - eps_u))


def test_a_reduction_that_no_layer_has_is_refused():
    pipe, _ = pipes()
    assert ours(pipe, zz.SCFG(4), GAMMA).isfinite().all()
    with pytest.raises(ValueError, match=r"guidance.reduction=16: no layer's grid is the latent's 8x16 reduced so far"):
        ours(pipe, zz.SCFG(16), GAMMA)


KINDS = [
    zz.SEG(),
    zz.SEG(sigma=1.0, blocks="all"),
    zz.PAG(),
    zz.SAG(),
    zz.SCFG(1),
    zz.GuidanceInterval(zz.SEG(), 0.5, 5.0),
    zz.TDG(),
    zz.TDG(nulls="components"),
]


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny.sd, tiny.sdxl])
@pytest.mark.parametrize("guidance", KINDS, ids=repr)
def test_a_lent_pipeline_is_left_as_it_was_and_rows_are_as_said(make, guidance):
    """Rows are counted at the U-Net's own door."""
    pipe = tiny.ready(make())
    zz.sample(pipe, PROMPTS, steps=1, sampler=zz.Standard(1.0))  # transformers hangs hooks on an encoder at first use
    before, rows, counted = state(pipe), [], Meter(guidance.evals)
    with pipe.unet.register_forward_pre_hook(lambda module, args: rows.append(len(args[0]))):
        made = zz.sample(
            pipe, PROMPTS, sampler=zz.Zigzag(GAMMA), guidance=guidance, steps=T, output="latent", probe=counted
        )
    assert state(pipe) == before
    assert made.isfinite().all()
    assert sum(rows) == len(PROMPTS) * counted.evals


def test_rows_without_a_tap_are_computed_as_ever():
    """To the bit, in a pass of the same width; and a tap that looks away changes nothing."""
    pipe, _ = pipes()
    x = latents()
    with adapted(pipe) as pipeline:
        node = pipeline.levels.node(500.0)
        c, u = pipeline.encode(PROMPTS, NEGATIVE)
        plain = pipeline(x, node, u, c, c)
        spoilt = pipeline(x, node, u, c, Tapped(c, lambda attention: attention.value, blocks="all"))
        looked = pipeline(x, node, u, c, Tapped(c, lambda attention: None, blocks="all"))
    assert all(torch.equal(a.eps, b.eps) for a, b in zip(plain[:2], spoilt[:2], strict=True))
    assert all(torch.equal(a.eps, b.eps) for a, b in zip(plain, looked, strict=True))
    assert not torch.allclose(plain[2].eps, spoilt[2].eps, atol=1e-3)


def test_it_is_left_as_it_was_when_a_tap_breaks():
    pipe, _ = pipes()

    def broken(attention):
        raise RuntimeError("broken")

    with adapted(pipe) as pipeline:
        c, _ = pipeline.encode(PROMPTS, NEGATIVE)
        before = state(pipe)
        with pytest.raises(RuntimeError, match="broken"):
            pipeline(latents(), pipeline.levels.node(500.0), Tapped(c, broken))
        assert state(pipe) == before


def test_what_cannot_be_tapped_is_refused():
    pipe, _ = pipes()
    pipe.unet.set_attn_processor(diffusers.models.attention_processor.AttnProcessor())
    with pytest.raises(ValueError, match="of 1 layers with AttnProcessor; give the network diffusers' default"):
        ours(pipe, zz.SEG(), GAMMA)
    bare = tiny.ready(tiny.sd(unet=tiny.unet(mid_block_type="UNetMidBlock2D")))
    with pytest.raises(ValueError, match=r"guidance\.blocks=mid: the network has no such attention there"):
        ours(bare, zz.SEG(), GAMMA)
    assert ours(bare, zz.SEG(blocks="up"), GAMMA).isfinite().all()


def test_attention_maps_are_those_of_the_rows_that_are_not_spoilt():
    """With all blocks' self-attention dropped in a third branch, the first step's maps are as without it."""
    pipe, _ = pipes()
    kept = []
    for guidance in (zz.CFG(), zz.PAG(blocks="all"), zz.SCFG(1)):
        with adapted(pipe) as pipeline:
            maps = zz.AttentionMaps(pipeline, words=["a"])
            zz.sample(
                maps, ["a star"], sampler=zz.Standard(GAMMA), guidance=guidance, steps=2, size=SIZE, probe=maps.probe
            )
            kept.append(maps.mean("a", steps=[0]))
    assert all(torch.allclose(kept[0], other, atol=1e-6) for other in kept[1:])


@pytest.mark.slow
def test_zigzag_goes_with_each():
    """A picture of its own, and none that is not finite."""
    pipe, _ = pipes()
    plain = ours(pipe, zz.CFG(), GAMMA, sampler=zz.Zigzag(GAMMA))
    for guidance in (*KINDS, zz.CFGpp()):
        gamma = 0.6 if guidance == zz.CFGpp() else GAMMA
        made = ours(pipe, guidance, gamma, sampler=zz.Zigzag(gamma))
        assert made.isfinite().all() and not torch.allclose(made, plain, atol=1e-3 * plain.abs().max())
