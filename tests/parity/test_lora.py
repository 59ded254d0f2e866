"""LoRAs: the weights by hand, the pictures of diffusers' own pipelines, and W2SD by scale over three of its U-Nets."""

import json
import shutil
import sys
from dataclasses import replace
from itertools import pairwise

import diffusers
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import zz
import zz.run
from tests.parity import tiny
from zz.diffusion.leg import Leg
from zz.diffusion.noise import starting_noise
from zz.hub import location as hub
from zz.lab.store.store import Store
from zz.models.animatediff import AnimateDiff
from zz.models.flux import Flux
from zz.models.hunyuan_dit import HunyuanDiT
from zz.models.networks import PerLeg, Side
from zz.models.pretrained.lora import FILE
from zz.models.sd import StableDiffusion
from zz.models.sd3 import StableDiffusion3
from zz.models.sdxl import StableDiffusionXL

SIZE, PROMPTS, T, COMMIT = (16, 16), ["a red star", "three blue rings"], 4, "0123456789abcdef0123456789abcdef01234567"
KINDS = {
    "sd": StableDiffusion,
    "sdxl": StableDiffusionXL,
    "sd3": StableDiffusion3,
    "flux": Flux,
    "animatediff": AnimateDiff,
}
ALPHA, RANK = 3, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Where a tiny pipeline of a kind lies, and a LoRA for it."""
    home = tmp_path_factory.mktemp("lora")

    def make(kind):
        folder = home / kind
        if not folder.exists():
            base = tiny.sd() if kind == "animatediff" else getattr(tiny, kind)()
            base.save_pretrained(folder)
            tiny.motion_adapter().save_pretrained(home / "adapter")
            tiny.lora(getattr(tiny, kind)(), home / f"{kind}-lora", ALPHA)
        return folder, home / f"{kind}-lora"

    return make


@pytest.fixture
def describe(made, tmp_path, monkeypatch):
    """A description of one of them, with its LoRA."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "digests"))

    def model(kind="sd", **fields):
        folder, lora = made(kind)
        more = {"motion_adapter": str(folder.parent / "adapter"), "frames": 3} if kind == "animatediff" else {}
        return KINDS[kind](str(folder), size=SIZE, **{"lora": str(lora), **more, **fields})

    return model


def weights(model):
    """Of all its networks, by part and name, as they are once open."""
    with model.open() as opened:
        parts = {name: part for name, part in opened.parts.components.items() if isinstance(part, torch.nn.Module)}
        assert not any("lora" in type(m).__module__ for part in parts.values() for m in part.modules()), "plain layers"
        return {
            f"{name}.{key}": value.clone() for name, part in parts.items() for key, value in part.state_dict().items()
        }


def latents(model, sampler=None, **more):
    return zz.sample(model, PROMPTS, sampler=sampler or zz.Standard(3.0), steps=T, output="latent", **more)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.8, -1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_by_hand(describe, kind, scale):
    """W + scale * alpha / r * B A in each layer that the file names, text encoders too, and W to the bit elsewhere."""
    plain, fused = weights(describe(kind, lora=None)), weights(describe(kind, lora_scale=scale))
    file = load_file(f"{describe(kind).lora}/{FILE}")
    assert plain.keys() == fused.keys()
    for key in (key for key in file if "lora_A" in key):
        down, up = file[key], file[key.replace("lora_A", "lora_B")]
        name = key.replace(".lora_A", "")
        delta = (up.flatten(1) @ down.flatten(1)).view_as(plain[name])
        theirs = plain.pop(name) + scale * ALPHA / RANK * delta
        assert torch.allclose(fused.pop(name), theirs, rtol=0, atol=1e-5)  # sums of two products below ten
        assert delta.abs().max() > 0.1
    parts = {key.split(".")[0] for key in file}
    assert {"text_encoder"} < parts
    assert all(torch.equal(plain[name], fused[name]) for name in plain)


def theirs(pipe):
    """Standard sampling by diffusers' own pipeline."""
    pipe.scheduler = diffusers.DDIMScheduler.from_config(
        pipe.scheduler.config, clip_sample=False, set_alpha_to_one="XL" in type(pipe).__name__
    )
    pipe.set_progress_bar_config(disable=True)
    noise = starting_noise((0, 1), (4, 8, 8))
    options = {"num_inference_steps": T, "guidance_scale": 3.0, "latents": noise, "output_type": "latent"}
    return pipe(PROMPTS, height=SIZE[0], width=SIZE[1], **options).images


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.8, -1.5])
@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_pictures_are_those_of_diffusers(describe, made, kind, scale):
    """Which keeps the LoRA beside the weights."""
    pipe = getattr(diffusers, KINDS[kind].kind).from_pretrained(made(kind)[0])
    without = theirs(pipe)
    pipe.load_lora_weights(made(kind)[1], adapter_name="one")
    pipe.set_adapters(["one"], [scale])
    expected = theirs(pipe)
    tiny.close(latents(describe(kind, lora_scale=scale)), expected)
    assert (without - expected).abs().max() > 0.01 * expected.abs().max()


