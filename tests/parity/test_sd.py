"""Ours against diffusers' own StableDiffusionPipeline, on tiny random weights that are made here.

A random network blows an eps-model's latents up to tens, so agreement is relative to the largest value. Both sides
hand their network the same rows in the same order; what is left is the arithmetic of a step, float64 against float32.
"""

import json
import subprocess
import sys

import diffusers
import numpy as np
import pytest
import torch

import zz
from tests.parity import tiny
from zz.diffusion.noise import starting_noise
from zz.models.sd import StableDiffusion

T, GAMMA = 7, 4.0
PROMPTS = ["a red star", "three blue rings", "a photo of nothing at all"]
NEGATIVE = ["blurred", "", "a star"]
SIZE = (16, 32)  # multiples of 8: the autoencoder halves once, the U-Net twice
SEEDS = (3, 1, 4)


def build(path, prediction_type):
    tiny.sd(prediction_type).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def folder(request, tmp_path_factory):
    return build(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def model(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return StableDiffusion(str(folder), size=SIZE)


def latents():
    return starting_noise(SEEDS, (4, SIZE[0] // 2, SIZE[1] // 2))


def theirs(folder, gamma, negative, output):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        PROMPTS,
        *SIZE,
        num_inference_steps=T,
        guidance_scale=gamma,
        negative_prompt=negative,
        latents=latents(),
        output_type=output,
    ).images


@pytest.mark.parametrize("gamma", [1.0, GAMMA])
@pytest.mark.parametrize("negative", [None, NEGATIVE])
def test_latents_are_those_of_diffusers(model, folder, gamma, negative):
    ours = zz.sample(
        model,
        PROMPTS,
        sampler=zz.Standard(gamma),
        steps=T,
        negative_prompt=negative,
        initial_latents=latents(),
        output="latent",
    )
    expected = theirs(folder, gamma, negative, "latent")
    assert ours.dtype == torch.float32
    tiny.close(ours, expected)


def test_pictures_are_those_of_diffusers(model, folder):
    ours = zz.sample(
        model, PROMPTS, sampler=zz.Standard(GAMMA), steps=T, negative_prompt=NEGATIVE, initial_latents=latents()
    )
    for a, b in zip(ours, theirs(folder, GAMMA, NEGATIVE, "pil"), strict=True):
        assert a.size == b.size == SIZE[::-1]
        assert np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1


def test_the_starting_noise_is_that_of_a_users_generator(model):
    ours = zz.sample(model, PROMPTS[:1], sampler=zz.Standard(GAMMA), steps=T, seeds=[3], output="latent")
    given = zz.sample(
        model, PROMPTS[:1], sampler=zz.Standard(GAMMA), steps=T, initial_latents=latents()[:1], output="latent"
    )
    assert torch.equal(ours, given)


@pytest.mark.slow
def test_zigzag_without_zigzags_is_standard(model):
    each = [
        zz.sample(model, PROMPTS, sampler=sampler, steps=T, seeds=SEEDS, output="latent")
        for sampler in (zz.Standard(GAMMA), zz.Zigzag(GAMMA, lambda_=0), zz.Zigzag(GAMMA))
    ]
    assert torch.equal(each[0], each[1])
    assert not torch.equal(each[0], each[2])


def test_no_negative_prompt_is_an_empty_one(model):
    """As in diffusers: unlike SDXL, there is one null condition."""
    none, empty = (
        zz.sample(model, PROMPTS, sampler=zz.Standard(GAMMA), steps=2, negative_prompt=text, output="latent")
        for text in (None, "")
    )
    assert torch.equal(none, empty)


def test_v_is_read_where_the_node_says(model, folder):
    """In the zag the level that converts v is a choice; it is none for eps."""
    near, far = (
        zz.sample(model, PROMPTS, sampler=zz.Zigzag(GAMMA, v_at=at), steps=T, seeds=SEEDS, output="latent")
        for at in ("t", "s")
    )
    assert torch.equal(near, far) == ("v_prediction" not in folder.name)


@pytest.mark.parametrize("gamma2", [0.0, 1.0, 2.5, GAMMA])
def test_rows_are_counted(model, gamma2):
    """Guidance 0 and 1 ask for one branch, not two."""
    rows = []
    sampler = zz.Zigzag(GAMMA, gamma2, lambda_=2)
    with model.open() as pipeline:
        pipeline.parts.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
        zz.sample(pipeline, PROMPTS, sampler=sampler, steps=T, size=SIZE, output="latent")
    B = len(PROMPTS)
    zags = [B] * 2 if gamma2 in (0.0, 1.0) else [2 * B] * 2
    assert sorted(rows) == sorted(zags + [2 * B] * (T + 2))
    assert len(rows) == sampler.nfe(T)


def test_a_latent_stays_float32_in_half_precision(model):
    with model.open(precision="bf16") as pipeline:
        assert pipeline.parts.unet.dtype == torch.bfloat16
        out = zz.sample(pipeline, PROMPTS, sampler=zz.Standard(GAMMA), steps=2, size=SIZE, output="latent")
        assert out.dtype == torch.float32 and out.isfinite().all()
        pictures = pipeline.decode(out)
    assert pictures.shape == (3, *SIZE, 3) and pictures.dtype == torch.uint8


@pytest.mark.slow
def test_describing_a_model_imports_no_diffusers(model):
    code = (
        "import sys; from zz.models.sd import StableDiffusion; "
        f"m = StableDiffusion({model.pretrained!r}); m.noise_levels(); m.identity(); m.check((64, 64), []); "
        "assert not {'diffusers', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_identity_is_what_is_in_the_folder(model, folder, tmp_path):
    before = model.identity()
    assert before == model.identity()
    other = build(tmp_path / "elsewhere", "v_prediction" if "v_pred" in folder.name else "epsilon")
    assert StableDiffusion(str(other)).identity() == before, "the same weights in another place"
    weights = other / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert StableDiffusion(str(other)).identity() != before


def test_refusals(model, folder, tmp_path):
    with pytest.raises(ValueError, match="size=20x32 must be multiples of 8"):
        model.check((20, 32), PROMPTS)
    with pytest.raises(ValueError, match="precision=8 is not known; known are 32, 16, bf16"):
        model.check(SIZE, PROMPTS, "8")
    with pytest.raises(ValueError, match="neither a folder that is there nor a hub id"):
        StableDiffusion(str(tmp_path / "missing")).check(SIZE, PROMPTS)
    with pytest.raises(ValueError, match=r"it has no model_index\.json"):
        StableDiffusion(str(tmp_path)).check(SIZE, PROMPTS)
    with pytest.raises(ValueError, match=r"model\.pretrained=zz-nobody/nothing"):
        StableDiffusion("zz-nobody/nothing").noise_levels()
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    with pytest.raises(ValueError, match="is a StableDiffusionXLPipeline, not a StableDiffusionPipeline"):
        StableDiffusion(str(tmp_path)).check(SIZE, PROMPTS)
    with (
        pytest.raises(ValueError, match="size=20x32"),
        model.open() as pipeline,
    ):
        pipeline.shape((20, 32))
