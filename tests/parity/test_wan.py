"""Ours against diffusers' own WanPipeline, on tiny random weights, loaded from a folder by the description."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

import zz
from tests.parity import tiny, tiny_flow
from zz.diffusion.noise import starting_noise
from zz.models.doctor import health
from zz.models.pretrained.borrowed import adapted
from zz.models.wan import Wan

pytestmark = pytest.mark.slow  # with those of their kind, about a minute

T, GAMMA, F = 5, 5.0, 5
PROMPTS, NEGATIVE, SEEDS = ["a red star", "three blue rings"], ["a ring", ""], (3, 1)
SHAPE = (4, 2, 4, 6)  # of 5 frames: 1 + 4
EULER = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
UNIPC = diffusers.UniPCMultistepScheduler


@dataclass(frozen=True)
class Kind:
    """Where one is saved, as it was loaded, and the pixels of SHAPE."""

    folder: str
    pipe: object
    size: tuple[int, int]


@pytest.fixture(scope="module", params=["2.1", "2.2"])
def kind(request, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("wan"))
    tiny_flow.wan(request.param).save_pretrained(path)
    size = (32, 48) if request.param == "2.1" else (64, 96)
    return Kind(path, tiny.ready(diffusers.WanPipeline.from_pretrained(path)), size)


@pytest.fixture
def model(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Wan(kind.folder, size=kind.size, frames=F)


@pytest.fixture
def borrowed(kind):
    """For tests that give it another scheduler."""
    before = kind.pipe.scheduler
    yield kind.pipe
    kind.pipe.scheduler = before


@pytest.fixture
def opened(kind):
    """As many frames as here, of the pipeline in memory."""
    return zz.WanPipeline(kind.pipe, kind.size, frames=F)


def theirs(pipe, scheduler, negative=NEGATIVE, output="latent", gamma=GAMMA, **more):
    pipe.scheduler = scheduler
    height, width = (pipe.vae_scale_factor_spatial * side for side in SHAPE[-2:])
    told = {"num_inference_steps": T, "guidance_scale": gamma, "height": height, "width": width, "num_frames": F}
    told |= {"latents": starting_noise(SEEDS, SHAPE), "output_type": output, "negative_prompt": negative}
    return pipe(PROMPTS, **told | more).frames


def ours(model, sampler=None, negative=NEGATIVE, output="latent", **more):
    settings = {"steps": T, "initial_latents": starting_noise(SEEDS, SHAPE), "negative_prompt": negative}
    settings |= {"output": output}
    return zz.sample(model, PROMPTS, sampler=sampler or zz.Standard(GAMMA), **settings | more)


def first_order(pipe):
    """UniPC's predictor alone, which at order 1 is DDIM."""
    return UNIPC.from_config(pipe.scheduler.config, solver_order=1, disable_corrector=list(range(T)))


@pytest.mark.parametrize("negative", [None, NEGATIVE], ids=["none", "negative"])
def test_latents_are_those_of_diffusers_on_its_own_schedule(model, borrowed, negative):
    found = ours(model, negative=negative)
    assert found.shape == (2, *SHAPE) and found.dtype == torch.float32
    tiny.close(found, theirs(borrowed, first_order(borrowed), negative))
    assert (found - ours(model, zz.Standard(GAMMA + 1), negative)).abs().max() > 1e-3, "guidance has a say"
    if negative:
        assert (found - ours(model, negative=None))[0].abs().max() > 1e-3, "and the negative prompt"


def test_latents_are_those_of_flow_euler(borrowed):
    expected = theirs(borrowed, EULER)
    tiny.close(ours(borrowed), expected)


def test_without_guidance_there_is_one_branch(model, borrowed):
    tiny.close(ours(model, zz.Standard(1.0)), theirs(borrowed, first_order(borrowed), gamma=1.0))


