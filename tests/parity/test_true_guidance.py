"""Ours against diffusers' own Qwen-Image, Z-Image and FLUX.2 [klein], on tiny random weights: true guidance in flows."""

import dataclasses
import json
import re
import shutil
from inspect import signature

import diffusers
import numpy as np
import pytest
import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

import zz
from tests.parity import tiny, tiny_chat
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.network import Guided
from zz.diffusion.noise import starting_noise
from zz.diffusion.prediction import from_velocity
from zz.models.attention.reading import Reading, watched
from zz.models.doctor import health
from zz.models.flux2_klein import Flux2Klein
from zz.models.pretrained.borrowed import adapted
from zz.models.qwen_image import QwenImage
from zz.models.z_image import ZImage

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
PUBLISHED = {  # billions of parameters as published, and what moves their count in the published configuration
    "qwen_image": (20.4, diffusers.QwenImageTransformer2DModel, {}),  # of which the class's defaults are
    "z_image": (6.2, diffusers.ZImageTransformer2DModel, {}),  # the same
    "flux2_klein": (  # the class's defaults are FLUX.2 [dev]'s; this is the 4B's, with three layers of Qwen3-4B as text
        3.9,
        diffusers.Flux2Transformer2DModel,
        {
            "num_layers": 5,
            "num_single_layers": 20,
            "num_attention_heads": 24,
            "joint_attention_dim": 3 * 2560,
            "guidance_embeds": False,
        },
    ),
}


class Renormed(Guidance):
    """Guidance as QwenImagePipeline has it: each token of the guided velocity gets the norm of the conditional one."""

    version = 1
    affine = False

    def bind(self, net, cond, uncond):
        def predict(x, node, gamma, leg):
            u, c = (one.eps - one.x0 for one in net(x, node, uncond, cond))
            mixed, wanted = (pixel_unshuffle(v, 2) for v in (u + gamma * (c - u), c))
            mixed = mixed * wanted.norm(dim=1, keepdim=True) / mixed.norm(dim=1, keepdim=True)
            return from_velocity(x, node, pixel_shuffle(mixed, 2))

        return Guided(predict)

    def evals(self, gamma, node, leg):
        return 2


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
    tiny.close(found, family.theirs(pipe, GAMMA, negative, family.x))
    other = family.ours(pipe, zz.Standard(GAMMA + 1), negative_prompt=negative)
    assert (found - other).abs().max() > 1e-3 * found.abs().max(), "guidance has no say in the weights of this test"
    if negative:
        assert (found - family.ours(pipe))[0].abs().max() > 1e-3, "nor has a negative prompt"


def test_latents_are_those_of_qwen_image_with_its_rescaling():
    family = FAMILIES["qwen_image"]
    pipe = tiny.ready(family.make())
    theirs = family.theirs(pipe, GAMMA, NEGATIVE, family.x)
    tiny.close(family.ours(pipe, guidance=Renormed(), negative_prompt=NEGATIVE), theirs)
    assert (family.ours(pipe, negative_prompt=NEGATIVE) - theirs).abs().max() > 1e-3 * theirs.abs().max()


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


def test_what_it_is_told_is_what_diffusers_recommends(family):
    """The scale, the steps and the size of the pipeline's own signature."""
    kind = getattr(diffusers, family.describe.kind)
    told = {name: one.default for name, one in signature(kind.__call__).parameters.items()}
    model = family.describe("x")
    assert model.steps == told["num_inference_steps"]
    gamma = told.get("true_cfg_scale", told["guidance_scale"])
    assert model.gamma1 == gamma + (1 if model.name == "z_image" else 0)
    assert model.size == (1024, 1024)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_full_size_network_has_the_published_parameters(name):
    billions, kind, config = PUBLISHED[name]
    with torch.device("meta"):
        network = kind(**config)
    count = sum(p.numel() for p in network.parameters()) / 1e9
    assert round(count, 1) == billions, count
    assert FAMILIES[name].describe.classes["transformer"] == kind.__name__


def test_qwen_image_reads_as_much_text_as_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    family, pipe = FAMILIES["qwen_image"], tiny.ready(tiny_chat.qwen_image())
    pipe.save_pretrained(tmp_path / "it")
    model = QwenImage(str(tmp_path / "it"), size=SIZE)
    short = dataclasses.replace(model, text_tokens=8)
    assert short.identity() != model.identity()
    assert (family.ours(short) - family.ours(model)).abs().max() > 1e-4
    with pytest.raises(ValueError, match=r"model\.text_tokens=2000 is too many: diffusers takes at most 1024"):
        QwenImage("x", text_tokens=2000)
    for name in ("guidance_embeds", "use_additional_t_cond", "use_layer3d_rope"):
        with pytest.raises(ValueError, match=f"has a transformer with {name}=True, which a QwenImagePipeline of diff"):
            zz.sample(tiny_chat.qwen_image(transformer=tiny_chat.qwen_image_transformer(**{name: True})), "a", steps=2)


def test_z_image_needs_a_template_a_patch_and_places():
    for parts, message in (
        (
            {"tokenizer": tiny_chat.chat_tokenizer()},
            "the ZImagePipeline's tokenizer has no chat_template, in which its",
        ),
        (
            {"transformer": tiny_chat.z_image_transformer(all_patch_size=(4,))},
            r"has a transformer with all_patch_size=\[4\]; one with 2 is needed",
        ),
        (
            {"transformer": tiny_chat.z_image_transformer(axes_lens=[1024, 8, 8])},
            "size=64x144 is too large: this network knows places up to 128 pixels",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            zz.sample(tiny_chat.z_image(**parts), "a", steps=2, size=(64, 144))


def test_flux2_klein_shifts_by_size_and_steps():
    """As diffusers does it, on both sides of the size beyond which the steps have no say."""
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

    for side in (512, 1024, 1536):
        for steps in (4, 50):
            own = zz.diffusion.schedules.shifted.Shifted(np.exp(compute_empirical_mu((side // 16) ** 2, steps)))
            found = zz.ShiftedBySteps().sized((side, side)).nodes(zz.diffusion.levels.Flow(), steps)
            assert [n.sigma for n in found] == pytest.approx([n.sigma for n in own.nodes(found.levels, steps)])
    with pytest.raises(ValueError, match="shifts its times by the picture's size; give size, or schedule=shifted"):
        zz.ShiftedBySteps().nodes(zz.diffusion.levels.Flow(), 4)


def test_flux2_klein_is_not_dev():
    dev = tiny_chat.flux2_transformer(guidance_embeds=True)
    with pytest.raises(
        ValueError, match=r"with guidance_embeds=True, which .* gives no scale to read; is it of FLUX.2"
    ):
        zz.sample(tiny_chat.flux2_klein(transformer=dev), "a", steps=2)
    with pytest.raises(
        ValueError, match="the Flux2KleinPipeline's tokenizer has no chat_template, in which its prompts"
    ):
        zz.sample(tiny_chat.flux2_klein(tokenizer=tiny_chat.chat_tokenizer()), "a", steps=2)
