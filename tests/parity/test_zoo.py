"""The models of the zoo: ordinary to diffusers, the same under our loop, and what their cards say they are."""

import hashlib
import json
import re
from functools import cache

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

import zz
from tests.make import said
from zz.cli.conf import conf_dir
from zz.cli.config import build
from zz.data.motion_prompts import WORDS, ShapesMotionTune
from zz.data.shapes_prompts import TAGS, VOCABULARY
from zz.diffusion.noise import starting_noise
from zz.diffusion.schedules.timesteps import Timesteps
from zz.hub.files import EMBEDDED
from zz.models.pretrained.known import known_sizes, known_words
from zz.scorers.shapes.motion import MotionCorrect
from zz.scorers.shapes.scorers import ShapesCorrect
from zz.worlds.motion import MOTIONS

diffusers = pytest.importorskip("diffusers")

PROMPTS = ["a photo of a red star and a blue circle", "a photo of three squares", "a photo of a ring above a heart"]
WHOLE = ["shapes_v", "shapes_turbo", "shapes_flow", "shapes_xl", "shapes_dit"]  # folders of a pipeline
PARTS = {"shapes_turbo_free": "shapes_turbo", "shapes_dpo": "shapes"}  # a U-Net alone, and whose it takes the place of
ZOO = [*WHOLE, *PARTS]
CLIPS = "shapes_motion"  # motion modules, and words for motion, on `shapes`
TOLD = {"shapes_dit": {"use_resolution_binning": False}}  # else its pipeline draws at 1024 pixels


@cache
def described(name):
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return build(compose("config", overrides=[f"model={name}"]).model)


@cache
def theirs(name):
    """As a stranger loads it, with the DDIM of its scheduler's levels where it is no flow."""
    without = {"text_encoder_3": None, "tokenizer_3": None} if name == "shapes_flow" else {}
    if name in PARTS:
        without = {"unet": diffusers.UNet2DConditionModel.from_pretrained(EMBEDDED / name, subfolder="unet")}
    pipeline = diffusers.DiffusionPipeline.from_pretrained(EMBEDDED / PARTS.get(name, name), **without)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("negative", [None, "a photo of a star"])
def test_standard_sampling_is_that_of_its_own_pipeline(name, negative):
    """Same start, same latents: 1e-4 of the largest value."""
    model = described(name)
    with model.open() as opened:
        shape = opened.shape(model.size)
    x_T = starting_noise((0, 1, 2), shape)
    told = {"negative_prompt": [negative] * 3} if negative else {}
    told |= {"max_sequence_length": model.t5_tokens} if name == "shapes_flow" else TOLD.get(name, {})
    height, width = model.size
    wanted = theirs(name)(
        PROMPTS,
        height=height,
        width=width,
        num_inference_steps=4,
        guidance_scale=3.0,
        latents=x_T.clone(),
        output_type="latent",
        **told,
    ).images
    found = zz.sample(
        model,
        PROMPTS,
        sampler=zz.Standard(3.0),
        steps=4,
        initial_latents=x_T,
        negative_prompt=negative,
        output="latent",
    )
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.ci] * (one in ("shapes_flow", "shapes_dit"))) for one in ZOO]
)
def test_it_draws_what_it_is_asked_for_in_plain_diffusers(name):
    """Single objects, right in more than nine of ten by its card: of 16 at least 11."""
    model = described(name)
    texts = [f"a photo of a {shape}" for shape in ("circle", "square", "triangle", "star") * 4]
    with model.open() as opened:
        x_T = starting_noise(range(16), opened.shape(model.size))
    height, width = model.size
    images = theirs(name)(
        texts,
        height=height,
        width=width,
        num_inference_steps=min(model.steps, 10),
        guidance_scale=model.gamma1,
        latents=x_T,
        **TOLD.get(name, {}),
    ).images
    with ShapesCorrect().open() as score:
        assert sum(score(images, said(texts))) >= 11


