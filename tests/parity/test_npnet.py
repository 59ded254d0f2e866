"""Golden Noise's NPNet: the map by hand, from a checkpoint's own names, and where sampling starts with one.

With timm's own Swin transformer (0.9.12 and 1.0.31), its attention and diffusers' AdaGroupNorm in place of what is by
hand here, the maps agree to 4e-6 at a deviation of 1.6, and the Swin part alone to 2e-5 at 1.8.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.normalization import AdaGroupNorm
from torch.nn.functional import conv2d, interpolate

import zz
from tests.make import job, run
from tests.parity import npnet_by_hand as by_hand
from tests.parity import tiny
from tests.parity.npnet_by_hand import WIDTH
from zz.diffusion.noise import starting_noise
from zz.hub.files import file_digest
from zz.lab.store.store import Store
from zz.models import npnet
from zz.models.hunyuan_dit import HunyuanDiT
from zz.models.networks import PerLeg, Side
from zz.models.sdxl import StableDiffusionXL

pytestmark = pytest.mark.slow  # with those of their kind, about a minute

SIZE, SMALL = (1024, 1024), (16, 16)


@pytest.fixture(scope="module")
def parts():
    return by_hand.checkpoint()


@pytest.fixture(scope="module")
def file(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("npnet") / "dit.pth"
    torch.save(parts, path)
    return path


@pytest.fixture(scope="module")
def net(file):
    return npnet.load(file, WIDTH)


@pytest.fixture(scope="module")
def given():
    """Two noises and the tokens of their prompts."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(2, 4, 128, 128, generator=draw), torch.randn(2, 77, WIDTH, generator=draw)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    tiny.hunyuan("1.2").save_pretrained(home / "dit")
    tiny.sdxl().save_pretrained(home / "sdxl")
    return home


@pytest.fixture(autouse=True)
def own_digests(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "digests"))


def test_singular_values_are_those_by_hand(net, parts, given):
    x, _ = given
    expected = by_hand.svd(parts["unet_svd"], x)
    tiny.close(net.unet_svd(x), expected, 1e-5)
    assert (expected - x).abs().max() > 0.5


def test_the_text_part_is_that_of_diffusers(net, parts, given):
    """And by hand, the scale first."""
    x, tokens = given
    theirs = AdaGroupNorm(77 * WIDTH, 4, 1, eps=1e-6)
    theirs.load_state_dict(parts["embeeding"])
    tiny.close(net.embedding(x, tokens), theirs(x, tokens.flatten(1)), 1e-6)
    said = by_hand.dense(parts["embeeding"], "linear", tokens.flatten(1))[..., None, None]
    mean, var = (getattr(x, f)((1, 2, 3), keepdim=True) for f in ("mean", "var"))
    normal = (x - mean) / (var * (1 - 1 / 4 / 128**2) + 1e-6).sqrt()
    tiny.close(net.embedding(x, tokens), normal * (1 + said[:, :4]) + said[:, 4:], 1e-5)


def test_the_swin_part_is_that_by_hand(net, parts, given):
    """From timm's names, by attention window by window; its rows are read as channels."""
    state = parts["unet_embedding"]
    swin = {name.removeprefix("swin."): value for name, value in state.items()}
    read = conv2d(interpolate(given[0], (224, 224)), state["downconv.weight"], state["downconv.bias"])
    features = by_hand.swin(swin, read)
    tiny.close(net.unet_embedding.swin(read).last_hidden_state.unflatten(1, (7, 7)), features, 1e-5)
    expected = conv2d(interpolate(features, (128, 128)), state["upconv.weight"], state["upconv.bias"])
    tiny.close(net.unet_embedding(given[0]), expected, 1e-5)


