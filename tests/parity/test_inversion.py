"""zz.invert against a loop over diffusers' DDIMInverseScheduler, on tiny random weights.

DDIMInverse takes the timestep that it goes TO, and tells the network that one; it comes from timestep - N // T, which
with leading spacing is our next node, and below 0 our final one. It reads a v-prediction where the latent is (v_at=s).
"""

import numpy as np
import pytest
import torch
from PIL import Image

import zz
from tests.parity.tiny import sd
from zz.diffusion.schedules.timesteps import Timesteps
from zz.inversion import read

diffusers = pytest.importorskip("diffusers")

SIZE = (16, 32)
PROMPTS = ["a red star", "three blue rings"]
V_AT = {"epsilon": "t", "v_prediction": "s"}


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / request.param
    sd(request.param).save_pretrained(path)
    return path


@pytest.fixture
def model(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return zz.StableDiffusion(str(folder), size=SIZE)


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    return [Image.fromarray(p) for p in pixels]


def loaded(folder):
    return diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)


def encoded(pipe, images):
    pixels = pipe.image_processor.preprocess(images)
    return pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor


def theirs(pipe, images, gamma, T, final, dtype=torch.float32):
    scheduler = diffusers.DDIMInverseScheduler.from_config(
        pipe.scheduler.config, clip_sample=False, set_alpha_to_one=final == "clean"
    )
    scheduler.set_timesteps(T)
    cond, uncond = pipe.encode_prompt(PROMPTS, "cpu", 1, True, negative_prompt=["", ""])
    x, cond, uncond = (y.to(dtype) for y in (encoded(pipe, images), cond, uncond))
    pipe.unet.to(dtype)
    for time in scheduler.timesteps:
        u, c = pipe.unet(torch.cat([x, x]), time, torch.cat([uncond, cond])).sample.chunk(2)
        x = scheduler.step(u + gamma * (c - u), time, x).prev_sample
    return x


def apart(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.slow
@pytest.mark.parametrize("final", ["first", "clean"])
@pytest.mark.parametrize(("gamma", "T"), [(0.0, 10), (1.0, 7), (3.0, 10)])
def test_latents_are_those_of_ddim_inverse(model, folder, images, gamma, T, final):
    ours = zz.invert(
        model, images, PROMPTS, gamma=gamma, steps=T, schedule=Timesteps("leading", 1, final), v_at=V_AT[folder.name]
    )
    expected = theirs(loaded(folder), images, gamma, T, final, torch.float64)
    rounding = apart(theirs(loaded(folder), images, gamma, T, final), expected)  # a random network magnifies it
    assert ours.shape == (2, 4, 8, 16) and ours.dtype == torch.float32
    assert apart(ours, expected) <= max(1e-4, 2 * rounding)
    if final == "first":
        assert torch.equal(ours, zz.invert(model, images, PROMPTS, gamma=gamma, steps=T, v_at=V_AT[folder.name]))


def test_a_picture_is_encoded_as_diffusers_does(model, folder, images):
    with model.open() as pipeline:
        assert apart(pipeline.encode_image(read(images)), encoded(loaded(folder), images)) <= 1e-5
    with model.open(precision="bf16") as pipeline:
        x = pipeline.encode_image(read(images))
        assert x.dtype == torch.float32 and x.isfinite().all()


def test_zigzag_from_inverted_pictures(model, images):
    x_T = zz.invert(model, images, PROMPTS, steps=4)
    found = zz.sample(model, PROMPTS, sampler=zz.Zigzag(3.0), steps=4, initial_latents=x_T)
    assert [image.size for image in found] == [SIZE[::-1]] * 2


def test_a_picture_of_a_size_that_cannot_be_halved_is_refused(model):
    image = Image.new("RGB", (32, 20))
    with pytest.raises(ValueError, match=r"size=20x32 must be multiples of 8; choose size=\[16,32\]"):
        zz.invert(model, image, "", steps=4)
    with (
        model.open() as pipeline,
        pytest.raises(ValueError, match=r"size=20x32 must be multiples of 8; choose size=\[16,32\]"),
    ):
        zz.invert(pipeline, image, "", steps=4)
