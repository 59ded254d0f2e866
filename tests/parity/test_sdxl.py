"""Ours against diffusers' own StableDiffusionXLPipeline and against the official zigzag loop, on tiny random weights.

Both sides hand their network the same rows in the same order; what is left is the arithmetic of a step, float64
against float32.
"""

import dataclasses
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

import zz
from tests.parity import tiny
from zz.diffusion.noise import starting_noise
from zz.diffusion.schedules.timesteps import Timesteps
from zz.experiments.speed.flops import SD21, SDXL
from zz.models.pretrained.borrowed import adapted
from zz.models.sdxl import Micro, StableDiffusionXL, StableDiffusionXLPipeline

T, GAMMA = 7, 4.0
PROMPTS = ["a red star", "three blue rings", "a photo of nothing at all"]
NEGATIVE = ["blurred", "", "a star"]
SIZE, SEEDS = (16, 32), (3, 1, 4)


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def pipe(request):
    return tiny.ready(tiny.sdxl(request.param))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sdxl")
    tiny.sdxl().save_pretrained(path)
    return path


@pytest.fixture
def model(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return StableDiffusionXL(str(folder), size=SIZE)


def latents(n=3):
    return starting_noise(SEEDS[:n], (4, SIZE[0] // 2, SIZE[1] // 2))


def ours(model, sampler=None, *, steps=T, n=3, output="latent", **more):
    return zz.sample(
        model,
        PROMPTS[:n],
        sampler=sampler or zz.Standard(GAMMA),
        steps=steps,
        size=SIZE,
        initial_latents=latents(n),
        output=output,
        **more,
    )


def theirs(pipe, scheduler=None, gamma=GAMMA, output="latent", **more):
    before = pipe.scheduler
    pipe.scheduler = scheduler or DDIMScheduler.from_config(before.config, clip_sample=False, set_alpha_to_one=True)
    try:
        return pipe(
            PROMPTS,
            height=SIZE[0],
            width=SIZE[1],
            num_inference_steps=T,
            guidance_scale=gamma,
            latents=latents(),
            output_type=output,
            **more,
        ).images
    finally:
        pipe.scheduler = before


@pytest.mark.parametrize("gamma", [1.0, GAMMA])
@pytest.mark.parametrize("negative", [None, NEGATIVE])
def test_latents_are_those_of_diffusers(pipe, gamma, negative):
    found = ours(pipe, zz.Standard(gamma), negative_prompt=negative)
    assert found.dtype == torch.float32
    tiny.close(found, theirs(pipe, gamma=gamma, negative_prompt=negative))


def test_latents_are_those_of_its_own_euler(pipe):
    """Euler ends at sigma 0, as DDIM does at alpha 1; with leading spacing it scales the noise as we do."""
    tiny.close(ours(pipe), theirs(pipe, scheduler=pipe.scheduler))


def test_the_last_node_is_what_the_scheduler_says(pipe):
    """SDXL base's own file says set_alpha_to_one: false."""
    ddim = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, set_alpha_to_one=False)
    tiny.close(ours(pipe, schedule=Timesteps("leading", 1, "first")), theirs(pipe, scheduler=ddim))


def test_pictures_are_those_of_diffusers(pipe):
    found = ours(pipe, output="image", negative_prompt=NEGATIVE)
    for a, b in zip(found, theirs(pipe, output="pil", negative_prompt=NEGATIVE), strict=True):
        assert a.size == b.size == SIZE[::-1]
        assert np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1


def test_no_negative_prompt_is_not_an_empty_one(pipe):
    """None is zeros here, "" is encoded; in one batch each row is as it is alone."""
    none, empty = ours(pipe, n=1), ours(pipe, n=1, negative_prompt="")
    assert (none - empty).abs().max() > 1e-3 * none.abs().max()
    with adapted(pipe) as opened:
        _, uncond = opened.encode(PROMPTS, [None, "", "a star"])
    assert not uncond.tokens[0].any() and not uncond.pooled[0].any()
    assert uncond.tokens[1].any() and uncond.pooled[1].any()
    expected = pipe.encode_prompt(PROMPTS[1:], negative_prompt=["", "a star"])
    assert torch.allclose(uncond.tokens[1:], expected[1], atol=1e-5)
    assert torch.allclose(uncond.pooled[1:], expected[3], atol=1e-5)


def test_a_model_without_zeros_encodes_an_empty_text():
    pipe = tiny.ready(tiny.sdxl(force_zeros_for_empty_prompt=False))
    assert torch.equal(ours(pipe, n=1), ours(pipe, n=1, negative_prompt=""))


def test_micro_conditioning(model, folder):
    """What the network is told of sizes; (height, width) of the picture where nothing else is said."""
    told = {"original_size": (64, 48), "target_size": (32, 16), "crop": (4, 2)}
    with dataclasses.replace(model, **told).open() as opened:
        pipe, found = tiny.ready(opened.parts), ours(opened)
    own = ours(model)
    crop = told.pop("crop")
    tiny.close(found, theirs(pipe, **told, crops_coords_top_left=crop))
    tiny.close(own, theirs(pipe))
    assert (found - own).abs().max() > 1e-3 * own.abs().max()
    assert dataclasses.replace(model, crop=(4, 2)).identity() != model.identity()
    with pytest.raises(ValueError, match=r"model\.crop=\[1\] must be two whole numbers"):
        StableDiffusionXL(str(folder), crop=[1])


def official(pipe, steps, gamma1, gamma2, rounds, inversion):
    """The official code's loop as it is described, over diffusers' schedulers; `exact` is what the paper means by it.

    Step down; then, but for the last step, rounds of: back up, telling the network the same time, and down again.
    """
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, set_alpha_to_one=False)
    inverse = DDIMInverseScheduler.from_config(scheduler.config)
    scheduler.set_timesteps(steps)
    inverse.set_timesteps(steps)
    cond, uncond, pooled, unpooled = pipe.encode_prompt(PROMPTS[:1])
    ids = torch.tensor([[*SIZE, 0, 0, *SIZE]] * 2, dtype=cond.dtype)
    added = {"text_embeds": torch.cat([unpooled, pooled]), "time_ids": ids}

    def guided(x, time, gamma):
        rows = pipe.unet(torch.cat([x, x]), time, torch.cat([uncond, cond]), added_cond_kwargs=added).sample
        u, c = rows.chunk(2)
        return u + gamma * (c - u)

    x = latents(1)
    for i, time in enumerate(scheduler.timesteps):
        x = scheduler.step(guided(x, time, gamma1), time, x).prev_sample
        if i < steps - 1:
            target = time if inversion == "exact" else scheduler.timesteps[i + 1]
            for _ in range(rounds):
                x = inverse.step(guided(x, time, gamma2), target, x).prev_sample
                x = scheduler.step(guided(x, time, gamma1), time, x).prev_sample
    return x


@pytest.mark.parametrize("inversion", ["exact", "ref_0_22"])
@pytest.mark.parametrize(
    ("steps", "rounds"),
    [(4, 1), (4, 2), (10, 1), (10, 2), *(pytest.param(50, r, marks=pytest.mark.ci) for r in (1, 2))],
)
def test_zigzag_is_the_official_loop(steps, rounds, inversion):
    pipe = tiny.ready(tiny.sdxl())
    sampler = zz.Zigzag(5.5, 0.0, rounds=rounds, inversion=inversion)
    found = ours(pipe, sampler, steps=steps, n=1, schedule=Timesteps("leading", 1, "first"))
    tiny.close(found, official(pipe, steps, 5.5, 0.0, rounds, inversion), 1e-3)


def test_the_two_readings_of_the_inversion_are_apart():
    pipe = tiny.ready(tiny.sdxl())
    a, b = (official(pipe, 4, 5.5, 0.0, 1, inversion) for inversion in ("exact", "ref_0_22"))
    assert (a - b).abs().max() > 0.01 * a.abs().max()


@pytest.mark.parametrize("gamma2", [0.0, 1.0, 2.5, GAMMA])
def test_rows_are_counted(pipe, gamma2):
    """A zag at 0 or 1 asks for one branch; everything else for both."""
    rows, sampler = [], zz.Zigzag(GAMMA, gamma2, lambda_=2)
    hook = pipe.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    found = ours(pipe, sampler)
    hook.remove()
    assert found.isfinite().all() and len(rows) == sampler.nfe(T)
    one = [3] * 2 if gamma2 in (0.0, 1.0) else [6] * 2
    assert sorted(rows) == sorted(one + [6] * (T + 2))


def test_zigzag_without_zigzags_is_standard(pipe):
    standard = ours(pipe)
    assert torch.equal(standard, ours(pipe, zz.Zigzag(GAMMA, lambda_=0)))
    assert not torch.equal(standard, ours(pipe, zz.Zigzag(GAMMA)))


def test_half_precision_decodes_in_full_where_its_autoencoder_overflows(model):
    """And leaves the autoencoder in half, to the bit."""
    asked = []
    with model.open(precision="16") as opened:
        vae = opened.parts.vae
        vae.decoder.register_forward_pre_hook(lambda _, args: asked.append(args[0].dtype))
        before = {name: p.clone() for name, p in vae.named_parameters()}
        for forced in (True, False):
            vae.register_to_config(force_upcast=forced)
            pictures = opened.decode(latents())
            assert pictures.shape == (3, *SIZE, 3) and pictures.dtype == torch.uint8
        assert all(torch.equal(p, before[name]) and p.dtype == torch.float16 for name, p in vae.named_parameters())
    assert asked == [torch.float32, torch.float16]


def test_latents_with_a_mean_and_a_deviation():
    stated = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.0, 2.0, 0.5, 1.5]}
    pipe = tiny.ready(tiny.sdxl(vae=tiny.vae(**stated)))
    for a, b in zip(ours(pipe, output="image"), theirs(pipe, output="pil"), strict=True):
        assert np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1