@cache
def filmed():
    """As a stranger loads the model of clips."""
    base = diffusers.DiffusionPipeline.from_pretrained(EMBEDDED / "shapes")
    adapter = diffusers.MotionAdapter.from_pretrained(EMBEDDED / CLIPS, subfolder="motion_adapter")
    pipeline = diffusers.AnimateDiffPipeline.from_pretrained(
        EMBEDDED / CLIPS, unet=base.unet, vae=base.vae, motion_adapter=adapter
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize("negative", [None, "a photo of a star growing"])
def test_clips_by_standard_sampling_are_those_of_its_own_pipeline(negative):
    """Same start, same latents: 1e-4 of the largest value."""
    model, texts = described(CLIPS), ["a photo of a red star moving left", "a photo of a blue ring growing"]
    with model.open() as opened:
        x_T = starting_noise((0, 1), opened.shape(model.size))
    told = {"negative_prompt": [negative] * 2} if negative else {}
    wanted = filmed()(texts, 8, 32, 32, 4, 3.0, latents=x_T.clone(), output_type="latent", **told).frames
    found = zz.sample(
        model,
        texts,
        sampler=zz.Standard(3.0),
        steps=4,
        schedule=Timesteps("leading", 1, "first"),
        initial_latents=x_T,
        negative_prompt=negative,
        output="latent",
    )
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.ci
def test_clips_move_as_they_are_asked_to_in_plain_diffusers():
    prompts = ShapesMotionTune().prompts[:10]
    x_T = starting_noise(range(10), (6, 8, 8, 8))
    clips = filmed()([one.text for one in prompts], 8, 32, 32, 10, described(CLIPS).gamma1, latents=x_T).frames
    with MotionCorrect().open() as score:
        assert sum(score(clips, prompts)) >= 5


@pytest.mark.parametrize("name", [*ZOO, CLIPS])
def test_the_card_names_the_very_weights_and_how_well_they_do(name):
    folder = EMBEDDED / name
    card = (folder / "MODEL_CARD.md").read_text()
    digests = dict(re.findall(r"^- (\S+\.safetensors): ([0-9a-f]{64})$", card, re.M))
    weights = {str(path.relative_to(folder)): path for path in folder.rglob("*.safetensors")}
    assert weights.keys() == digests.keys() and weights
    for file, path in weights.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digests[file]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 20e6
    shares = dict(re.findall(r"^\| (\w+) \| \d+ \| \d+ \| ([\d.]+) \| [\d.]+ \| [\d.]+ \|$", card, re.M))
    assert shares.keys() == {*(MOTIONS if name == CLIPS else TAGS), "all"}
    assert float(shares["all"]) >= 45, "less is not shipped"
    assert not [path for path in folder.rglob("*.json") if "_name_or_path" in path.read_text()], "no path stays"


@pytest.mark.parametrize("name", [*ZOO, CLIPS])
def test_its_recommended_guidance_is_the_best_of_its_card(name):
    card = (EMBEDDED / name / "MODEL_CARD.md").read_text()
    assert float(re.search(r"^## Accuracy at guidance (\S+)$", card, re.M)[1]) == described(name).gamma1


@pytest.mark.parametrize("name", [*WHOLE, CLIPS])
def test_it_says_what_it_knows(name):
    model = described(name)
    assert known_words(EMBEDDED / name) == set(WORDS if name == CLIPS else VOCABULARY)
    assert model.size in known_sizes(EMBEDDED / name)
    with pytest.raises(ValueError, match=r"size=\[40,40\]: this model knows pictures of \[\d+,\d+\].* only"):
        zz.sample(model, "a photo of a star", size=40)
    with pytest.raises(ValueError, match=r"size=\[40,40\]: this model knows"), model.open() as opened:
        zz.sample(opened, "a photo of a star", size=40)
    with pytest.raises(ValueError, match="does not know cat; it knows a, above"):
        zz.sample(model, "a photo of a cat")


def test_a_folder_without_sizes_takes_any(tmp_path):
    assert known_sizes(tmp_path) is None
    (tmp_path / "sizes.json").write_text(json.dumps([[32, 48]]))
    known_sizes.cache_clear()
    assert known_sizes(tmp_path) == ((32, 48),)
    assert np.shape(known_sizes(tmp_path)) == (1, 2)
