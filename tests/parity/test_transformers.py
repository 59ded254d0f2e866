"""Ours against diffusers' own Hunyuan-DiT, Stable Diffusion 3 and FLUX pipelines, on tiny random weights.

Where they ask their network for both branches in one batch, both sides hand it the same rows; FLUX's asks twice, and
what is left besides the arithmetic of a step is that of one batch against two.
"""

import dataclasses
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch

import zz
from tests.parity import tiny
from zz.diffusion.noise import starting_noise
from zz.experiments.speed.flops import HUNYUAN_DIT
from zz.models.doctor import health
from zz.models.flux import Flux
from zz.models.hunyuan_dit import HunyuanDiT
from zz.models.pretrained.borrowed import adapted
from zz.models.sd3 import StableDiffusion3

T, GAMMA = 4, 3.0
PROMPTS, NEGATIVE = ["a red star", "three blue rings"], ["a ring", ""]
SIZE, SEEDS = (64, 96), (3, 1)


def hunyuan(pipe, gamma, negative, x, output="latent"):
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    told = {"guidance_scale": gamma, "latents": x, "output_type": output, "num_inference_steps": T}
    return pipe(PROMPTS, *SIZE, negative_prompt=negative, use_resolution_binning=False, **told).images


def sd3(pipe, gamma, negative, x, output="latent"):
    told = {"guidance_scale": gamma, "latents": x, "output_type": output, "num_inference_steps": T}
    return pipe(PROMPTS, height=SIZE[0], width=SIZE[1], negative_prompt=negative, **told).images


def flux(pipe, gamma, negative, x, output="latent", embedded=3.5):
    """True guidance; diffusers takes it only with a negative prompt, and none is the empty one here."""
    packed = pipe._pack_latents(x, *x.shape)
    said = pipe(
        PROMPTS,
        negative_prompt=negative or ["", ""],
        true_cfg_scale=gamma,
        guidance_scale=embedded,
        height=SIZE[0],
        width=SIZE[1],
        num_inference_steps=T,
        latents=packed,
        output_type=output,
    ).images
    return pipe._unpack_latents(said, *SIZE, pipe.vae_scale_factor) if output == "latent" else said


def flux_embedded(pipe, gamma, negative, x, output="latent"):
    return flux(pipe, 1.0, negative, x, output, embedded=gamma)


