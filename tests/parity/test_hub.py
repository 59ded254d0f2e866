"""Where weights come from: folders, overrides, a hub that is a cache on this disk, and a hub that says no."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

import zz
from tests.parity import tiny
from zz.hub import location as hub
from zz.models.pretrained.description import Savings
from zz.models.sd import StableDiffusion
from zz.models.sdxl import StableDiffusionXL

SIZE, COMMIT = (16, 16), "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sd")
    tiny.sd().save_pretrained(path)
    tiny.sd(unet=tiny.unet(seed=1)).save_pretrained(path, variant="fp16")
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another U-Net, in a pipeline's subfolder, and another autoencoder, on its own."""
    path = tmp_path_factory.mktemp("other")
    tiny.unet(seed=2).save_pretrained(path / "unet")
    tiny.vae(seed=2).save_pretrained(path / "vae")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A hub's cache of its own for each test, without a network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "digests"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for function in (hub._on_hub, hub._bring):
        function.cache_clear()
    return tmp_path / "hub"


def stock(cache, repo, folder):
    """What a finished download leaves behind."""
    home = cache / f"models--{repo.replace('/', '--')}"
    shutil.copytree(folder, home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    return home / "snapshots" / COMMIT


def draw(model):
    return zz.sample(model, "a red star", sampler=zz.Standard(3.0), steps=2, size=SIZE, output="latent")


def test_parts_from_elsewhere_stand_in(folder, other, tmp_path):
    """A U-Net and an autoencoder that replace a model's own are what is drawn with, and what it is known by."""
    plain = StableDiffusion(str(folder), size=SIZE)
    moved = StableDiffusion(str(folder), unet=str(other), vae=str(other / "vae"), size=SIZE)
    with plain.open() as a, moved.open() as b:
        for part in ("unet", "vae"):
            ours, theirs = getattr(a.parts, part).state_dict(), getattr(b.parts, part).state_dict()
            assert any((ours[key] != theirs[key]).any() for key in ours)
        whole = tmp_path / "whole"
        b.parts.save_pretrained(whole)
        found = draw(b)
    assert (found == draw(StableDiffusion(str(whole), size=SIZE))).all()
    identities = [
        StableDiffusion(str(folder), unet=unet, vae=vae).identity()
        for unet in (None, str(other))
        for vae in (None, str(other / "vae"))
    ]
    assert len({json.dumps(identity) for identity in identities}) == 4
    assert moved.source() == {"pretrained": str(folder), "commit": None, "unet": str(other), "vae": str(other / "vae")}


def test_a_variant_is_other_weights(folder):
    plain, half = StableDiffusion(str(folder), size=SIZE), StableDiffusion(str(folder), variant="fp16", size=SIZE)
    assert plain.identity() != half.identity()
    assert (draw(plain) != draw(half)).any()
    with pytest.raises(
        ValueError, match=r"model\.variant=bf16 is not among the weights of .*; choose model.variant=null"
    ):
        StableDiffusion(str(folder), variant="bf16").identity()


def test_a_hub_id_is_known_by_its_files_and_its_commit(folder, cache):
    stock(cache, "makers/model", folder)
    model = StableDiffusion("makers/model", size=SIZE)
    assert model.identity() == StableDiffusion(str(folder)).identity(), "wherever the files came from"
    assert model.source() == {"pretrained": "makers/model", "commit": COMMIT}
    assert (draw(model) == draw(StableDiffusion(str(folder), size=SIZE))).all()


def test_mirrors_are_tried_in_order(folder, cache):
    stock(cache, "copies/second", folder)
    model = StableDiffusion("gone/model", mirrors=["copies/first", f"copies/second@{COMMIT}"])
    assert model.source() == {"pretrained": "copies/second", "commit": COMMIT}
    assert model.identity() == StableDiffusion(str(folder)).identity()
    with pytest.raises(
        ValueError, match=r"model\.pretrained=gone/other: .* \(and of its mirrors copies/first none is\)"
    ):
        StableDiffusion("gone/other", mirrors=("copies/first",)).noise_levels()


def test_a_download_cut_short(folder, cache):
    home = stock(cache, "makers/model", folder)
    (home / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (home / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    with pytest.raises(ValueError, match=r"makers/model: unet/ \(no weights\) of it is not in .*HF_HUB_OFFLINE is set"):
        StableDiffusion("makers/model").identity()


def test_a_folder_cut_short(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with (
        pytest.raises(ValueError, match=r"model\.pretrained=.* cannot be loaded: .* delete it and run again"),
        StableDiffusion(str(copy), size=SIZE).open(),
    ):
        pass
    weights.rename(weights.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
    with pytest.raises(ValueError, match="is not whole: vae/ has 1 of 2 weights files; copy it again"):
        StableDiffusion(str(copy)).identity()
    shutil.rmtree(copy / "tokenizer")
    with pytest.raises(ValueError, match="is not whole: tokenizer/ has no configuration"):
        StableDiffusion(str(copy)).identity()


def answer(kind, status):
    """An error of huggingface_hub's as the hub's answer would raise it."""
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("it said\nmuch", response=response)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            answer(errors.GatedRepoError, 403),
            r"is gated: accept its terms at https://huggingface\.co/makers/model, then",
        ),
        (answer(errors.RepositoryNotFoundError, 404), "is not on the hub, or is private: check its spelling"),
        (answer(errors.RevisionNotFoundError, 404), "has no revision=v9: give a branch, tag or commit"),
        (answer(errors.RemoteEntryNotFoundError, 404), r"is no such model: it has no model_index\.json"),
        (answer(errors.HfHubHTTPError, 401), r"the hub refuses the token \(401\); log in with `hf auth login`"),
        (answer(errors.HfHubHTTPError, 503), "the hub answered 503; try again later"),
        (errors.LocalEntryNotFoundError("x"), "and HF_HUB_OFFLINE is set; unset it, or give a folder"),
        (OSError(28, "No space left on device"), "cannot be had .*No space left on device.*; run again"),
    ],
)
def test_what_the_hub_says_is_passed_on_in_one_line(error, message, monkeypatch):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(ValueError, match=rf"^model\.pretrained=makers/model.*{message}") as caught:
        StableDiffusion("makers/model", revision="v9").noise_levels()
    assert "\n" not in str(caught.value)


def test_without_a_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise errors.LocalEntryNotFoundError("not here") from ConnectionError("name resolution failed")

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(hub, "_reachable", lambda: True)
    said = r"cannot be reached \(ConnectionError: name resolution failed\); `python -m zz\.doctor` with the same words"
    with pytest.raises(ValueError, match=said):
        StableDiffusion("makers/model").noise_levels()


def test_only_what_is_loaded_is_downloaded(folder, monkeypatch, cache):
    """Of a repository with everything twice, the variant that is asked for, and no checker and no other framework's."""
    listed = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
    listed += [
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "all.safetensors",
    ]
    asked = []
    stock(cache, "makers/model", folder)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo, revision: listed)
    monkeypatch.setattr(hub, "snapshot_download", lambda repo, revision, allow_patterns: asked.extend(allow_patterns))
    StableDiffusion("makers/model", variant="fp16").identity()
    weights = {Path(name) for name in asked if not name.endswith((".json", ".txt"))}
    assert weights == {
        Path("unet/diffusion_pytorch_model.fp16.safetensors"),
        Path("vae/diffusion_pytorch_model.fp16.safetensors"),
        Path("text_encoder/model.fp16.safetensors"),
    }
    assert "scheduler/scheduler_config.json" in asked and "tokenizer/tokenizer_config.json" in asked


def test_facts_are_asserted(folder):
    StableDiffusion(str(folder), prediction_type="epsilon").check(SIZE, [])
    expected = r"says prediction_type=epsilon, but model\.prediction_type=v_prediction is expected: .*=null takes it"
    with pytest.raises(ValueError, match=expected):
        StableDiffusion(str(folder), prediction_type="v_prediction").check(SIZE, [])
    with pytest.raises(ValueError, match="is a StableDiffusionPipeline, not a StableDiffusionXLPipeline"):
        StableDiffusionXL(str(folder)).check(SIZE, [])


def test_parts_that_do_not_fit(folder, tmp_path):
    tiny.unet(cross_attention_dim=24).save_pretrained(tmp_path / "wide" / "unet")
    tiny.vae(latent_channels=8).save_pretrained(tmp_path / "deep")
    with pytest.raises(ValueError, match=r"model\.unet=.* reads text of width 24, but this model's has 16"):
        StableDiffusion(str(folder), unet=str(tmp_path / "wide")).check(SIZE, [])
    with pytest.raises(ValueError, match=r"model\.vae=.* has latents of 8 channels, but the U-Net reads 4"):
        StableDiffusion(str(folder), vae=str(tmp_path / "deep")).check(SIZE, [])
    with pytest.raises(
        ValueError, match=r"model\.vae=.* is no such folder: it has no vae/config\.json or config\.json"
    ):
        StableDiffusion(str(folder), vae=str(tmp_path)).check(SIZE, [])


def test_savings(folder):
    """Only tiles are part of what a picture is of; text encoders come back for the next prompts."""
    plain = StableDiffusion(str(folder), size=SIZE)
    saving = StableDiffusion(str(folder), size=SIZE, savings=Savings(slicing=True, release=True))
    assert saving.identity() == plain.identity()
    assert StableDiffusion(str(folder), savings=Savings(tiling=True)).identity() != plain.identity()
    with saving.open() as pipeline:
        assert pipeline.parts.vae.use_slicing and not pipeline.parts.vae.use_tiling
        assert (draw(pipeline) == draw(plain)).all() and (draw(pipeline) == draw(plain)).all()
    with (
        pytest.raises(ValueError, match=r"model\.savings\.offload=true needs a GPU"),
        StableDiffusion(str(folder), size=SIZE, savings=Savings(offload=True)).open(),
    ):
        pass


def test_offloading_without_accelerate(folder, monkeypatch):
    monkeypatch.setattr("zz.models.pretrained.description.find_spec", lambda name: None)
    model = StableDiffusion(str(folder), size=SIZE, savings=Savings(offload=True))
    with pytest.raises(ValueError, match=r"needs accelerate, which is not installed"), model.open("cuda"):
        pass