def test_clips_are_those_of_diffusers(kind, model, borrowed):
    clips = ours(model, output="image")
    expected = theirs(borrowed, first_order(borrowed), output="np")
    assert [len(clip) for clip in clips] == [F, F] and clips[0][0].size == kind.size[::-1]
    for clip, their in zip(clips, expected, strict=True):
        found = np.stack([np.asarray(frame) for frame in clip]).astype(float)
        assert np.abs(found - their * 255).max() <= 1


@pytest.mark.parametrize("gamma2", [0.0, 1.0, GAMMA])
def test_zigzag_is_finite_and_its_rows_are_counted(opened, gamma2):
    rows, sampler = [], zz.Zigzag(GAMMA, gamma2, lambda_=2)
    hook = opened.net.register_forward_pre_hook(
        lambda _, __, told: rows.append(tuple(told["hidden_states"].shape)), with_kwargs=True
    )
    found = ours(opened, sampler)
    hook.remove()
    assert found.isfinite().all() and len(rows) == sampler.nfe(T) and {row[1:] for row in rows} == {SHAPE}
    assert sorted(row[0] for row in rows) == sorted([4] * (T + 2) + [2 if gamma2 < 2 else 4] * 2)


def test_zigzag_without_zigzags_is_standard(model):
    standard = ours(model)
    assert torch.equal(standard, ours(model, zz.Zigzag(GAMMA, lambda_=0)))
    assert not torch.equal(standard, ours(model, zz.Zigzag(GAMMA)))


def test_a_clip_is_the_same_alone_and_in_company(opened):
    told = {"steps": T, "output": "latent", "sampler": zz.Standard(GAMMA), "negative_prompt": NEGATIVE[0]}
    alone = zz.sample(opened, PROMPTS[0], initial_latents=starting_noise(SEEDS[:1], SHAPE), **told)
    tiny.close(alone, ours(opened)[:1], 1e-5)


def test_frames_see_each_other(opened):
    noise = starting_noise(SEEDS, SHAPE)
    other = noise.clone()
    other[:, :, -1] = starting_noise((8, 9), (4, *SHAPE[2:]))
    one, two = (ours(opened, initial_latents=x) for x in (noise, other))
    assert (one[:, :, 0] - two[:, :, 0]).abs().max() > 1e-4 * one.abs().max()


def test_a_pipeline_in_memory_is_what_its_folder_describes(kind, model):
    assert torch.equal(ours(model), ours(kind.pipe))
    with adapted(kind.pipe) as opened:
        assert (opened.levels, opened.schedule) == model.noise_levels() and opened.can == model.can
        assert opened.size == (480, 832) and opened.shape(kind.size) == (4, 21, *SHAPE[2:])
        assert dict(opened.reads) == {"tokenizer": 512}
    assert health(model, kind.size, room={"cpu": 1.0})[-1].state == "ok"


def test_the_identity_is_of_all_that_numbers_depend_on(kind, model, tmp_path):
    told = model.identity()
    assert told["frames"] == F and told == replace(model, fps=3).identity()
    others = [replace(model, frames=9), replace(model, text_tokens=8)]
    assert len({str(one.identity()) for one in (model, *others)}) == 3
    assert ("expand_timesteps" in told) == kind.pipe.config.expand_timesteps


def test_clips_and_pictures_come_back(kind, opened):
    """Encoding is decoding's scaling undone, channel by channel, as in diffusers' pipeline from video to video."""
    x, vae = starting_noise(SEEDS, SHAPE), kind.pipe.vae
    assert (opened._scaled(opened._unscaled(x)) - x).abs().max() < 1e-5
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    clips = torch.randint(0, 256, (1, F, *kind.size, 3), dtype=torch.uint8)
    code = vae.encode(clips.permute(0, 4, 1, 2, 3) / 127.5 - 1).latent_dist.mode()
    tiny.close(opened.encode_image(clips), (code - mean) * (1 / std), 1e-6)
    with pytest.raises(ValueError, match=r"these clips have 1 frames, not 5; model\.frames=1 takes them"):
        opened.encode_image(clips[:, 0])
    single = zz.WanPipeline(kind.pipe, kind.size, frames=1)
    pictures = single.encode_image(clips[:, 0])
    assert pictures.shape[1:] == single.shape(kind.size) == (4, 1, *SHAPE[2:])
    tiny.close(pictures, opened.encode_image(clips)[:, :, :1], 1e-5)
    assert single.decode(pictures).shape == (1, 1, *kind.size, 3)


