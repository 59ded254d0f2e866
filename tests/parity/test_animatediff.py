"""Ours against diffusers' own AnimateDiffPipeline, on tiny random weights that are made here.

A random network blows an eps-model's latents up to tens, so agreement is relative to the largest value. Both sides must
agree where diffusers' DDIM walks a chain of nodes (leading, and trailing where T divides 1000); its linspace is none.
"""

from dataclasses import replace
from itertools import pairwise

import diffusers
import numpy as np
import pytest
import torch

import zz
from tests.parity import tiny
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.schedules.timesteps import Timesteps
from zz.models.animatediff import AnimateDiff

T, GAMMA, F = 5, 4.0, 4
PROMPTS, NEGATIVE, SEEDS = ["a red star", "three blue rings"], ["blurred", "a star"], (3, 1)
SIZE = (16, 32)  # multiples of 8: the autoencoder halves once, the U-Net twice
SHAPE = (4, F, SIZE[0] // 2, SIZE[1] // 2)
PAIRED = {"leading": Timesteps("leading", 1, "clean"), "trailing": Timesteps("trailing", 0, "clean")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A Stable Diffusion and a motion adapter, as a hub would hold them."""
    base, adapter = tmp_path_factory.mktemp("sd"), tmp_path_factory.mktemp("adapter")
    tiny.sd().save_pretrained(base)
    tiny.motion_adapter().save_pretrained(adapter)
    return str(base), str(adapter)


@pytest.fixture
def model(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return AnimateDiff(folders[0], motion_adapter=folders[1], size=SIZE, frames=F)


@pytest.fixture(scope="module")
def pipe(folders):
    adapter = diffusers.MotionAdapter.from_pretrained(folders[1])
    made = diffusers.AnimateDiffPipeline.from_pretrained(folders[0], motion_adapter=adapter)
    made.scheduler = tiny.linear("linspace")
    return tiny.ready(made)


def theirs(pipe, spacing, gamma=GAMMA, negative=NEGATIVE, output="latent", steps=T, **more):
    pipe.scheduler = tiny.linear(spacing)
    given = {"latents": starting_noise(SEEDS, SHAPE), "negative_prompt": negative, "output_type": output, **more}
    return pipe(PROMPTS, F, *SIZE, steps, gamma, **given).frames


def ours(model, sampler=None, negative=NEGATIVE, output="latent", steps=T, **more):
    sampler = sampler or zz.Standard(GAMMA)
    more = {"negative_prompt": negative, "seeds": SEEDS, **more}
    return zz.sample(model, PROMPTS, sampler=sampler, steps=steps, output=output, **more)


@pytest.mark.slow
@pytest.mark.parametrize("spacing", PAIRED)
@pytest.mark.parametrize("negative", [None, NEGATIVE])
@pytest.mark.parametrize("gamma", [1.0, GAMMA])
def test_latents_are_those_of_diffusers(model, pipe, spacing, negative, gamma):
    found = ours(model, zz.Standard(gamma), negative, schedule=PAIRED[spacing])
    assert found.shape == (2, *SHAPE) and found.dtype == torch.float32
    tiny.close(found, theirs(pipe, spacing, gamma, negative))


def test_clips_are_those_of_diffusers(model, pipe):
    clips = ours(model, output="image", schedule=PAIRED["leading"])
    expected = theirs(pipe, "leading", output="np")
    assert [len(clip) for clip in clips] == [F, F] and clips[0][0].size == SIZE[::-1]
    for clip, their in zip(clips, expected, strict=True):
        found = np.stack([np.asarray(frame) for frame in clip]).astype(float)
        assert np.abs(found - their * 255).max() <= 1


def test_linspace_is_a_chain_here_and_none_in_diffusers(model, pipe):
    """The same times are told to the network; theirs go from t to t - 1000 // T, ours to the next node."""
    nodes = model.noise_levels()[1].nodes(model.noise_levels()[0], T)
    found, expected = ours(model), theirs(pipe, "linspace")
    assert [node.time for node in nodes[:-1]] == pipe.scheduler.timesteps.tolist() == [999, 749, 500, 250, 0]
    assert nodes[-1].sigma == 0
    apart = ((found - expected).abs().max() / expected.abs().max()).item()
    assert apart > 0.05, f"{apart:.2g}"  # 49 nodes of 1000 lie between the two chains


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize("to_one", [True, False])
def test_a_pipeline_goes_in_as_it_is(folders, pipe, spacing, to_one):
    pipe.scheduler = tiny.linear(spacing, set_alpha_to_one=to_one)
    given = {"initial_latents": starting_noise(SEEDS, SHAPE), "negative_prompt": NEGATIVE}
    found = zz.sample(pipe, PROMPTS, sampler=zz.Standard(GAMMA), steps=T, output="latent", **given)
    assert found.shape == (2, *SHAPE)
    if spacing != "linspace":
        steps = {"latents": given["initial_latents"], "negative_prompt": NEGATIVE, "output_type": "latent"}
        tiny.close(found, pipe(PROMPTS, F, *SIZE, T, GAMMA, **steps).frames)


def test_a_pipeline_has_as_many_frames_as_its_adapter_was_made_for(pipe):
    (clip,) = zz.sample(pipe, "a red star", steps=2, size=SIZE)
    assert len(clip) == pipe.unet.config.motion_max_seq_length == 6


def test_zigzag_without_zigzags_is_standard(model):
    each = [ours(model, sampler) for sampler in (zz.Standard(GAMMA), zz.Zigzag(GAMMA, lambda_=0))]
    assert torch.equal(*each)


def test_zigzag_is_the_same_written_out_with_diffusers_network(model, pipe):
    """Algorithm 1 by hand over the U-Net as the pipeline calls it; gamma2 = 0."""
    levels, _ = model.noise_levels()
    nodes = PAIRED["leading"].nodes(levels, T)
    cond, uncond = pipe.encode_prompt(PROMPTS, "cpu", 1, True, NEGATIVE)
    cond, uncond = (text.repeat_interleave(F, 0) for text in (cond, uncond))

    def move(x, at, to, gamma):
        """The network is given the noisier of the two times, and its eps is believed at the level of x."""
        time = int(max(at.time, to.time))
        u, c = (pipe.unet(x, time, encoder_hidden_states=text).sample for text in (uncond, cond))
        eps = u + gamma * (c - u)
        return to.alpha * (x - at.sigma * eps) / at.alpha + to.sigma * eps

    x = starting_noise(SEEDS, SHAPE)
    for i, (t, s) in enumerate(pairwise(nodes)):
        if i < T - 1:
            x = move(move(x, t, s, GAMMA), s, t, 0.0)
        x = move(x, t, s, GAMMA)
    tiny.close(ours(model, zz.Zigzag(GAMMA, 0.0), schedule=PAIRED["leading"]), x)


@pytest.mark.slow
@pytest.mark.parametrize("gamma2", [0.0, 1.0, 2.5, GAMMA])
def test_rows_are_counted(model, gamma2):
    """A row is a clip: guidance 0 and 1 ask for one branch, not two."""
    rows = []
    sampler = zz.Zigzag(GAMMA, gamma2, lambda_=2)
    with model.open() as pipeline:
        pipeline.parts.unet.register_forward_pre_hook(lambda _, args: rows.append(tuple(args[0].shape)))
        found = ours(pipeline, sampler, size=SIZE)
    assert found.isfinite().all() and {shape[1:] for shape in rows} == {SHAPE}
    zags = [2] * 2 if gamma2 in (0.0, 1.0) else [4] * 2
    assert sorted(shape[0] for shape in rows) == sorted(zags + [4] * (T + 2))
    assert len(rows) == sampler.nfe(T)


def test_frames_see_each_other(model):
    """The motion modules are in the network: another last frame moves the first."""
    noise = starting_noise(SEEDS, SHAPE)
    other = noise.clone()
    other[:, :, -1] = starting_noise((8, 9), (4, *SHAPE[2:]))
    one, two = (ours(model, initial_latents=x) for x in (noise, other))
    assert (one[:, :, 0] - two[:, :, 0]).abs().max() > 1e-4 * one.abs().max()


def test_the_starting_noise_is_that_of_a_users_generator(model, pipe):
    generators = [torch.Generator().manual_seed(n) for n in SEEDS]
    tiny.close(ours(model, schedule=PAIRED["trailing"]), theirs(pipe, "trailing", latents=None, generator=generators))


@pytest.mark.slow
@pytest.mark.parametrize("spacing", PAIRED)
@pytest.mark.parametrize("iterations", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_free_init_is_that_of_diffusers(model, pipe, monkeypatch, iterations, spacing):
    """Which noises to 999 wherever its steps begin; its fresh noise is handed to ours."""
    drawn = torch.Generator().manual_seed(5)
    fresh = [torch.randn(2, *SHAPE, generator=drawn) for _ in range(iterations - 1)]
    monkeypatch.setattr(KeyedNoise, "__call__", lambda self, step, leg, round: fresh[round - 1])
    sampler = zz.FreeInit(zz.Standard(GAMMA), iterations)
    pipe.enable_free_init(num_iters=iterations)
    try:
        expected = theirs(pipe, spacing, generator=torch.Generator().manual_seed(5))
    finally:
        pipe.disable_free_init()
    tiny.close(ours(model, sampler, schedule=PAIRED[spacing]), expected, 1e-5)
    node = ours(model, replace(sampler, diffuse="node"), schedule=PAIRED[spacing])
    assert ((node - expected).abs().max() > 0.01 * expected.abs().max()) == (spacing == "leading")
    assert sampler.nfe(T) == iterations * T


def test_free_init_around_zigzag_makes_clips(model):
    (once, thrice) = (ours(model, zz.FreeInit(zz.Zigzag(GAMMA, 0.0), n), steps=2) for n in (1, 3))
    assert torch.equal(once, ours(model, zz.Zigzag(GAMMA, 0.0), steps=2))
    assert thrice.isfinite().all() and not torch.allclose(once, thrice, atol=1e-3)


def test_identity_is_what_is_in_both_folders(model, folders, tmp_path):
    told = model.identity()
    assert (
        told["frames"] == F and told == AnimateDiff(folders[0], motion_adapter=folders[1], frames=F, fps=3).identity()
    )
    others = [
        AnimateDiff(folders[0], motion_adapter=folders[1], frames=F - 1),
        AnimateDiff(folders[0], motion_adapter=folders[1], frames=F, beta_schedule="scaled_linear"),
    ]
    adapter = tiny.motion_adapter()
    next(adapter.parameters()).data.add_(1)
    adapter.save_pretrained(tmp_path / "other")
    others.append(AnimateDiff(folders[0], motion_adapter=str(tmp_path / "other"), frames=F))
    assert len({str(one.identity()) for one in (model, *others)}) == 4
    assert set(model.source()) == {"pretrained", "commit", "motion_adapter"}


def test_the_levels_are_the_adapters_and_what_is_opened_has_them(model):
    levels, spacing = model.noise_levels()
    betas = torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)
    assert levels.abar[-1] == pytest.approx(torch.prod(1 - betas).item(), rel=1e-9)
    with model.open() as pipeline:
        assert (pipeline.levels, pipeline.schedule) == (levels, spacing)
        assert not any(module.training for module in pipeline.parts.unet.modules())


def test_refusals(model, folders, pipe, tmp_path):
    def made(**fields):
        return AnimateDiff(**{"pretrained": folders[0], "motion_adapter": folders[1], "frames": F} | fields)

    with pytest.raises(ValueError, match=r"model\.frames=7 is too many: the motion adapter was made for at most 6"):
        made(frames=7).check(SIZE, PROMPTS)
    with pytest.raises(ValueError, match=r"model\.frames=0 must be a whole number of at least 1"):
        made(frames=0)
    with pytest.raises(ValueError, match=r"model\.fps=2\.5 must be a whole number"):
        made(fps=2.5)
    with pytest.raises(ValueError, match=r"model\.motion_adapter=.*missing"):
        made(motion_adapter=str(tmp_path / "missing")).check(SIZE, PROMPTS)
    with pytest.raises(ValueError, match="size=20x32 must be multiples of 8"):
        model.check((20, 32), PROMPTS)
    tiny.motion_adapter(block_out_channels=(16, 32)).save_pretrained(tmp_path / "two")
    with pytest.raises(ValueError, match=r"is made for a U-Net of \[16, 32\] channels .* has \[16, 32, 32\]"):
        made(motion_adapter=str(tmp_path / "two")).check(SIZE, PROMPTS)
    pipe.enable_free_init()
    try:
        with pytest.raises(ValueError, match=r"call its disable_free_init, and give sampler=zz\.FreeInit"):
            zz.sample(pipe, PROMPTS, steps=2)
    finally:
        pipe.disable_free_init()
    with model.open() as pipeline, pytest.raises(ValueError, match="a picture is no clip"):
        pipeline.encode_image(torch.zeros(1, 16, 32, 3, dtype=torch.uint8))
