"""Ours against diffusers' own Qwen-Image, Z-Image and FLUX.2 [klein], on tiny random weights: flows, true guidance."""

import dataclasses
import json
import re
import shutil

import diffusers
import numpy as np
import pytest
import torch

import zz
from tests.parity import tiny, tiny_chat
from zz.diffusion.noise import starting_noise
from zz.models.attention.reading import Reading, watched
from zz.models.doctor import health
from zz.models.flux2_klein import Flux2Klein
from zz.models.pretrained.borrowed import adapted
from zz.models.qwen_image import QwenImage
from zz.models.z_image import ZImage

pytestmark = pytest.mark.slow  # with those of their kind, about a minute

T, GAMMA = 4, 4.0
PROMPTS, NEGATIVE = ["a red star", "three blue rings, one of them large"], ["a ring", ""]
SIZE, SEEDS = (64, 96), (3, 1)


def qwen_image(pipe, gamma, negative, x, output="latent", prompts=PROMPTS):
    """With diffusers' own rescaling of the guided velocity; without a negative prompt it would not guide at all."""
    said = pipe(
        *(prompts, negative or [""] * len(prompts), gamma, *SIZE, T),
        latents=pipe._pack_latents(x, *x.shape),
        output_type=output,
    ).images
    return pipe._unpack_latents(said, *SIZE, pipe.vae_scale_factor)[:, :, 0] if output == "latent" else said


def z_image(pipe, gamma, negative, x, output="latent", prompts=PROMPTS):
    """diffusers' scale is of what is added to the conditional branch."""
    told = {"guidance_scale": gamma - 1, "negative_prompt": negative and list(negative)}  # it changes its lists
    return pipe(list(prompts), *SIZE, T, latents=x, output_type=output, **told).images


def flux2_klein(pipe, gamma, negative, x, output="latent", prompts=PROMPTS):
    """Its latents come back as the autoencoder's. It knows no negative prompt but what is encoded already."""
    said = pipe(
        prompt=prompts,
        negative_prompt_embeds=pipe.encode_prompt(negative)[0] if negative else None,
        guidance_scale=gamma,
        height=SIZE[0],
        width=SIZE[1],
        num_inference_steps=T,
        latents=x,
        output_type=output,
    ).images
    if output != "latent":
        return said
    bn = pipe.vae.bn
    return torch.nn.functional.batch_norm(
        pipe._patchify_latents(said), bn.running_mean, bn.running_var, eps=pipe.vae.config.batch_norm_eps
    )


@dataclasses.dataclass(frozen=True)
class Family:
    """A pipeline of diffusers, how it samples, and what we call it."""

    make: object
    theirs: object
    shape: tuple
    describe: object

    @property
    def x(self):
        return starting_noise(SEEDS, self.shape)

    def ours(self, model, sampler=None, prompts=PROMPTS, **more):
        settings = {"steps": T, "size": SIZE, "initial_latents": self.x, "output": "latent"}
        return zz.sample(model, prompts, sampler=sampler or zz.Standard(GAMMA), **settings | more)


FAMILIES = {
    "qwen_image": Family(tiny_chat.qwen_image, qwen_image, (16, 8, 12), QwenImage),
    "z_image": Family(tiny_chat.z_image, z_image, (16, 8, 12), ZImage),
    "flux2_klein": Family(tiny_chat.flux2_klein, flux2_klein, (128, 4, 6), Flux2Klein),
}


