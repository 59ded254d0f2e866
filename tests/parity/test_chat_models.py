"""What Qwen-Image, Z-Image and FLUX.2 [klein] each have of their own: scales, schedules, sizes and refusals."""

import dataclasses
from inspect import signature

import diffusers
import numpy as np
import pytest
import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

import zz
from tests.parity import tiny, tiny_chat
from tests.parity.test_true_guidance import FAMILIES, GAMMA, NEGATIVE, SIZE
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.network import Guided
from zz.diffusion.prediction import from_velocity
from zz.models.qwen_image import QwenImage

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


def test_latents_are_those_of_qwen_image_with_its_rescaling():
    family = FAMILIES["qwen_image"]
    pipe = tiny.ready(family.make())
    theirs = family.theirs(pipe, GAMMA, NEGATIVE, family.x)
    tiny.close(family.ours(pipe, guidance=Renormed(), negative_prompt=NEGATIVE), theirs, 1e-5)
    assert (family.ours(pipe, negative_prompt=NEGATIVE) - theirs).abs().max() > 1e-3 * theirs.abs().max()


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
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
    with pytest.warns(UserWarning, match="longer than the text encoder reads"):
        found = family.ours(short)
    assert (found - family.ours(model)).abs().max() > 1e-4
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
    with pytest.raises(ValueError, match=r"with guidance_embeds=True, which .* gives nothing to read; is it of FLUX.2"):
        zz.sample(tiny_chat.flux2_klein(transformer=dev), "a", steps=2)
    with pytest.raises(
        ValueError, match="the Flux2KleinPipeline's tokenizer has no chat_template, in which its prompts"
    ):
        zz.sample(tiny_chat.flux2_klein(tokenizer=tiny_chat.chat_tokenizer()), "a", steps=2)