def test_a_scale_of_nothing_is_the_model_without(describe, made, monkeypatch):
    """Nothing is loaded, or so much as looked for, and the key is that of the model without."""
    plain, none = describe(lora=None), describe(lora_scale=0)
    assert torch.equal(latents(plain), latents(none))
    monkeypatch.setattr("zz.models.pretrained.lora.find_spec", lambda name: None)
    for model in (none, describe(lora="/nowhere", lora_scale=0.0)):
        assert model.identity() == plain.identity() and model.source() == plain.source()
        assert model.asked(()) == plain
        assert PerLeg(describe(lora_scale=-1), weak=Side(model)) == PerLeg(describe(lora_scale=-1), weak=Side(plain))
        assert PerLeg(model, weak=Side(plain)).asked(tuple(Leg)) == plain


def test_it_is_known_by_its_weights_and_its_scale(describe, made, tmp_path, monkeypatch):
    """Wherever its file lies and whatever that is called: a folder, a file, a file in a folder, a hub's snapshot."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub._on_hub.cache_clear()
    lora = made("sd")[1]
    assert describe(lora_scale=1).identity().items() > describe(lora=None).identity().items()
    assert describe(lora_scale=1).identity() == describe().identity()
    assert len({json.dumps(describe(lora_scale=scale).identity()) for scale in (1, 0.8, -0.8, 0)}) == 4
    (tmp_path / "other").mkdir()
    shutil.copy(lora / FILE, tmp_path / "other" / "star.safetensors")
    home = tmp_path / "hub" / "models--makers--lora"
    shutil.copytree(lora, home / "snapshots" / COMMIT)
    shutil.copy(lora / FILE, home / "snapshots" / COMMIT / "star.safetensors")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    places = {
        str(lora / FILE): str(lora / FILE),
        str(tmp_path / "other"): str(tmp_path / "other" / "star.safetensors"),
        str(tmp_path / "other" / "star.safetensors"): str(tmp_path / "other" / "star.safetensors"),
        "makers/lora": f"makers/lora@{COMMIT}/{FILE}",
        f"makers/lora@{COMMIT}": f"makers/lora@{COMMIT}/{FILE}",
        "makers/lora/star.safetensors": f"makers/lora@{COMMIT}/star.safetensors",
    }
    for name, source in places.items():
        model = describe(lora=name)
        model.check(SIZE, ())
        assert model.identity() == describe().identity() and model.source()["lora"] == source
    tiny.lora(tiny.sd(), tmp_path / "another", ALPHA, seed=1)
    assert describe(lora=str(tmp_path / "another")).identity() != describe().identity()


def test_a_file_as_other_trainers_write_it(describe, made, tmp_path):
    """kohya-ss's names, each layer with its alpha."""
    file, renamed = load_file(made("sd")[1] / FILE), {}
    for key, value in file.items():
        part, _, layer = key.removesuffix(".weight").partition(".")
        layer, _, side = layer.rpartition(".")
        if part == "unet" and ".attn" in layer:
            name = f"lora_unet_{layer.replace('.', '_')}"
            renamed[f"{name}.{'lora_down' if side == 'lora_A' else 'lora_up'}.weight"] = value
            renamed[f"{name}.alpha"] = torch.tensor(float(ALPHA))
    save_file(renamed, tmp_path / FILE)
    plain, fused, other = (weights(describe(**lora)) for lora in ({"lora": None}, {}, {"lora": str(tmp_path)}))
    moved = [key for key in plain if not torch.equal(plain[key], other[key])]
    assert len(moved) == len(renamed) / 3 > 10
    assert all(torch.allclose(fused[key], other[key], rtol=0, atol=1e-6) for key in moved)