@pytest.fixture(scope="module", params=FAMILIES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def family(name):
    return FAMILIES[name]


@pytest.fixture(scope="module")
def pipe(family):
    return tiny.ready(family.make())


@pytest.fixture(scope="module")
def folder(family, pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    pipe.save_pretrained(path)
    return str(path)


@pytest.fixture
def plain(name, monkeypatch):
    """diffusers' guidance without what it does beside u + gamma * (c - u)."""
    if name == "qwen_image":  # its two norms have ratio 1; those of the autoencoder name their p
        norm = torch.norm
        monkeypatch.setattr(torch, "norm", lambda x, *p, **more: norm(x, *p, **more) if p else torch.ones(()))


@pytest.mark.parametrize("negative", [None, NEGATIVE], ids=["none", "negative"])
def test_latents_are_those_of_diffusers(family, pipe, folder, plain, negative, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = family.describe(folder, size=SIZE)
    found = family.ours(model, negative_prompt=negative)
    assert found.dtype == torch.float32
    tiny.close(found, family.theirs(pipe, GAMMA, negative, family.x), 1e-5)
    other = family.ours(pipe, zz.Standard(GAMMA + 1), negative_prompt=negative)
    assert (found - other).abs().max() > 1e-3 * found.abs().max(), "guidance has no say in the weights of this test"
    if negative:
        assert (found - family.ours(pipe))[0].abs().max() > 1e-3, "nor has a negative prompt"


def test_pictures_are_those_of_diffusers(family, pipe, plain):
    found = family.ours(pipe, output="image")
    for a, b in zip(found, family.theirs(pipe, GAMMA, None, family.x, "pil"), strict=True):
        assert a.size == b.size == SIZE[::-1]
        assert np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1


def test_the_loaded_pipeline_is_the_description(family, pipe, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = family.describe(folder, size=SIZE)
    assert health(model, SIZE, room={"cpu": 1.0})[-1].state == "ok"
    assert torch.equal(family.ours(model), family.ours(pipe))
    with adapted(pipe) as opened:
        levels, spacing = model.noise_levels()
        assert (levels, spacing.sized(SIZE)) == (opened.levels, opened.schedule.sized(SIZE))
        assert model.can == opened.can and opened.size == (1024, 1024)
        assert opened.shape(SIZE) == family.shape
        assert (opened._scaled(opened._unscaled(family.x)) - family.x).abs().max() < 1e-5
        assert opened.encode_image(torch.zeros(1, *SIZE, 3, dtype=torch.uint8)).shape[1:] == family.shape
    assert model.identity() == dataclasses.replace(model, size=(1024, 1024)).identity()


def test_what_the_files_say_is_checked(family, pipe, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = family.describe(folder, size=SIZE)
    other = shutil.copytree(f"{folder}/transformer", tmp_path / "other")
    said = json.loads((other / "config.json").read_text())
    for change, message in (
        ({"in_channels": 12}, r"latents of \d+ channels, but the transformer reads \d+"),
        ({family.describe.pipeline.widths[0]: 7}, r"model\.transformer=.* reads text of width 7, but this model's has"),
        ({"_class_name": "FluxTransformer2DModel"}, r"model\.transformer=.* of class FluxTransformer2DModel, not "),
    ):
        (other / "config.json").write_text(json.dumps(said | change))
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(model, transformer=str(other)).check(SIZE, [])
    for refuse in (lambda: family.ours(pipe, size=(64, 72)), lambda: model.check((64, 72), [])):
        with pytest.raises(ValueError, match=r"size=64x72 must be multiples of 16; choose size=\[64,64\]"):
            refuse()


def test_a_chat_template_is_of_the_identity(name, family, folder, tmp_path, monkeypatch):
    """It moves the encoded text, and the hub has it in a file of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    copy = shutil.copytree(folder, tmp_path / "copy")
    template = copy / "tokenizer" / "chat_template.jinja"
    assert template.is_file() == (name != "qwen_image")
    before = family.describe(folder).identity()
    assert family.describe(str(copy)).identity() == before
    template.write_text(tiny_chat.TURNS.replace("assistant", "painter"))
    assert family.describe(str(copy)).identity() != before


def test_a_lora_is_what_diffusers_fuses(family, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = family.describe(folder, size=SIZE, lora=str(tiny.lora(family.make(), tmp_path / "lora")))
    fused = tiny.ready(family.make())
    fused.load_lora_weights(tmp_path / "lora")
    fused.fuse_lora()
    fused.unload_lora_weights()
    found = family.ours(model)
    tiny.close(found, family.ours(fused), 1e-6)
    assert (found - family.ours(dataclasses.replace(model, lora=None))).abs().max() > 0.01 * found.abs().max()


def test_what_cannot_be_adapted(family):
    for part, wrong, message in (
        ("scheduler", diffusers.DDIMScheduler(), "has a DDIMScheduler; a rectified-flow schedule is needed"),
        ("tokenizer", None, "has no tokenizer, which zz needs"),
        ("text_encoder", None, "has no text_encoder, which zz needs"),
    ):
        with pytest.raises(ValueError, match=message):
            zz.sample(family.make(**{part: wrong}), "a", steps=2, size=64, output="latent")


@pytest.mark.parametrize("gamma2", [0.0, 1.0])
def test_zigzag_is_finite_and_without_zigzags_standard(family, pipe, gamma2):
    standard = family.ours(pipe)
    assert torch.equal(standard, family.ours(pipe, zz.Zigzag(GAMMA, gamma2, lambda_=0)))
    found = family.ours(pipe, zz.Zigzag(GAMMA, gamma2, lambda_=2))
    assert found.isfinite().all() and not torch.equal(standard, found)


def test_a_prediction_does_not_depend_on_its_companions(family, pipe):
    """Alone, beside a longer text and beside a shorter one, in either branch."""
    x = torch.cat([family.x[:1]] * 2)
    with adapted(pipe) as opened:
        node = opened.levels.node(500)
        alone = opened(x[:1], node, *opened.encode(PROMPTS[:1], [None]))
        for other, negative in ((PROMPTS[1] * 3, None), ("a", "b " * 40)):
            beside = opened(x, node, *opened.encode([PROMPTS[0], other], [None, negative]))
            for one, two in zip(alone, beside, strict=True):
                tiny.close(two.eps[:1], one.eps, 1e-5)


def test_half_precision_keeps_its_state_in_full(family, pipe):
    half = tiny.ready(family.make()).to(torch.bfloat16)
    full, found = family.ours(pipe), family.ours(half)
    assert found.dtype == torch.float32
    assert (found - full).abs().max() < 0.1 * full.abs().max(), "bfloat16 keeps three digits, over a few steps two"
    assert family.ours(half, output="image")[0].size == SIZE[::-1]


def test_long_prompts_are_cut_and_named(family, pipe):
    with adapted(pipe) as opened:
        ((tokenizer, most),) = opened.reads.items()
        whole, cut = "a" * most, "a" * (most + 1)
        assert tokenizer == "tokenizer" and opened.cut([whole, cut, ""]) == {cut: most}
        (one, _), node = opened.encode([whole + "b"], [None]), opened.levels.node(500)
        (two, _) = opened.encode([whole + "c"], [None])
        assert torch.equal(opened(family.x[:1], node, one)[0].eps, opened(family.x[:1], node, two)[0].eps)


def test_maps_of_words_are_recorded_without_a_change(family, pipe):
    with adapted(pipe) as opened:
        maps = zz.AttentionMaps(opened, {PROMPTS[0]: ["star"], PROMPTS[1]: ["rings"]}, steps=[0])
        told = {"sampler": zz.Zigzag(GAMMA, 1.0, lambda_=1)}
        assert torch.equal(family.ours(maps, probe=maps.probe, **told), family.ours(opened, **told))
        for n, word in enumerate(("star", "rings")):
            found = maps.mean(word, leg="zag", prompt=n)
            assert found.shape == family.shape[1:] and (found > 0).all() and (found < 1).all()
            at = opened.attends.tokenizers["tokenizer"].start
            ids = pipe.tokenizer(PROMPTS[n]).input_ids
            read = [ids[c - at] for c in maps._locate(PROMPTS[n])[word]]
            assert pipe.tokenizer.decode(read).strip() == word


def looking(pipeline):
    """The network's modules in which the picture looks at the text, in order."""
    return [m for name, m in pipeline.net.named_modules() if re.fullmatch(pipeline.attends.modules, name)]


def test_maps_are_of_the_places_and_tokens_that_are_moved(family, pipe):
    """In the first layer that looks, whose queries know nothing of the text yet."""
    tokens, places = 12, (4, 6)
    with adapted(pipe) as opened:
        (cond, _), node = opened.encode(PROMPTS[:1], [None]), opened.levels.node(500)

        def shares(x, cond):
            reading = Reading(opened.attends, [{n: [n] for n in range(tokens)}], 0, 1, x.shape[2:], places, None)
            with watched(looking(opened)[:1], reading):
                opened(x, node, cond)
            return torch.stack(list(reading.maps()[0].values()))

        torch.manual_seed(0)
        x = family.x[:1]
        before = shares(x, cond)
        step = x.shape[2] // places[0]
        for row, column in ((0, 0), (1, 4), (3, 2)):
            moved = x.clone()
            moved[..., step * row : step * (row + 1), step * column : step * (column + 1)] += 3
            change = (shares(moved, cond) - before).abs().sum(0)
            assert divmod(change.argmax().item(), places[1]) == (row, column), change
        for token in (1, 4, 7):
            change = (shares(x, nudged(cond, token)) - before).abs().flatten(1).sum(1)
            assert change.argmax() == token and change[token] > 1e-4, change


def nudged(cond, token):
    """A condition, whatever its form, with one token of its first text moved."""
    moved = (cond.tokens if isinstance(cond, tuple) else cond)[0].clone()
    moved[token] += torch.randn(moved.shape[-1])
    return (
        cond._replace(tokens=moved[None])
        if isinstance(cond, tuple)
        else [moved]
        if isinstance(cond, list)
        else moved[None]
    )