def test_the_map_is_their_sum(net, parts, given):
    x, tokens = given
    T = net.embedding(x, tokens)
    weight = 2 / (1 + np.exp(-0.7)) - 1
    tiny.close(net(x, tokens), net.unet_svd(x) + weight * T + 0.3 * net.unet_embedding(x + T), 1e-6)
    half = net(x.half(), tokens.half())
    assert half.dtype == torch.float32 and not net.training and not any(p.requires_grad for p in net.parameters())
    state = net.state_dict()
    for name in ("unet_svd", "unet_embedding", "embeeding"):
        ours = name.replace("embeeding", "embedding")
        kept = {key for key in parts[name] if not key.startswith(("bn.", "swin."))}
        assert kept == {k.removeprefix(f"{ours}.") for k in state if k.startswith(f"{ours}.") and ".swin." not in k}


def test_untrained_it_is_the_part_of_singular_values(parts, given, tmp_path):
    """As training begins; and however `embedding` is spelt, with or without what no evaluation reads."""
    plain = dict(parts) | {"alpha": torch.zeros(1), "beta": torch.zeros(1)}
    plain["embedding"] = plain.pop("embeeding")
    for part, unused in (("unet_svd", "bn."), ("unet_embedding", "swin.head.")):
        plain[part] = {k: v for k, v in parts[part].items() if not k.startswith(unused)}
    torch.save(plain, tmp_path / "plain.pth")
    net = npnet.load(tmp_path / "plain.pth", WIDTH)
    assert torch.equal(net(*given), net.unet_svd(given[0]))


def test_a_map_does_not_depend_on_its_batch(net, given):
    x, tokens = given
    both = net(x, tokens)
    for row in range(2):
        tiny.close(net(x[row : row + 1], tokens[row : row + 1]), both[row : row + 1], 1e-5)
    assert (net(x[:1], tokens[1:]) - both[:1]).abs().max() > 0.01, "the prompt matters"


def test_other_shapes_are_one_message(net, given):
    x, tokens = given
    with pytest.raises(
        ValueError, match=r"maps noise of 4x128x128, not of 4x64x128: choose the size .* or model\.npnet=n"
    ):
        net(x[:, :, :64], tokens)
    with pytest.raises(ValueError, match=r"reads 77 tokens of width 16, but this model's text has 16 of width 16: "):
        net(x, tokens[:, :16])


def described(saved, file, **fields):
    return HunyuanDiT(str(saved / "dit"), **{"npnet": str(file), "size": SIZE, **fields})


@pytest.mark.slow
def test_sampling_starts_from_the_map(saved, file, net):
    """Of the tokens of the prompt, and not of the negative one; given latents are left as they are."""
    model, prompt, sampler = described(saved, file), "a red star", zz.Standard(2.0)
    noise, starts = starting_noise([3], (4, 128, 128)), []
    options = {"sampler": sampler, "steps": 1, "negative_prompt": "three blue rings", "size": SIZE}

    def probe(step):
        starts.append(step.x)

    with model.open() as pipeline:
        (cond, _) = pipeline.encode([prompt], ["three blue rings"])
        golden = net(noise, cond.clip)
        ours = zz.sample(pipeline, prompt, seed=3, probe=probe, output="latent", **options)
        again = zz.sample(pipeline, prompt, initial_latents=noise, probe=probe, output="latent", **options)
    assert torch.equal(starts[0], golden) and torch.equal(starts[1], noise)
    assert (golden - noise).abs().max() > 0.1 and not torch.equal(ours, again)


class Fake(torch.nn.Module):
    """In place of an NPNet of small pictures."""

    def forward(self, noise, tokens):
        return 0.5 * noise + tokens.float().mean((1, 2))[:, None, None, None]


@pytest.fixture
def small(saved, monkeypatch, tmp_path):
    """A tiny SDXL, whose latents of 16 pixels are 8 x 8, with one."""
    (tmp_path / "sdxl.pth").write_bytes(b"weights")
    monkeypatch.setattr(npnet, "SHAPE", (4, 8, 8))
    monkeypatch.setattr(npnet, "read", lambda path: {})
    monkeypatch.setattr(npnet, "check_width", lambda parts, width: None)
    monkeypatch.setattr(npnet, "load", lambda path, width: Fake())
    return StableDiffusionXL(str(saved / "sdxl"), size=SMALL, npnet=str(tmp_path / "sdxl.pth"))