def over_three_unets(pipe_of, lora, scales, noise, nodes, gammas, inversion, layers):
    """W2SD as it is described: down by the strong network, up by the weak one, and the step by its own; not the last.

    inversion: their way up moves by the coefficients of the step below (ref_0_22)
    layers:    their prompt is encoded once, without the LoRA (network)
    """
    nets = []
    for scale in scales:
        pipe = pipe_of()
        text = torch.cat(pipe.encode_prompt(PROMPTS[:1], "cpu", 1, True)[::-1])
        pipe.load_lora_weights(lora)
        pipe.fuse_lora(lora_scale=scale)
        if layers == "all":
            text = torch.cat(pipe.encode_prompt(PROMPTS[:1], "cpu", 1, True)[::-1])
        nets.append((pipe.unet, text))

    @torch.no_grad()
    def eps(which, x, time):
        unet, text = nets[which]
        u, c = unet(torch.cat([x, x]), time, encoder_hidden_states=text, return_dict=False)[0].chunk(2)
        return u + gammas[which] * (c - u)

    def moved(x, e, source, target):
        return target.alpha * (x - source.sigma * e) / source.alpha + target.sigma * e

    x = noise
    for i, (t, s) in enumerate(pairwise(nodes)):
        if i < len(nodes) - 2:
            y = moved(x, eps(1, x, t.time), t, s)
            source, target = (s, t) if inversion == "exact" else (nodes[i + 2], s)
            x = moved(y, eps(2, y, t.time), source, target)
        x = moved(x, eps(0, x, t.time), t, s)
    return x


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inversion", "layers", "gammas"),
    [
        ("exact", "network", (5.5, 5.5, 1.0)),
        pytest.param("ref_0_22", "network", (5.5, 5.5, 1.0), marks=pytest.mark.ci),
        *(
            pytest.param(inversion, layers, gammas, marks=pytest.mark.ci)
            for layers, gammas in (("all", (5.5, 5.5, 5.5)), ("network", (5.5, 5.5, 0.0)), ("network", (5.5, 5.5, 5.5)))
            for inversion in ("exact", "ref_0_22")
        ),
    ],
)
def test_weak_to_strong_by_scale_is_the_loop_over_three_unets(describe, made, inversion, layers, gammas):
    """2e-4: the LoRAs at 1.5 and -1.5 pull a random network so far apart that float32 loses a digit."""
    scales, noise = (0.8, 1.5, -1.5), starting_noise([0], (4, 8, 8))
    own = describe(lora_scale=scales[0], lora_layers=layers)
    strong, weak = (replace(own, lora_scale=scale) for scale in scales[1:])
    reflection = zz.Reflection(gammas[0], gammas[1], gammas[2], inversion=inversion)

    def found(own, sampler, *sides):
        return zz.sample(PerLeg(own, *map(Side, sides)), PROMPTS[:1], sampler=sampler, steps=T, output="latent")

    ours, nodes = found(own, reflection, strong, weak), own.noise_levels()[1].nodes(own.noise_levels()[0], T)
    expected = over_three_unets(
        lambda: diffusers.StableDiffusionPipeline.from_pretrained(made("sd")[0]),
        *(made("sd")[1], scales, noise, nodes, gammas, inversion, layers),
    )
    tiny.close(ours, expected, 2e-4)
    far = 0.01 * ours.abs().max()
    assert (ours - found(own, reflection, weak, strong)).abs().max() > far
    other = replace(reflection, inversion="exact" if inversion == "ref_0_22" else "ref_0_22")
    assert (ours - found(own, other, strong, weak)).abs().max() > far
    others = (replace(m, lora_layers="all" if layers == "network" else "network") for m in (own, strong, weak))
    assert (ours - found(next(others), reflection, *others)).abs().max() > far


def test_the_layers_of_the_network_alone(describe):
    """Text encoders are then as without a LoRA, and it is another model; at a scale of 0 it is the same."""
    whole, network, plain = (weights(describe(**m)) for m in ({}, {"lora_layers": "network"}, {"lora": None}))
    for name, value in network.items():
        assert torch.equal(value, (plain if name.startswith("text_encoder") else whole)[name])
    assert any(not torch.equal(whole[name], network[name]) for name in whole)
    assert describe(lora_layers="network").identity() != describe().identity()
    assert describe(lora_layers="network", lora_scale=0).asked(()) == describe(lora=None)
    with pytest.raises(ValueError, match=r"model\.lora_layers='unet' is not known; known are all, network"):
        describe(lora_layers="unet")