def test_half_precision_keeps_its_state_in_full(kind, opened):
    half = tiny.ready(diffusers.WanPipeline.from_pretrained(kind.folder)).to(torch.bfloat16)
    found, full = ours(half), ours(opened)
    assert found.dtype == torch.float32
    assert (found - full).abs().max() < 0.1 * full.abs().max()


def test_its_autoencoder_stays_in_full_precision(kind, model):
    with model.open(precision="bf16") as opened:
        assert opened.net.dtype == torch.bfloat16 and opened.parts.vae.dtype == torch.float32
        assert opened.parts.text_encoder.dtype == torch.bfloat16
        clips = ours(opened, output="image")
    assert len(clips[0]) == F and clips[0][0].size == kind.size[::-1]


def test_a_lora_for_it_is_diffusers_own(kind, model, tmp_path):
    tiny.lora(tiny_flow.wan(), tmp_path / "lora")
    other = tiny.ready(diffusers.WanPipeline.from_pretrained(kind.folder))
    other.load_lora_weights(tmp_path / "lora")
    found = ours(replace(model, lora=str(tmp_path / "lora")))
    tiny.close(found, ours(other))
    assert (found - ours(model)).abs().max() > 1e-3


def test_recording_attention_changes_no_bit_and_maps_sum_to_one(opened):
    """The mean over frames, all of which are queries of one row; the padding's zeros are looked at, too."""
    maps = zz.AttentionMaps(opened, range(512), steps=[0], legs=["zag"])
    sampler = zz.Zigzag(3.0, 1.0, lambda_=1)
    assert torch.equal(ours(maps, sampler, probe=maps.probe), ours(opened, sampler))
    for n in range(2):
        total = torch.stack([maps.mean(token, prompt=n) for token in range(512)]).sum(0)
        assert total.shape == SHAPE[2:] and (total - 1).abs().max() <= 1e-5


def test_a_place_of_any_frame_is_where_it_is_on_the_map(opened, monkeypatch):
    """What moves one place of one frame, before the first layer, moves the map there most."""
    cond, _ = opened.encode(PROMPTS[:1], [None])
    x, node = starting_noise(SEEDS[:1], SHAPE), opened.levels.node(500)

    def shares(x):
        maps = zz.AttentionMaps(opened, range(6), layers=r"blocks\.0\.", size=(2, 3))
        maps.encode(PROMPTS[:1], [None])
        maps._cond = cond
        maps(x, node, cond)
        return torch.stack(list(maps._passes[0].maps[0].values()))

    weight = opened.net.blocks[0].attn1.to_out[0].weight
    monkeypatch.setattr(weight, "data", torch.zeros_like(weight))  # places do not see each other yet
    before = shares(x)
    for frame, row, column in ((0, 0, 0), (1, 1, 2), (1, 0, 1)):
        moved = x.clone()
        moved[:, :, frame, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 3
        change = (shares(moved) - before).abs().sum(0)
        assert divmod(change.argmax().item(), 3) == (row, column) and (change > 1e-6).sum() == 1


def test_a_word_is_where_its_tokens_are(opened):
    """Found by what the encoder reads: the prompt is cleaned first, of spaces and HTML."""
    maps, said = zz.AttentionMaps(opened, ["star"]), "  a   red &lt;star"
    found = maps._locate(said)["star"]
    cond = opened.encode([said], [None])[0]
    tokens = opened.parts.tokenizer.convert_ids_to_tokens(opened.parts.tokenizer("a red <star").input_ids)
    assert [tokens[c] for c in found] == ["star"]
    assert cond[0].abs().sum(-1).nonzero().max() == len(tokens) - 1 == found[0] + 1
    assert zz.WanPipeline(opened.parts, frames=F, text_tokens=3).cut([said, "b"]) == {said: 3}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"scheduler": diffusers.DDIMScheduler()}, "the WanPipeline has a DDIMScheduler; a rectified-flow schedule is"),
        (
            {"scheduler": tiny_flow.flow_solver(UNIPC, use_beta_sigmas=True)},
            "a flow's scheduler with use_beta_sigmas=True is not supported",
        ),
        ({"transformer_2": tiny_flow.wan_transformer()}, "the WanPipeline has two experts .*give one with a single"),
        ({"boundary_ratio": 0.9}, r"the WanPipeline has two experts \(transformer_2, boundary_ratio=0\.9\)"),
        (
            {"transformer": tiny_flow.wan_transformer(added_kv_proj_dim=8)},
            "is it of image to video",
        ),
        ({"transformer": tiny_flow.wan_transformer(in_channels=9)}, "reads more than latents"),
        ({"transformer": None}, r"the WanPipeline has no transformer, which zz needs: .*or set pipe\.transformer"),
    ],
)
def test_what_cannot_be_adapted(part, message):
    with pytest.raises(ValueError, match=message):
        zz.sample(tiny_flow.wan(**part), "a", steps=2, size=32, output="latent")


