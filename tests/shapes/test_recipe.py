"""The recipe of the shapes model at toy size: it learns, it resumes exactly, and what it saves is ordinary."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import zz
from zz.data.shapes_prompts import VOCABULARY, every, parse
from zz.models.sd import StableDiffusion
from zz.worlds.shapes import HELD_OUT

pytest.importorskip("lightning")
pytest.importorskip("diffusers")

from lightning.fabric import Fabric
from transformers import CLIPModel, CLIPTokenizer

from zz.experiments.train_shapes import autoencoder, two_tower, unet
from zz.experiments.train_shapes.loop import Average, Course, Limits, train
from zz.experiments.train_shapes.tokens import LENGTH, build_tokenizer
from zz.experiments.train_shapes.train import Recipe, run
from zz.experiments.train_shapes.world import Batches

ONCE = Limits(log=1, show=0)
TOY = Recipe(
    coder=autoencoder.Plan((8, 8, 8), 4),
    generator=unet.Plan((16, 16), heads=2, width=16, depth=1),
    towers=two_tower.Plan(16, depth=1, patch=8),
    courses=(
        Course("autoencoder", 48, lr=2e-3, warmup=2),
        Course("generator", 48, warmup=2),
        Course("two_tower", 32, warmup=2),
    ),
    batches=(8, 8, 8),
    gate=0.0,
)


@pytest.fixture(autouse=True)
def _grad(_no_grad):
    with torch.enable_grad():
        yield


@pytest.fixture
def fabric():
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def lesson(name, seed=0):
    torch.manual_seed(0)
    vae = TOY.coder.build()
    torch.manual_seed(seed)
    if name == "autoencoder":
        return autoencoder.Lesson(TOY.coder)
    if name == "two_tower":
        return two_tower.Lesson(TOY.towers, build_tokenizer())
    return unet.Lesson(TOY.generator, vae, build_tokenizer())


def test_every_word_is_one_token_also_after_saving(tmp_path):
    build_tokenizer().save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    ids = [loaded(word).input_ids for word in VOCABULARY]
    assert all(len(each) == 3 for each in ids)
    assert len({each[1] for each in ids}) == len(VOCABULARY)
    assert loaded.pad_token_id == loaded.eos_token_id == ids[0][-1]
    tags = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
    assert max(len(loaded(meta["prompt"]).input_ids) for tag in tags for meta in every(tag)) <= LENGTH
    assert loaded("a zebra").input_ids[1] == loaded("a").input_ids[1], "words of no grammar fall to letters"


def test_a_batch_is_a_function_of_its_seed_and_number():
    batches = Batches(0, 1, 8)
    again = [*batches.between(3, 6)]
    assert [batch.step for batch in again] == [3, 4, 5]
    assert torch.equal(again[1].pictures, batches[4].pictures) and again[1].captions == batches[4].captions
    others = (replace(batches, seed=1), replace(batches, stream=2))
    assert not any(torch.equal(batches[4].pictures, other[4].pictures) for other in others)
    assert again[0].pictures.dtype == torch.uint8 and again[0].pictures.shape == (8, 3, 32, 32)


@pytest.mark.ci
def test_pictures_drawn_ahead_by_processes_are_the_same():
    batches = Batches(0, 1, 4, drop=0.5)
    for here, there in zip(batches.between(0, 4), batches.between(0, 4, workers=2), strict=True):
        assert torch.equal(here.pictures, there.pictures) and here.captions == there.captions


def test_captions_are_dropped_and_swapped_as_asked():
    (plain,), (mixed,) = Batches(0, 1, 400).between(0, 1), Batches(0, 1, 400, drop=0.2, wrong=0.3).between(0, 1)
    assert torch.equal(plain.pictures, mixed.pictures), "the pictures do not depend on it"
    empty = sum(caption == "" for caption in mixed.captions)
    wrong = sum(a not in (b, "") for a, b in zip(mixed.captions, plain.captions, strict=True))
    assert abs(empty - 80) < 4 * 8 and abs(wrong - 120) < 4 * 9.2  # four standard deviations
    named = {(item["class"], item.get("color")) for text in plain.captions for item in parse(text)["include"]}
    assert not named & HELD_OUT


def test_times_are_stratified():
    times = unet.stratified(8, 1000, torch.Generator().manual_seed(0))
    assert sorted(time // 125 for time in times.tolist()) == list(range(8))


def test_standardising_changes_latents_and_no_reconstruction():
    vae = autoencoder.Plan((8, 8, 8), 4).build().eval()
    torch.nn.init.normal_(vae.quant_conv.bias, 1.0)
    (batch,) = Batches(0, 1, 32).between(0, 1)
    x = batch.pixels(vae.device)
    with torch.no_grad():
        before = vae.encode(x).latent_dist
        decoded, spread = vae.decode(before.mean).sample, before.std / before.mean.std((0, 2, 3), keepdim=True)
        autoencoder.standardise(vae, batch.pictures)
        after = vae.encode(x).latent_dist
        assert torch.allclose(vae.decode(after.mean).sample, decoded, atol=1e-4)
    assert torch.allclose(after.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    assert torch.allclose(after.std, spread, rtol=1e-3), "the noise of the posterior is scaled along"
    assert vae.config.scaling_factor == pytest.approx(1.0, abs=1e-3)


def test_a_course_warms_up_and_falls():
    course = Course("any", 0, lr=1.0, warmup=10, fall=0.5)
    rates = [course.rate(step, 100) for step in range(100)]
    assert rates[0] == 0.1 and rates[9:50] == [1.0] * 41
    assert all(b < a for a, b in pairwise(rates[51:])) and rates[-1] < 0.03


def test_the_average_forgets_the_start():
    module = torch.nn.Linear(1, 1, bias=False)
    average = Average(module, 0.999)
    with torch.no_grad():
        module.weight.fill_(1.0)
    for _ in range(100):
        average.update()
    assert average.kept[0].item() == pytest.approx(1.0, abs=1e-3)
    with average.shown():
        assert module.weight.item() == average.kept[0].item()
    assert module.weight.item() == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["autoencoder", "generator", "two_tower"])
def test_a_killed_run_ends_with_the_same_weights(name, fabric, tmp_path):
    course, batches = Course(name, 48, warmup=2), Batches(0, 1, 8, drop=0.2)
    whole = lesson(name)
    train(fabric, course, whole, batches, tmp_path / "whole", ONCE)

    class Killed(Exception):
        pass

    def killed(module, arguments):
        if arguments[0].step == 4:
            raise Killed

    broken = lesson(name)
    broken.register_forward_pre_hook(killed)
    with pytest.raises(Killed):
        train(fabric, course, broken, batches, tmp_path / "broken", replace(ONCE, save=0))
    # another seed, so that nothing but the checkpoint can bring the weights back
    resumed = lesson(name, seed=7)
    done = train(fabric, course, resumed, batches, tmp_path / "broken", ONCE)
    assert done["steps"] == 6
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_deadline_ends_a_stage_at_its_checkpoint(fabric, tmp_path):
    course, batches = Course("autoencoder", 48, warmup=2), Batches(0, 1, 8)
    done = train(fabric, course, lesson("autoencoder"), batches, tmp_path / "a", replace(ONCE, deadline=0))
    assert (done["steps"], done["of"]) == (1, 6)
    again = train(fabric, course, lesson("autoencoder"), batches, tmp_path / "a", ONCE)
    assert again["steps"] == 6 and again["seconds"] > done["seconds"]
    with pytest.raises(ValueError, match="choose another --out"):
        train(fabric, course, lesson("autoencoder"), replace(batches, size=4), tmp_path / "a", ONCE)


@pytest.mark.ci
@pytest.mark.parametrize(("name", "samples", "share"), [("autoencoder", 800, 0.8), ("generator", 800, 0.95)])
def test_the_loss_falls(name, samples, share, fabric, tmp_path):
    course, batches = Course(name, samples, lr=2e-3, warmup=5), Batches(0, 1, 16)
    train(fabric, course, lesson(name), batches, tmp_path, replace(ONCE, log=10))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < share * lines[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("autoencoder", marks=pytest.mark.ci), "generator"])
def test_one_command_makes_an_ordinary_pipeline(name, fabric, tmp_path):
    """Stopped once in the given stage, and run again."""
    stopped = run(TOY, tmp_path, fabric, replace(ONCE, deadline=0), final=False)
    assert not stopped["finished"]
    if name == "generator":
        run(
            replace(TOY, courses=(*TOY.courses[:1], replace(TOY.courses[1], samples=8), *TOY.courses[2:])),
            tmp_path,
            fabric,
            ONCE,
            final=False,
        )
    report = run(TOY, tmp_path, fabric, ONCE, final=False)
    assert report["finished"] and {done["samples"] for done in report["stages"].values()} == {48, 32}
    assert report["bytes"] < 40e6

    from diffusers import StableDiffusionPipeline

    with torch.no_grad():
        theirs = StableDiffusionPipeline.from_pretrained(tmp_path / "model")
        theirs.set_progress_bar_config(disable=True)
        assert theirs.unet.dtype == theirs.text_encoder.dtype == torch.float32
        assert StableDiffusionPipeline.from_pretrained(tmp_path / "model", dtype=torch.float16).dtype == torch.float16
        model = StableDiffusion(str(tmp_path / "model"), size=(32, 32))
        picture = theirs("a photo of a red star", 32, 32, num_inference_steps=2, guidance_scale=2.0).images[0]
        (ours,) = zz.sample(model, "a photo of a red star", steps=2, sampler=zz.Standard(2.0))
        assert picture.size == ours.size == (32, 32)
        clip = CLIPModel.from_pretrained(tmp_path / "clip")
        tokens = CLIPTokenizer.from_pretrained(tmp_path / "clip")(["a star"], return_tensors="pt")
        assert clip(pixel_values=torch.zeros(1, 3, 32, 32), **tokens).logits_per_image.shape == (1, 1)
    assert not [p for p in (tmp_path / "model").rglob("*.json") if str(tmp_path) in p.read_text()], "no path stays"
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "unet/diffusion_pytorch_model.safetensors: " in card and "purple circle" in card

    made = (tmp_path / "generator" / "checkpoint.pt").stat().st_mtime_ns
    assert run(TOY, tmp_path, fabric, ONCE, final=False)["finished"]
    assert (tmp_path / "generator" / "checkpoint.pt").stat().st_mtime_ns == made, "what is finished is left alone"


@pytest.mark.slow
def test_the_gate_holds(fabric, tmp_path):
    with pytest.raises(SystemExit, match=r"below 95%; raise --autoencoder-samples above 48"):
        run(replace(TOY, gate=0.95), tmp_path, fabric, ONCE)
    assert not (tmp_path / "generator").exists()