@pytest.mark.ci
def test_from_the_command_line(made, tmp_path, monkeypatch, capfd):
    """As docs/models.md has it, and at scales of 0, which are the cell without a LoRA."""
    folder, lora = made("sd")
    monkeypatch.chdir(tmp_path)
    line = f"zz.run store={tmp_path}/store model=sd model.pretrained={folder} size=16 steps=2 runner.devices=cpu"
    words = [*line.split(), "dataset=inline", "dataset.texts=[a red star]", "scorers=[]", "sampler=reflection"]
    words += [f"model.lora={lora}", "gamma2=5.5", "lambda=null"]

    def run(*more):
        monkeypatch.setattr(sys, "argv", [*words, *more])
        assert zz.run.main() == 0, capfd.readouterr()
        return [found.cell.ledger["model"] for found in Store(tmp_path / "store").cells()]

    (model,) = run("model.lora_scale=0.8", "+strong.model.lora_scale=1.5", "+weak.model.lora_scale=-1.5")
    assert [m["lora"]["scale"] for m in (model, model["strong"]["model"], model["weak"]["model"])] == [0.8, 1.5, -1.5]
    assert len({m["lora"]["weights"] for m in (model, model["strong"]["model"], model["weak"]["model"])}) == 1
    run("model.lora_scale=0", "+strong.model.lora_scale=0")
    both = run("model.lora=null", "model.lora_scale=1")
    assert [m.keys() >= {"lora"} for m in both].count(False) == 1 and len(both) == 2


def opens(model):
    with model.open():
        pytest.fail("it opened")


def test_one_that_was_made_for_another_network(describe, made, tmp_path):
    fit = r"^model\.lora=.* does not fit the StableDiffusionPipeline: .*; give one that was made for it, .* or null$"
    for kind in ("sdxl", "sd3"):
        with pytest.raises(ValueError, match=fit):
            opens(describe(lora=str(made(kind)[1])))
    wide = tiny.lora(tiny.sd(unet=tiny.unet(cross_attention_dim=24)), tmp_path / "wide")
    with pytest.raises(ValueError, match=fit):
        opens(describe(lora=str(wide)))
    fitting = load_file(made("sd")[1] / FILE)
    first = "unet.down_blocks.0.attentions.0.proj_in"
    odd = {
        "one layer too many": {f"unet.nowhere.lora_{side}.weight": torch.ones(2, 2) for side in "AB"},
        "DoRA, whose magnitudes diffusers leaves out": {f"{first}.dora_scale": torch.ones(16, 1)},
        "an alpha that it overlooks": {f"{first}.lora.alpha": torch.tensor(1.0)},
    }
    for name, more in odd.items():
        (tmp_path / name).mkdir()
        save_file(fitting | more, tmp_path / name / FILE)
        with pytest.raises(ValueError, match=fit):
            opens(describe(lora=str(tmp_path / name)))
    (tmp_path / "cut.safetensors").write_bytes((made("sd")[1] / FILE).read_bytes()[:-100])
    with pytest.raises(ValueError, match=fit):
        opens(describe(lora=str(tmp_path / "cut.safetensors")))


def test_what_cannot_be_loaded_is_said_before(describe, made, tmp_path, monkeypatch):
    lora = made("sd")[1]
    for name in ("a", "b"):
        shutil.copy(lora / FILE, tmp_path / f"{name}.safetensors")
    missing = {
        "/nowhere": r"model\.lora=/nowhere is neither a folder that is there nor a hub id",
        f"{lora}/c.safetensors": r"model\.lora=.* has no c\.safetensors",
        str(tmp_path): rf"has no {FILE}; name the file that it has, as in model\.lora=.*/NAME\.safetensors",
        "nobody/lora": r"model\.lora=nobody/lora: it is not in .* HF_HUB_OFFLINE is set",
    }
    for name, message in missing.items():
        with pytest.raises(ValueError, match=message):
            describe(lora=name).identity()
        if name != "nobody/lora":
            with pytest.raises(ValueError, match=message):
                describe(lora=name).check(SIZE, ())
    with pytest.raises(ValueError, match=r"model\.lora_scale=1\.5 has nothing to scale; give model\.lora too"):
        describe(lora=None, lora_scale=1.5)
    with pytest.raises(ValueError, match=r"model\.lora_scale='much' must be a finite number"):
        describe(lora_scale="much")
    for name in ("", 3):
        with pytest.raises(
            ValueError, match=r"model\.lora=.* must be a folder, a \.safetensors file, a hub id, or null"
        ):
            describe(lora=name)
    with pytest.raises(
        ValueError, match=r"model\.lora=x: diffusers loads none into a HunyuanDiTPipeline; choose model.lora=null"
    ):
        HunyuanDiT("x", lora="x")
    monkeypatch.setattr("zz.models.pretrained.lora.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"model\.lora=.* needs peft, which is not installed: pip install peft"):
        describe().check(SIZE, ())