def test_a_folder_is_what_was_saved_in_it(model):
    tiny.close(ours(model), ours(tiny.ready(tiny.sdxl())), 1e-5)


FULL = {"sd21": (0.866, tiny.sd, SD21), "sdxl": (2.567, tiny.sdxl, SDXL)}  # billions of parameters as published


def test_what_none_means_is_part_of_what_it_is(folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "moved")
    index = json.loads((moved / "model_index.json").read_text())
    (moved / "model_index.json").write_text(json.dumps(index | {"force_zeros_for_empty_prompt": False}))
    assert StableDiffusionXL(str(moved)).identity() != StableDiffusionXL(str(folder)).identity()


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_size_networks_fit_without_weights(name):
    """The published sizes on the meta device: parameters, picture size, and the shapes of a call with both branches."""
    billions, build, config = FULL[name]
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**config)
    assert sum(p.numel() for p in unet.parameters()) / 1e9 == pytest.approx(billions, abs=5e-4)
    vae = tiny.vae()
    with adapted(build(unet=unet, vae=vae)) as opened:
        side = config["sample_size"]
        assert opened.size == (side * 2, side * 2)  # the tiny autoencoder halves once, the published one three times
        shape = opened.shape(opened.size)
        x, node = torch.empty(1, *shape, device="meta"), opened.schedule.nodes(opened.levels, 4)[0]
        text = torch.empty(1, 77, config["cross_attention_dim"], device="meta")
        cond = text if name == "sd21" else (text, torch.empty(1, 1280, device="meta"))
        said = opened(x, node, cond, cond)
    assert [p.eps.shape for p in said] == [(1, *shape)] * 2


def test_ours_over_their_parts_takes_micro_conditioning(pipe):
    plain = ours(StableDiffusionXLPipeline(pipe), n=1)
    other = ours(StableDiffusionXLPipeline(pipe, micro=Micro(crop=(8, 8))), n=1)
    assert torch.equal(plain, ours(pipe, n=1)) and not torch.equal(plain, other)