@pytest.mark.ci
def test_every_way_of_drawing_starts_there(small):
    """SDXL, with other networks on other legs, watched; and a pipeline without one starts from its noise."""
    prompts, noise = ["a red star", "three blue rings"], starting_noise((0, 1), (4, 8, 8))
    sampler, plain = zz.Reflection(3.0, 2.0, 0.0), replace(small, npnet=None)
    sides = Side(plain, prompt="a ring"), Side(small)

    def drawn(model, **more):
        return zz.sample(model, prompts, sampler=sampler, steps=2, output="latent", **more)

    with plain.open() as pipeline:
        cond, _ = pipeline.encode(prompts, [None, None])
        assert pipeline.start(noise, cond) is noise
        expected = drawn(pipeline, initial_latents=Fake()(noise, cond.tokens))
    assert torch.equal(drawn(small), expected) and torch.equal(
        drawn(small, batch_size=1)[:1], drawn(small, batch_size=1)[:1]
    )
    tiny.close(drawn(small, batch_size=1), expected, 1e-5)
    assert torch.equal(drawn(small, initial_latents=noise), drawn(plain))
    with small.open() as pipeline:
        assert torch.equal(drawn(zz.AttentionMaps(pipeline, [0])), expected)
    assert torch.equal(drawn(PerLeg(small, Side(), sides[1])), expected)
    with PerLeg(small, *sides).open() as pipeline:
        cond, _ = pipeline.encode(prompts, [None, None])
        assert torch.equal(pipeline.start(noise, cond), Fake()(noise, cond.own.tokens))


def test_the_lab_starts_there(small, tmp_path):
    """The picture is that of `zz.sample`, the ledger names the weights, and without them it is another cell."""
    store, options = Store(tmp_path / "store"), {"sampler": zz.Standard(2.0), "steps": 2}
    golden, plain = (
        job(["a red star"], seed=3, model=model, size=SMALL, **options) for model in (small, replace(small, npnet=None))
    )
    run(store, golden, plain)
    assert golden.cell.ledger["model"] == {**plain.cell.ledger["model"], "npnet": file_digest(Path(small.npnet))}
    pictures = [np.asarray(store.image(one.cell, *store.names(one.cell)), int) for one in (golden, plain)]
    ours = [np.asarray(*zz.sample(one.model, "a red star", seed=3, **options), int) for one in (golden, plain)]
    assert all(np.abs(a - b).max() <= 1 for a, b in zip(pictures, ours, strict=True))
    assert np.abs(ours[0] - ours[1]).max() > 10


def test_it_is_part_of_the_identity_only_when_set(small):
    plain = replace(small, npnet=None)
    assert "npnet" not in plain.identity() and "npnet" not in plain.source()
    assert small.identity() == {**plain.identity(), "npnet": file_digest(Path(small.npnet))}
    assert small.source() == {**plain.source(), "npnet": small.npnet}
    assert small.asked(()).npnet == small.npnet and small.as_leg() == plain


def test_on_other_legs_it_is_nothing(small):
    """Which start no trajectory: the model with it and the one without are then one."""
    plain = replace(small, npnet=None)
    for own in (small, plain):
        assert PerLeg(own, weak=Side(small)) == PerLeg(own, weak=Side(plain)) == PerLeg(own)
        assert PerLeg(own, weak=Side(small)).asked(()) == own


def test_a_file_of_the_hub(small, tmp_path, monkeypatch):
    from huggingface_hub import constants

    from zz.hub import location as hub

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub._on_hub.cache_clear()
    commit, home = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub" / "models--makers--noise"
    (home / "snapshots" / commit).mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    absent = replace(small, npnet="makers/noise/sdxl.pth")
    absent.check(SMALL, ())  # it is downloaded when it is opened
    assert absent.npnet_here(absent.npnet) is None
    shutil.copy(small.npnet, home / "snapshots" / commit / "sdxl.pth")
    for name in ("makers/noise/sdxl.pth", f"makers/noise@{commit}/sdxl.pth"):
        model = replace(small, npnet=name)
        assert model.npnet_here(name) and model.identity() == small.identity()
        assert model.source()["npnet"] == f"makers/noise@{commit}/sdxl.pth"
    assert absent.npnet_command("makers/noise@v1/sdxl.pth") == "hf download makers/noise sdxl.pth --revision v1"