def test_refusals(kind, model, tmp_path):
    with pytest.raises(ValueError, match=r"model\.frames=6 must be 4 n \+ 1, as its autoencoder makes; choose 5 or 9"):
        replace(model, frames=6).check(kind.size, PROMPTS)
    with pytest.raises(ValueError, match=r"frames=80 must be 4 n \+ 1, as its autoencoder makes; choose 77 or 81"):
        zz.WanPipeline(kind.pipe, frames=80)
    with pytest.raises(ValueError, match=r"model\.fps=2\.5 must be a whole number"):
        replace(model, fps=2.5)
    multiple = kind.size[0] // 2
    with pytest.raises(ValueError, match=rf"size=\d+x\d+ must be multiples of {multiple}; choose size="):
        model.check((kind.size[0], kind.size[1] + 8), PROMPTS)
    two = Path(shutil.copytree(kind.folder, tmp_path / "two"))
    index = json.loads((two / "model_index.json").read_text())
    for change in ({"transformer_2": ["diffusers", "WanTransformer3DModel"]}, {"boundary_ratio": 0.875}):
        (two / "model_index.json").write_text(json.dumps(index | change))
        with pytest.raises(ValueError, match=r"model\.pretrained=.* has two experts"):
            replace(model, pretrained=str(two)).check(kind.size, PROMPTS)
    (two / "model_index.json").write_text(json.dumps({k: v for k, v in index.items() if k != "transformer_2"}))
    assert torch.equal(ours(replace(model, pretrained=str(two))), ours(model)), "as older ones are saved"


PUBLISHED = {  # billions of parameters; what differs from diffusers' defaults, which are those of 14B
    "1.3B": (1.4, {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}),
    "14B": (14.3, {}),
    "5B": (
        5.0,
        {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48, "out_channels": 48},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_fit_without_weights(name):
    """On the meta device: as many parameters as published, a clip's size, and a call with both branches."""
    billions, config = PUBLISHED[name]
    vae = {"z_dim": 48, "scale_factor_spatial": 16} if name == "5B" else {}
    with torch.device("meta"):
        network, vae = diffusers.WanTransformer3DModel(**config), diffusers.AutoencoderKLWan(**vae)
    assert round(sum(p.numel() for p in network.parameters()) / 1e9, 1) == billions
    with adapted(tiny_flow.wan("2.2" if name == "5B" else "2.1", transformer=network, vae=vae)) as opened:
        shape = opened.shape((704, 1280) if name == "5B" else opened.size)
        assert shape == ((48, 21, 44, 80) if name == "5B" else (16, 21, 60, 104))
        cond = torch.empty(1, 512, 4096, device="meta")
        said = opened(torch.empty(1, *shape, device="meta"), opened.levels.node(500), cond, cond)
    assert [p.eps.shape for p in said] == [(1, *shape)] * 2
