"""The lesson of motion: modules begin as nothing, words are new, and noise alone has the mean as its answer."""

import pytest
import torch

pytest.importorskip("diffusers")

import diffusers

import zz
from zz.data.motion_prompts import parse, trained
from zz.data.shapes_prompts import names_held_out
from zz.experiments.train_zoo import dpo, motion
from zz.worlds.motion import MOTIONS
from zz.worlds.shapes import SIZE

SIZE_2D = (SIZE, SIZE)


@pytest.fixture(autouse=True)
def _grad(_no_grad):
    with torch.enable_grad():
        yield


def rng():
    return torch.Generator().manual_seed(0)


@torch.no_grad()
def test_a_text_encoder_with_more_words_knows_the_old_ones():
    base = dpo.start()
    more, tokenizer = motion.with_words(base.text_encoder, base.tokenizer, motion.WORDS)
    for text, same in (("a photo of a red star", True), ("a photo of a red star moving left", False)):
        states = []
        for encoder, reader in ((base.text_encoder, base.tokenizer), (more, tokenizer)):
            ids = reader(text, padding="max_length", max_length=16, return_tensors="pt").input_ids
            states.append(encoder(ids).last_hidden_state)
        assert torch.allclose(*states, atol=1e-5) == same
    assert all(len(tokenizer(word).input_ids) == 3 for word in motion.WORDS)


@torch.no_grad()
def test_it_begins_as_the_u_net_on_each_frame():
    base, lesson = dpo.start(), motion.Lesson().eval()
    x, t = torch.randn(2, 6, 8, 8, 8, generator=rng()), torch.tensor([10, 700])
    tokens = lesson.encode(["a photo of a red star", "a photo of a blue ring"]).repeat_interleave(8, dim=0)
    found = lesson.net(x, t, encoder_hidden_states=tokens).sample
    frames = x.transpose(1, 2).flatten(0, 1)
    wanted = base.unet(frames, t.repeat_interleave(8), encoder_hidden_states=tokens).sample
    assert torch.allclose(found.transpose(1, 2).flatten(0, 1), wanted, atol=1e-4)


def test_noisy_times_come_more_often():
    times = motion.noisier(torch.arange(1000), 1000)
    assert sorted(times.tolist())[::999] == [1, 999]
    assert (times >= 750).float().mean() == pytest.approx(0.5, abs=0.01), "the noisiest quarter has half of them"
    assert (times >= 0).all() and (times < 1000).all()


def test_only_what_moves_learns():
    lesson = motion.Lesson(clips=1)
    learned = {name for name, p in lesson.named_parameters() if p.requires_grad}
    assert learned and all("motion_modules" in name or name.startswith("text.") for name in learned)
    assert lesson(motion.Clips(0, 1, 2, drop=0.5)[0], rng()).isfinite()


def test_one_batch_asks_for_every_motion_of_a_thing():
    batch = motion.Motions(0, 1, 10)[3]
    asked = [parse(caption) for caption in batch.captions]
    assert [meta["motion"] for meta in asked] == 2 * list(MOTIONS) and batch.pictures.numel() == 0
    assert asked[0]["include"] == asked[4]["include"] != asked[5]["include"]
    assert not any(names_held_out(meta) for meta in asked)


@torch.no_grad()
def test_the_answer_to_noise_alone_is_the_mean_of_the_caption_s_clips():
    means = motion.means(1)
    assert set(means) == {"", *(meta["prompt"] for meta in trained())}
    captions = ["a photo of a red star moving up", "a photo of a red star moving down", ""]
    lesson = motion.Lesson(starts=1.0, clips=1).eval()
    noisy, eps, times = lesson._started(captions, rng())
    assert (noisy[0] == noisy[1]).all() and noisy.std() == pytest.approx(1, abs=0.05)
    assert ((times >= 950) & (times < 1000)).all()
    abar = dpo.start().scheduler.alphas_cumprod[times].view(-1, 1, 1, 1, 1)
    x0 = (noisy - (1 - abar).sqrt() * eps) / abar.sqrt()
    assert all(torch.allclose(x0[i], means[caption], atol=1e-3) for i, caption in enumerate(captions))
    tokens = lesson.encode(captions).repeat_interleave(8, dim=0)
    said = lesson.net(noisy, times, encoder_hidden_states=tokens).sample
    wanted = float(((said - eps).square() / abar).mean())
    assert lesson(motion.Batch(0, torch.empty(0), captions), rng()) == pytest.approx(wanted, rel=1e-4)


def test_a_share_of_a_batch_is_noise_alone(monkeypatch):
    lesson, asked = motion.Lesson(starts=1.0, clips=1), []
    assert motion.with_starts(lesson, 0.5) is lesson
    started, noised = lesson._started, lesson._noised
    monkeypatch.setattr(lesson, "_started", lambda captions, g: asked.append(len(captions)) or started(captions, g))
    monkeypatch.setattr(lesson, "_noised", lambda some, g: asked.append(some.pictures.shape) or noised(some, g))
    assert lesson(motion.Clips(0, 1, 4)[0], rng()).isfinite()
    assert asked == [2, (16, 3, SIZE, SIZE)]


@torch.no_grad()
def test_it_is_saved_as_plain_diffusers_and_the_adapter_load_it(tmp_path):
    from zz.models.animatediff import AnimateDiff

    lesson = motion.Lesson().eval()
    for p in lesson.net.parameters():
        p += 0.01 * torch.randn(p.shape, generator=rng()) * p.requires_grad
    size = lesson.save(tmp_path / "m", [(SIZE, SIZE)])
    weights = {path.parent.name for path in (tmp_path / "m").rglob("*.safetensors")}
    assert size < 6e6 and weights == {"text_encoder", "motion_adapter"}
    assert not [path for path in tmp_path.rglob("*.json") if "_name_or_path" in path.read_text()], "no path stays"
    model = AnimateDiff(
        str(tmp_path / "m"),
        unet="zz:shapes",
        vae="zz:shapes",
        motion_adapter=str(tmp_path / "m"),
        frames=8,
        beta_schedule="scaled_linear",
        size=SIZE_2D,
    )
    (clip,) = zz.sample(model, "a photo of a red star moving left", steps=2, sampler=zz.Standard(2.0))
    pipeline = diffusers.AnimateDiffPipeline.from_pretrained(
        tmp_path / "m",
        unet=dpo.start().unet,
        vae=dpo.start().vae,
        motion_adapter=diffusers.MotionAdapter.from_pretrained(tmp_path / "m" / "motion_adapter"),
    )
    assert len(clip) == 8 and pipeline.unet.config.motion_max_seq_length == 16
    mine, theirs = lesson.net.state_dict(), pipeline.unet.state_dict()
    moved = [name for name in mine if "motion_modules" in name]
    assert moved and all(torch.allclose(mine[name], theirs[name], atol=1e-3) for name in moved)