def test_what_cannot_be_is_said_before_anything_is_loaded(saved, file, tmp_path):
    def refused(said, size=SIZE, **fields):
        with pytest.raises(ValueError, match=said):
            described(saved, file, **fields).check(size, ())

    described(saved, file).check(SIZE, ())
    described(saved, file, npnet=None).check((512, 512), ())
    refused(
        r"^size=512x512: model\.npnet=.* 1024x1024 pixels only; choose size=\[1024,1024\] or model\.npnet=null$",
        (512, 512),
    )
    published = r"such as Klayand/GoldenNoiseModel/dit\.pth"
    for name in ("/nowhere/dit.pth", "makers/noise", str(tmp_path)):
        refused(
            rf"^model\.npnet={name} is neither a file that is there nor a hub id with a file, {published}$", npnet=name
        )
    fit = (
        r"^model\.npnet=.* is no NPNet for a HunyuanDiTPipeline: {}.*; give one that was trained with it, .*, or null$"
    )
    empty: dict[str, dict] = {name: {} for name in npnet.PARTS}
    bad = {
        "it is no file of weights that torch reads": b"nothing",
        r"it holds a list, not a dict of unet_svd, ": [1],
        r"it has no unet_embedding, embedding, alpha, beta; what it has: unet_svd, other": {"unet_svd": {}, "other": 1},
        "its unet_svd is no dict of tensors": dict.fromkeys(npnet.PARTS, 0),
        "it reads tokens of unknown width": empty,
        "it reads tokens of width 2048, but this model's text has 16": {
            **empty,
            "embedding": {"linear.weight": torch.zeros(8, 77 * 2048)},
        },
    }
    for n, (said, whole) in enumerate(bad.items()):
        path = tmp_path / f"{n}.pth"
        path.write_bytes(whole) if isinstance(whole, bytes) else torch.save(whole, path)
        refused(fit.format(said), npnet=str(path))
    with pytest.raises(ValueError, match=r"model\.npnet=3 "):
        described(saved, 3, npnet=3)
    with pytest.raises(TypeError):
        zz.StableDiffusion("x", npnet="y")


def test_a_load_is_strict(saved, parts, tmp_path):
    """What is missing, too much or of another shape is named when it is opened, before the model is loaded."""
    wrong = {
        r"Missing key.*mlp1\.0\.bias": ("unet_svd", "mlp1.0.bias", None),
        r"Unexpected key.*extra": ("unet_svd", "extra", torch.zeros(1)),
        r"size mismatch for mlp3\.0\.weight": ("unet_svd", "mlp3.0.weight", torch.zeros(3, 3)),
        r"Missing key.*upconv\.bias": ("unet_embedding", "upconv.bias", None),
        r"swin: missing .*layernorm\.weight": ("unet_embedding", "swin.norm.weight", None),
        r"swin: unexpected .*more": ("unet_embedding", "swin.layers.0.more", torch.zeros(1)),
        r"swin: mismatched .*reduction": (
            "unet_embedding",
            "swin.layers.1.downsample.reduction.weight",
            torch.zeros(3, 3),
        ),
        r"Missing key.*linear\.bias": ("embeeding", "linear.bias", None),
    }
    for said, (part, key, value) in wrong.items():
        changed = {k: v for k, v in parts[part].items() if k != key} | ({} if value is None else {key: value})
        torch.save({**parts, part: changed}, tmp_path / "wrong.pth")
        with (
            pytest.raises(
                ValueError, match=rf"is no NPNet for a HunyuanDiTPipeline: it does not fit .*{said}.* or null$"
            ),
            described(saved, tmp_path / "wrong.pth").open(),
        ):
            pytest.fail("it opened")
    torch.save({**parts, "alpha": torch.zeros(2)}, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match="it does not fit the network"):
        npnet.load(tmp_path / "wrong.pth", WIDTH)