@dataclasses.dataclass(frozen=True)
class Family:
    """A pipeline of diffusers, how it samples, and what we call it."""

    make: object
    theirs: object
    channels: int
    describe: object
    guidance: object = dataclasses.field(default_factory=zz.CFG)

    @property
    def x(self):
        return starting_noise(SEEDS, (self.channels, SIZE[0] // 8, SIZE[1] // 8))

    def ours(self, model, sampler=None, **more):
        settings = {"steps": T, "size": SIZE, "initial_latents": self.x, "guidance": self.guidance, "output": "latent"}
        return zz.sample(model, PROMPTS, sampler=sampler or zz.Standard(GAMMA), **settings | more)


FAMILIES = {
    "hunyuan_11": Family(tiny.hunyuan, hunyuan, 4, HunyuanDiT),
    "hunyuan_12": Family(lambda: tiny.hunyuan("1.2"), hunyuan, 4, HunyuanDiT),
    "sd3": Family(tiny.sd3, sd3, 16, StableDiffusion3),
    "sd3_without_t5": Family(
        lambda: tiny.sd3(text_encoder_3=None, tokenizer_3=None), sd3, 16, lambda at: StableDiffusion3(at, t5=False)
    ),
    "flux_dev": Family(tiny.flux, flux, 16, Flux),
    "flux_dev_embedded": Family(tiny.flux, flux_embedded, 16, Flux, zz.Embedded()),
    "flux_schnell": Family(lambda: tiny.flux("schnell"), flux, 16, Flux),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def pipe(family):
    return tiny.ready(family.make())


@pytest.fixture
def borrowed(pipe):
    """For tests that call it as diffusers does."""
    before = pipe.scheduler
    yield pipe
    pipe.scheduler = before


@pytest.mark.parametrize("negative", [None, NEGATIVE], ids=["none", "negative"])
def test_latents_are_those_of_diffusers(family, borrowed, negative):
    if negative and family.guidance.needs.scaled:
        with pytest.raises(ValueError, match="negative_prompt has no part in guidance=embedded"):
            family.ours(borrowed, negative_prompt=negative)
        return
    found = family.ours(borrowed, negative_prompt=negative)
    assert found.dtype == torch.float32
    tiny.close(found, family.theirs(borrowed, GAMMA, negative, family.x))
    other = family.ours(borrowed, zz.Standard(GAMMA + 1), negative_prompt=negative)
    assert (found - other).abs().max() > 1e-3 * found.abs().max(), "guidance has no say in the weights of this test"
    if negative:
        assert (found - family.ours(borrowed))[0].abs().max() > 1e-3, "nor has a negative prompt"


def test_pictures_are_those_of_diffusers(family, borrowed):
    found = family.ours(borrowed, output="image")
    for a, b in zip(found, family.theirs(borrowed, GAMMA, None, family.x, "pil"), strict=True):
        assert a.size == b.size == SIZE[::-1]
        assert np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1


@pytest.mark.parametrize("gamma2", [0.0, 1.0, GAMMA])
def test_zigzag_is_finite_and_its_rows_are_counted(family, pipe, gamma2):
    """A flow's first zag ends at alpha = 0. CFG at 0 or 1 asks for one branch; embedded guidance never for two."""
    rows, sampler = [], zz.Zigzag(GAMMA, gamma2, lambda_=2)
    hook = pipe.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(args[0] if args else kwargs["hidden_states"])), with_kwargs=True
    )
    found = family.ours(pipe, sampler)
    hook.remove()
    assert found.isfinite().all() and len(rows) == sampler.nfe(T)
    zig, zag = (2 * family.guidance.evals(gamma, None, None) for gamma in (GAMMA, gamma2))
    assert sorted(rows) == sorted([zig] * (T + 2) + [zag] * 2)
    assert (zig, zag) == (2, 2) if family.guidance.needs.scaled else (4, 2 if gamma2 < 2 else 4)


def test_zigzag_without_zigzags_is_standard(family, pipe):
    standard = family.ours(pipe)
    assert torch.equal(standard, family.ours(pipe, zz.Zigzag(GAMMA, lambda_=0)))
    assert not torch.equal(standard, family.ours(pipe, zz.Zigzag(GAMMA)))


def test_a_picture_is_the_same_alone_and_in_company(family, pipe):
    alone = zz.sample(
        *(pipe, PROMPTS[1]),
        sampler=zz.Standard(GAMMA),
        steps=T,
        size=SIZE,
        initial_latents=family.x[1:],
        output="latent",
        guidance=family.guidance,
    )
    tiny.close(alone, family.ours(pipe)[1:], 1e-5)


def test_a_real_picture_comes_back(family, pipe):
    """Encoding is decoding's scaling undone: what the network knows as latents is what it is given."""
    with adapted(pipe) as opened:
        x = family.x
        assert (opened._scaled(opened._unscaled(x)) - x).abs().max() < 1e-5
        pictures = torch.zeros(1, *SIZE, 3, dtype=torch.uint8)
        assert opened.encode_image(pictures).shape[1:] == opened.shape(SIZE) == x.shape[1:]


@pytest.fixture(scope="module")
def folder(family, pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    pipe.save_pretrained(path)
    return path


def test_a_folder_is_what_was_saved_in_it(family, pipe, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = dataclasses.replace(family.describe(str(folder)), size=SIZE)
    assert health(model, SIZE, room={"cpu": 1.0})[-1].state == "ok"
    tiny.close(family.ours(model), family.ours(pipe), 1e-6)
    with adapted(pipe) as opened:
        levels, spacing = model.noise_levels()
        assert (levels, spacing.sized(SIZE)) == (opened.levels, opened.schedule.sized(SIZE))
        assert model.can == opened.can
    before = model.identity()
    other = shutil.copytree(folder / "transformer", tmp_path / "other")
    found = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(found | {"_name_or_path": "elsewhere"}))
    assert dataclasses.replace(model, transformer=str(other)).identity() == before
    (other / "config.json").write_text(json.dumps(found | {"in_channels": 12}))
    with pytest.raises(ValueError, match=r"latents of \d+ channels, but the transformer reads \d+"):
        dataclasses.replace(model, transformer=str(other)).check(SIZE, [])
    width = "cross_attention_dim_t5" if "cross_attention_dim_t5" in found else "pooled_projection_dim"
    (other / "config.json").write_text(json.dumps(found | {width: 7}))
    with pytest.raises(ValueError, match=r"model\.transformer=.* reads text of width 7, but this model's has \d+"):
        dataclasses.replace(model, transformer=str(other)).check(SIZE, [])


def test_sizes_are_multiples_of_sixteen(family, pipe, folder):
    for refuse in (lambda: family.ours(pipe, size=(64, 72)), lambda: family.describe(str(folder)).check((64, 72), [])):
        with pytest.raises(ValueError, match=r"size=64x72 must be multiples of 16; choose size=\[64,64\]"):
            refuse()


def saved(pipe, path):
    pipe.save_pretrained(path)
    return str(path)


def test_another_transformer_and_autoencoder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    family, home = FAMILIES["sd3"], saved(tiny.sd3(), tmp_path / "sd3")
    other = tiny.sd3(transformer=tiny.sd3_transformer(1), vae=tiny.deep_vae(1, 16, scaling_factor=2.0))
    parts = {part: saved(getattr(other, part), tmp_path / part) for part in ("transformer", "vae")}
    model = StableDiffusion3(home, size=SIZE, **parts)
    assert model.source() == {"pretrained": home, "commit": None} | parts
    assert model.identity() != StableDiffusion3(home).identity()
    a, b = (family.ours(one, output="image") for one in (model, tiny.ready(other)))
    for one, two in zip(a, b, strict=True):
        assert np.abs(np.asarray(one, dtype=int) - np.asarray(two, dtype=int)).max() <= 1


def test_hunyuan_is_told_sizes_by_version(tmp_path, monkeypatch):
    """1.1 hears of the original size, 1024 unless told otherwise; 1.2 hears of none, whatever is said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for version in ("1.1", "1.2"):
        family = FAMILIES[f"hunyuan_{version.replace('.', '')}"]
        model = HunyuanDiT(saved(tiny.hunyuan(version), tmp_path / version), size=SIZE)
        smaller = dataclasses.replace(model, original_size=SIZE)
        assert (model.identity() == smaller.identity()) == (version == "1.2")
        assert torch.equal(family.ours(model), family.ours(smaller)) == (version == "1.2")
    with pytest.raises(ValueError, match=r"model\.original_size=\[1\] must be two whole numbers"):
        dataclasses.replace(model, original_size=[1])


def test_hunyuan_hears_its_masks(borrowed_hunyuan):
    """Where there is no text a learned embedding stands: without masks the prediction is another."""
    with adapted(borrowed_hunyuan) as opened:
        cond, _ = opened.encode(PROMPTS, [None, None])
        assert [t.shape[1] for t in cond] == [77, 77, 256, 256] and cond.clip_mask.sum(1).tolist() == [5, 6]
        node, x = opened.levels.node(500), FAMILIES["hunyuan_11"].x
        (heard,) = opened(x, node, cond)
        (deaf,) = opened(x, node, cond._replace(t5_mask=torch.ones_like(cond.t5_mask)))
        assert (heard.eps - deaf.eps).abs().max() > 1e-4


@pytest.fixture
def borrowed_hunyuan():
    return tiny.ready(tiny.hunyuan())


def test_without_t5(tmp_path, monkeypatch):
    """A model that has a T5 can do without; one that has none must, and says so before it is loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    family, home = FAMILIES["sd3_without_t5"], saved(tiny.sd3(), tmp_path / "whole")
    tiny.close(family.ours(StableDiffusion3(home, t5=False)), family.ours(tiny.ready(family.make())), 1e-6)
    assert StableDiffusion3(home, t5=False).identity() != StableDiffusion3(home).identity()
    none = saved(family.make(), tmp_path / "none")
    with pytest.raises(ValueError, match=r"has no text_encoder_3; model\.t5=false does without"):
        StableDiffusion3(none).check(SIZE, [])
    shutil.rmtree(tmp_path / "whole" / "text_encoder_3")
    assert StableDiffusion3(home, t5=False).identity()["t5"] is False
    with pytest.raises(ValueError, match="text_encoder_3/ has no configuration"):
        StableDiffusion3(home).identity()
    with pytest.raises(ValueError, match=r"model\.t5=None must be true or false"):
        StableDiffusion3(home, t5=None)


def test_flux_is_told_a_guidance_in_every_row(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    family, home = FAMILIES["flux_dev"], saved(tiny.flux(), tmp_path / "dev")
    model, plain = Flux(home, size=SIZE, embedded=2.0), Flux(home, size=SIZE)
    tiny.close(family.ours(model), flux(tiny.ready(tiny.flux()), GAMMA, None, family.x, embedded=2.0))
    assert model.identity() != plain.identity()
    one = family.ours(plain, zz.Standard(1.0))  # one row with the prompt, told 3.5
    tiny.close(one, family.ours(plain, zz.Standard(3.5), guidance=zz.Embedded()), 1e-6)
    short = Flux(home, size=SIZE, text_tokens=8)
    assert short.identity() != plain.identity()
    assert (family.ours(short) - family.ours(plain)).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["hunyuan_11", "sd3", "flux_schnell"])
def test_embedded_guidance_is_refused_before_loading_where_there_is_none(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    family = FAMILIES[name]
    model = family.describe(saved(family.make(), tmp_path / "it"))
    monkeypatch.setattr(type(model), "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(
        ValueError, match=r"guidance=Embedded tells the network gamma, which that of model=.*choose guidance=cfg"
    ):
        family.ours(model, guidance=zz.Embedded())
    with pytest.raises(ValueError, match=r"guidance=Embedded tells the network gamma, which that of the .*Pipeline"):
        family.ours(tiny.ready(family.make()), guidance=zz.Embedded())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny.sd3(scheduler=diffusers.DDIMScheduler()), "has a DDIMScheduler; a rectified-flow schedule"),
        (lambda: tiny.flux(scheduler=diffusers.EulerDiscreteScheduler()), "a rectified-flow schedule is needed"),
        (
            lambda: tiny.hunyuan(scheduler=diffusers.FlowMatchEulerDiscreteScheduler()),
            "HunyuanDiTPipeline has a FlowMatchEulerDiscreteScheduler; a discrete noise schedule is needed",
        ),
        (
            lambda: tiny.flux(scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_beta_sigmas=True)),
            "a flow's scheduler with use_beta_sigmas=True is not supported",
        ),
        (lambda: tiny.flux(transformer=tiny.flux_transformer(in_channels=96)), "reads more than latents"),
    ],
)
def test_what_cannot_be_adapted(make, message):
    with pytest.raises(ValueError, match=message):
        zz.sample(make(), "a", steps=2, size=64, output="latent")


