"""zz.sample: what a stranger's script sees."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import zz
from zz.diffusion.schedules.timesteps import Timesteps

PROMPTS = ["a red circle", "a blue star", "a green square"]
FAST = {"steps": 4}


def test_pictures_and_latents():
    images = zz.sample(zz.Mixture(), PROMPTS, **FAST)
    assert [type(i) for i in images] == [Image.Image] * 3 and images[0].size == (32, 32)
    latents = zz.sample(zz.Mixture(), PROMPTS, output="latent", **FAST)
    assert latents.shape == (3, 3, 32, 32) and latents.dtype == torch.float32
    assert len(zz.sample(zz.Mixture(), "a red circle", size=(24, 40), **FAST)) == 1


def test_a_batch_size_changes_nothing_but_the_batches():
    whole = zz.sample(zz.Mixture(), PROMPTS, seeds=[5, 6, 7], output="latent", **FAST)
    for batch_size in (1, 2):
        parts = zz.sample(zz.Mixture(), PROMPTS, seeds=[5, 6, 7], output="latent", batch_size=batch_size, **FAST)
        assert torch.allclose(whole, parts, atol=1e-5)
    other = zz.sample(zz.Mixture(), PROMPTS, seeds=[5, 6, 8], output="latent", **FAST)
    assert torch.equal(whole[:2], other[:2]) and not torch.allclose(whole[2], other[2], atol=1e-3)


def test_seeds_may_be_anybodys_integers():
    ours = zz.sample(zz.Mixture(), PROMPTS, seeds=[5, 6, 7], output="latent", **FAST)
    for seeds in (range(5, 8), np.array([5, 6, 7]), torch.tensor([5, 6, 7])):
        assert torch.equal(ours, zz.sample(zz.Mixture(), PROMPTS, seeds=seeds, output="latent", **FAST))


def test_prompt_i_is_sampled_with_seed_plus_i():
    """As on the command line."""
    ours = zz.sample(zz.Mixture(), PROMPTS, seed=5, output="latent", **FAST)
    assert torch.equal(ours, zz.sample(zz.Mixture(), PROMPTS, seeds=[5, 6, 7], output="latent", **FAST))
    assert torch.equal(ours[:1], zz.sample(zz.Mixture(), PROMPTS[0], seed=np.int64(5), output="latent", **FAST))
    plain = zz.sample(zz.Mixture(), PROMPTS, output="latent", **FAST)
    assert torch.equal(plain, zz.sample(zz.Mixture(), PROMPTS, seed=0, output="latent", **FAST))


@pytest.mark.parametrize("function", [zz.sample, zz.invert])
def test_what_is_nobodys_word_is_refused_as_python_does(function):
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        function(zz.Mixture(), PROMPTS, PROMPTS, stepz=4) if function is zz.invert else function(None, "", stepz=4)


def test_words_that_the_embedded_model_does_not_know_are_refused_with_those_it_knows():
    said = "does not know cat; it knows a, above, an, and, below"
    with pytest.raises(ValueError, match=f"prompt 'a photo of a cat': this model {said}"):
        zz.sample(zz.shapes(), "a photo of a cat", steps=1)
    with pytest.raises(ValueError, match=said):
        zz.sample(zz.shapes(), "a photo of a Red star", negative_prompt="cat", steps=1)
    with pytest.raises(ValueError, match="does not know 星, !, 3; it knows"):
        zz.shapes().check((32, 32), ["a photo of a star", "", "A 星!  3"])
    with zz.shapes().open() as pipeline, pytest.raises(ValueError, match=said):
        zz.sample(pipeline, "a photo of a cat", steps=1)


def test_prompts_that_are_cut_are_one_warning_and_nothing_of_the_libraries(capfd):
    texts = ["a photo of a red star", *[f"a photo of {'a red star and ' * n}a ring" for n in (3, 4, 5)]]
    with zz.shapes().open() as pipeline:
        with pytest.warns(UserWarning) as told:
            zz.sample(pipeline, texts, steps=1, batch_size=1)
        (line,) = [str(one.message) for one in told]
        assert line == (
            "3 prompts are longer than the text encoder reads (16 tokens) and cut there; the first: "
            "'a photo of a red star and a red star and a red star and a ri...'"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            zz.sample(pipeline, texts[:1], steps=1)
    assert "truncated" not in "".join(capfd.readouterr())


def test_the_state_is_float32_whatever_it_begins_with():
    half = torch.randn(len(PROMPTS), 3, 32, 32).half()
    ours = zz.sample(zz.Mixture(), PROMPTS, initial_latents=half, output="latent", **FAST)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, zz.sample(zz.Mixture(), PROMPTS, initial_latents=half.float(), output="latent", **FAST))


def test_initial_latents_stand_in_for_the_noise():
    noise = torch.stack([torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(n)) for n in range(3)])
    ours = zz.sample(zz.Mixture(), PROMPTS, output="latent", **FAST)
    assert torch.equal(ours, zz.sample(zz.Mixture(), PROMPTS, initial_latents=noise, output="latent", **FAST))


def test_a_negative_prompt_is_the_other_branch():
    model, prompt = zz.Mixture(), "a circle on the left"
    plain = zz.sample(model, prompt, sampler=zz.Standard(gamma1=3.0), output="latent", **FAST)
    negative = zz.sample(model, prompt, sampler=zz.Standard(gamma1=3.0), negative_prompt="red", output="latent", **FAST)
    empty = zz.sample(model, prompt, sampler=zz.Standard(gamma1=3.0), negative_prompt="", output="latent", **FAST)
    assert torch.equal(plain, empty) and not torch.allclose(plain, negative, atol=1e-3)


def test_an_open_model_stays_open():
    with zz.Mixture().open() as pipeline:
        one = zz.sample(pipeline, PROMPTS, size=32, output="latent", **FAST)
        two = zz.sample(pipeline, PROMPTS, size=32, output="latent", **FAST)
    assert torch.equal(one, two)


BAD = [
    ({"prompts": []}, "prompts="),
    ({"prompts": [5]}, "prompts="),
    ({"steps": 0}, "steps=0"),
    ({"steps": 3.0}, "steps=3.0"),
    ({"size": 32.5}, "size=32.5"),
    ({"size": 8}, "size=8x8"),
    ({"seeds": 5}, "seeds=5"),
    ({"seeds": [1.5, 2, 3]}, "seeds=1.5"),
    ({"seeds": [-1, 2, 3]}, "seeds=-1"),
    ({"seed": 1.5}, "seed=1.5"),
    ({"seed": -1}, "seed=-1"),
    ({"seed": None}, "seed=None"),
    ({"seed": 2**63 - 2}, "seeds=9223372036854775808 is too large"),
    ({"seed": 1, "seeds": [1, 2, 3]}, "seed=1 and seeds=[1, 2, 3] are both given".replace("[", r"\[")),
    ({"generator": torch.Generator()}, "what it is here: seed=0 (prompt i is sampled with seed"),
    ({"num_inference_steps": 20}, "num_inference_steps=20 is not a word of zz.sample; what it is here: steps=50"),
    ({"guidance_scale": 5}, "guidance_scale=5 is not a word of zz.sample; what it is here: sampler=zz.Zigzag(gamma1="),
    ({"num_images_per_prompt": 2}, "what it is here: prompts="),
    ({"height": 64}, "what it is here: size=(height, width)"),
    ({"prompts": ["a\0b"]}, "holds a NUL character"),
    ({"prompts": ["\udcff"]}, "is not UTF-8"),
    ({"negative_prompt": [None, 5, "red"]}, "negative_prompt=5 must be a text"),
    ({"seeds": [1]}, "seeds has 1 entries for 3 prompts"),
    ({"negative_prompt": ["red"]}, "negative_prompt has 1 entries"),
    ({"sampler": "zigzag"}, "sampler='zigzag' must be a Sampler"),
    ({"sampler": zz.Zigzag}, "must be a Sampler"),
    ({"solver": "ddim"}, "solver='ddim' must be a Solver"),
    ({"guidance": 5.5}, "guidance=5.5 must be a Guidance"),
    ({"schedule": "trailing"}, "schedule='trailing' must be a Schedule"),
    ({"initial_latents": np.zeros((3, 3, 32, 32))}, "initial_latents"),
    ({"initial_latents": 5}, "initial_latents=5 must be a Tensor"),
    ({"negative_prompt": 5}, "negative_prompt=5 must be a text"),
    ({"initial_latents": torch.zeros(3, 4, 32, 32)}, "initial_latents has shape"),
    ({"output": "pil"}, "output='pil'"),
    ({"batch_size": 0}, "batch_size=0"),
    ({"sampler": zz.Zigzag(lambda_=9)}, "lambda=9"),
    ({"schedule": Timesteps("leading", 1), "steps": 2000}, "steps=2000"),
    ({"sampler": zz.GuidanceMatched(), "guidance": zz.CFG(rescale=0.5)}, "affine"),
    ({"model": "sdxl"}, "model='sdxl' is no model"),
]


@pytest.mark.parametrize(("fields", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_is_refused_by_name(fields, message):
    arguments = {"model": zz.Mixture(), "prompts": PROMPTS, "steps": 4} | fields
    with pytest.raises(ValueError, match="(?s)" + message.replace("(", r"\(").replace(")", r"\)")):
        zz.sample(arguments.pop("model"), arguments.pop("prompts"), **arguments)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(AttributeError, match="Zigzag"):
        _ = zz.ZigZag