def test_sd3_knows_places_up_to_a_size():
    with pytest.raises(ValueError, match="size=64x1040 is too large: this network knows places up to 1024 pixels"):
        zz.sample(tiny.sd3(), "a", steps=2, size=(64, 1040), output="latent")


def test_sd3_shifts_by_size_where_its_scheduler_says():
    """Dynamic shifting: from the picture's own tokens, and 1 / 1000 last before the shift."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_image_seq_len=300)
    family, pipe = FAMILIES["sd3"], tiny.ready(tiny.sd3(scheduler=scheduler))
    tiny.close(family.ours(pipe), sd3(pipe, GAMMA, None, family.x))


def test_a_size_is_needed_where_the_shift_depends_on_it():
    pipe, x = tiny.ready(tiny.flux()), FAMILIES["flux_dev"].x
    with pytest.raises(ValueError, match="shifts its times by the picture's size; give size, or schedule=shifted"):
        zz.sample(pipe, PROMPTS, steps=2, initial_latents=x, output="latent")
    found = zz.sample(
        *(pipe, PROMPTS),
        steps=2,
        initial_latents=x,
        output="latent",
        schedule=zz.diffusion.schedules.shifted.Shifted(3.0),
    )
    assert found.isfinite().all()


@pytest.mark.parametrize("name", ["hunyuan_11", "sd3", "flux_dev"])
def test_half_precision_keeps_its_state_in_full(name):
    family = FAMILIES[name]
    pipe = tiny.ready(family.make()).to(torch.bfloat16)
    full = family.ours(tiny.ready(family.make()))
    found = family.ours(pipe)
    assert found.dtype == torch.float32
    assert (found - full).abs().max() < 0.1 * full.abs().max(), "bfloat16 keeps three digits, over a few steps two"
    assert family.ours(pipe, output="image")[0].size == SIZE[::-1]


FULL = {  # the published configurations, but for what moves no count; billions of parameters as published
    "hunyuan": (1.5, diffusers.HunyuanDiT2DModel, HUNYUAN_DIT),
    "sd3": (
        2.0,
        diffusers.SD3Transformer2DModel,
        {
            "num_layers": 24,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 192,
        },
    ),
    "sd35": (
        8.1,
        diffusers.SD3Transformer2DModel,
        {
            "num_layers": 38,
            "num_attention_heads": 38,
            "caption_projection_dim": 2432,
            "pos_embed_max_size": 192,
            "qk_norm": "rms_norm",
        },
    ),
    "flux": (12, diffusers.FluxTransformer2DModel, {"guidance_embeds": True}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_size_networks_fit_without_weights(name):
    """On the meta device: as many parameters as published, the picture's size, and a call with both branches."""
    billions, kind, config = FULL[name]
    with torch.device("meta"):
        network = kind(**config)
    count = sum(p.numel() for p in network.parameters()) / 1e9
    assert round(count, 1 if isinstance(billions, float) else 0) == billions, count
    make = {"hunyuan": lambda **parts: tiny.hunyuan("1.2", **parts), "flux": tiny.flux}.get(name, tiny.sd3)
    with adapted(make(transformer=network)) as opened:
        assert opened.size == (1024, 1024)
        shape = opened.shape(opened.size)
        assert shape == (4 if name == "hunyuan" else 16, 128, 128)
        node = opened.schedule.sized(opened.size).nodes(opened.levels, 4)[0]
        if name == "hunyuan":
            sizes = [(1, 77, 1024), (1, 77), (1, 256, 2048), (1, 256)]
        else:
            sizes = [(1, 512, network.config.joint_attention_dim), (1, network.config.pooled_projection_dim)]
        cond = tuple(torch.ones(*size, device="meta") for size in sizes)
        said = opened(torch.empty(1, *shape, device="meta"), node, cond, cond)
    assert [p.eps.shape for p in said] == [(1, *shape)] * 2
