"""The lessons of the zoo: each trains on what its pipeline will hand its network, and on the target that it says."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("diffusers")

import diffusers
from diffusers.models.attention_processor import HunyuanAttnProcessor2_0
from lightning.fabric import Fabric
from torch import nn

import zz
from zz.data.shapes_prompts import CLAUSES, Quick, parse
from zz.experiments.train_shapes import autoencoder
from zz.experiments.train_shapes.loop import Course, Limits
from zz.experiments.train_shapes.world import Batches
from zz.experiments.train_zoo import dit, dpo, flow, train, turbo, v, xl
from zz.experiments.train_zoo.zoo import ZOO
from zz.models.sd import StableDiffusion
from zz.worlds.shapes import HELD_OUT, SIZE, render

CAPTIONS = ["a photo of a red star left of a blue circle", "", "a photo of three rings"]
SIZE_2D = (SIZE, SIZE)
DOWN = torch.device("cpu")


@pytest.fixture(autouse=True)
def _grad(_no_grad):
    with torch.enable_grad():
        yield


@pytest.fixture(scope="module")
def small_dit():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dit, "GATE", 0.0)
        patch.setattr(autoencoder, "gate", lambda vae, each: {"all": 0.5})
        torch.manual_seed(0)
        return dit.Lesson(dit.Words(autoencoder.Lesson(dit.PLAN))).eval()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    with torch.no_grad():
        batches = dpo.Pairs(0, 16, 6, folder=str(tmp_path_factory.mktemp("pairs")))
        return batches, batches[0]


def rng():
    return torch.Generator().manual_seed(0)


@torch.no_grad()
def test_flow_encodes_as_its_pipeline_does():
    lesson = flow.Lesson().eval()
    for zeros in (0, 256):
        tokens, _, pooled, _ = lesson.parts().encode_prompt(
            CAPTIONS, CAPTIONS, None, device=DOWN, do_classifier_free_guidance=False, max_sequence_length=zeros
        )
        found = lesson.encode(CAPTIONS, zeros)
        assert torch.allclose(found[0], tokens, atol=1e-6) and torch.allclose(found[1], pooled, atol=1e-6)


@torch.no_grad()
def test_xl_encodes_as_its_pipeline_does():
    lesson = xl.Lesson().eval()
    tokens, _, pooled, _ = lesson.parts().encode_prompt(CAPTIONS, CAPTIONS, DOWN, 1, False)
    found = lesson.encode(CAPTIONS)
    assert torch.allclose(found[0], tokens, atol=1e-6) and torch.allclose(found[1], pooled, atol=1e-6)


@torch.no_grad()
def test_dit_encodes_as_its_pipeline_does_though_it_computes_the_first_tokens_only(small_dit):
    parts, found = small_dit.parts(), small_dit.encode(CAPTIONS)
    for index, name in enumerate(("", "_t5")):
        states, _, mask, _ = parts.encode_prompt(
            CAPTIONS, DOWN, torch.float32, 1, False, max_sequence_length=dit.READ[index], text_encoder_index=index
        )
        assert torch.equal(found[f"text_embedding_mask{name}"], mask)
        read = mask[..., None] if name == "" else 1  # of BERT the network masks the rest
        assert torch.allclose(found[f"encoder_hidden_states{name}"] * read, states * read, atol=1e-5)


@torch.no_grad()
def test_the_text_encoders_of_dit_learn_each_word_and_the_end_from_that_of_shapes():
    """Encoders that say which word a token is agree with a teacher that says the same: no place is another's."""
    lesson = dit.Words(autoencoder.Lesson(dit.PLAN))
    ends = {"[SEP]", "</s>", "<|endoftext|>"}

    def saying(tokenizer):
        words = {
            token: token.strip("\N{LOWER ONE EIGHTH BLOCK}").removesuffix("</w>") for token in tokenizer.get_vocab()
        }
        told = {tokenizer.convert_tokens_to_ids(t): "end" if t in ends else word for t, word in words.items()}
        numbers = {number: np.random.default_rng(list(word.encode())).random(8) for number, word in told.items()}
        table = torch.tensor(np.array([numbers[i] for i in range(len(tokenizer))]), dtype=torch.float32)
        return lambda input_ids, attention_mask=None: SimpleNamespace(last_hidden_state=table[input_ids])

    class Says(nn.Module):
        def __init__(self, tokenizer):
            super().__init__()
            self.forward = saying(tokenizer)

    lesson._known[1] = Says(lesson._known[2])
    lesson.bert, lesson.t5 = Says(lesson.bert_tokenizer), Says(lesson.t5_tokenizer)
    lesson.from_bert = lesson.from_t5 = nn.Linear(8, 8)
    nn.init.eye_(lesson.from_t5.weight)
    nn.init.zeros_(lesson.from_t5.bias)
    assert lesson(SimpleNamespace(captions=CAPTIONS), rng()) < 1e-10
    nn.init.constant_(lesson.from_t5.bias, 1.0)
    assert lesson(SimpleNamespace(captions=CAPTIONS), rng()) > 1


@torch.no_grad()
def test_dit_hears_one_padding_for_all_and_says_what_diffusers_network_says(small_dit):
    """In training it attends to 34 tokens; the pipeline's network to 333."""
    net = small_dit.parts().transformer
    ours = net.attn_processors
    nn.init.normal_(net.proj_out.weight)  # at first it says nothing
    asked = small_dit.encode(CAPTIONS) | {"image_rotary_emb": small_dit._turns, "return_dict": False}
    x, t = torch.randn(len(CAPTIONS), dit.PLAN.latent, 8, 8, generator=rng()), torch.full((len(CAPTIONS),), 500.0)
    found = net(x, t, **asked)[0]
    net.set_attn_processor(HunyuanAttnProcessor2_0())
    wanted = net(x, t, **asked)[0]
    net.set_attn_processor(ours)
    assert torch.allclose(found, wanted, atol=1e-4) and wanted.std() > 1


@torch.no_grad()
def test_dit_turns_its_tokens_as_its_adapter_does(small_dit):
    from zz.models.hunyuan_dit import HunyuanDiTPipeline

    turns = HunyuanDiTPipeline(small_dit.parts())._positions(torch.zeros(1, 8, 8, 8))
    assert all(torch.equal(a, b) for a, b in zip(small_dit._turns, turns, strict=True))


def test_every_word_is_one_token_of_both_encoders_of_dit():
    text = "a photo of three diamonds left of a purple heart"
    for tokenizer in (dit.bert()[1], dit.t5()[1]):
        assert len(tokenizer.tokenize(text)) == len(text.split())


@pytest.mark.parametrize("lesson", [v.Lesson, flow.Lesson, xl.Lesson])
def test_a_step_moves_every_weight(lesson):
    """Nothing that is trained is cut off from the loss; what is behind a zero at the start moves later."""
    made = lesson()
    batch = (xl.SizedBatches if lesson is xl.Lesson else Batches)(0, 1, 4)[0]
    optimizer = torch.optim.Adam(made.parameters(), 1e-3)
    before = [p.detach().clone() for p in made.parameters()]
    for _ in range(6):
        loss = made(batch, rng())
        assert loss.isfinite()
        loss.backward()
        optimizer.step()
    names = [name for name, _ in made.named_parameters()]
    still = {n for n, a, b in zip(names, before, made.parameters(), strict=True) if torch.equal(a, b)}
    # after the last layer but one, which the text is read from; what attention adds to all keys alike; and in the
    # transformer's last block, what the text asks
    unread = ("layers.2.", "final_layer_norm", "k_proj.bias", "text_projection", "5.attn.add_q", "5.attn.norm_added_q")
    assert not [name for name in still if not any(part in name for part in unread)]


def test_v_begins_as_shapes_and_says_v():
    lesson = v.Lesson()
    x0, eps = torch.randn(2, 2, 6, 8, 8)
    abar = torch.tensor([0.3, 0.9]).view(-1, 1, 1, 1)
    x, said = abar.sqrt() * x0 + (1 - abar).sqrt() * eps, lesson.target(x0, eps, abar)
    assert torch.allclose(abar.sqrt() * x - (1 - abar).sqrt() * said, x0, atol=1e-5)
    assert lesson.parts().scheduler.config.prediction_type == "v_prediction"


class TestSizes:
    def test_both_sizes_and_what_was_enlarged_are_told(self):
        batches = xl.SizedBatches(0, 1, 16)
        made = [batches[i] for i in range(40)]
        sides = [batch.pictures.shape[-1] for batch in made]
        assert set(sides) == {32, 48} and 2 <= sides.count(48) <= 16
        originals = np.concatenate([batch.originals / side for batch, side in zip(made, sides, strict=True)])
        assert set(originals) == {0.5, 1.0} and abs((originals == 0.5).mean() - 0.25) < 0.08

    def test_an_enlarged_picture_has_less_detail(self):
        scene, _ = next(Batches(0, 1, 1).told(0))
        sharp, soft = render(scene, 32).astype(int), xl.enlarged(render(scene, 16), 32).astype(int)
        assert soft.shape == sharp.shape and np.abs(soft - sharp).mean() < 20
        assert np.abs(np.diff(soft, axis=1)).max() < np.abs(np.diff(sharp, axis=1)).max()

    def test_a_fifth_of_the_sentences_have_two_clauses_and_no_pair_that_is_held_out(self):
        tags = [parse(caption) for caption in xl.SizedBatches(0, 1, 500)[0].captions]
        assert abs(sum(meta["tag"] == CLAUSES for meta in tags) - 100) < 40
        assert not {(item["class"], item.get("color")) for meta in tags for item in meta["include"]} & HELD_OUT


class TestTurbo:
    def test_a_students_target_is_where_two_steps_of_its_teacher_lead(self):
        """By diffusers' own DDIM steps."""
        teacher = v.Lesson().parts()
        lesson = turbo.Lesson(teacher, 4)
        scheduler, seen = diffusers.DDIMScheduler.from_config(lesson.parts().scheduler.config), {}
        lesson.unet = _Nothing(seen)
        batch = Batches(0, 1, 8)[0]
        loss = lesson(batch, rng())
        scheduler.set_timesteps(8)
        nodes, total = scheduler.timesteps.tolist(), 0.0
        assert nodes[::2] == turbo.trailing(4).tolist()
        ids = lesson.tokenizer(batch.captions, padding="max_length", max_length=16, return_tensors="pt").input_ids
        cond = teacher.text_encoder(ids).last_hidden_state
        for x, t, c in zip(seen["x"], seen["times"].tolist(), cond, strict=True):
            end, at = x[None], nodes.index(t)
            scheduler.set_timesteps(8)
            for node in nodes[at : at + 2]:
                said = teacher.unet(end, node, encoder_hidden_states=c[None]).sample
                end = scheduler.step(said, node, end).prev_sample
            scheduler.set_timesteps(4)
            # a step is affine in v: from where v = 0 and v = 1 lead to the v that leads there
            zero, one = (scheduler.step(torch.full_like(end, value), t, x[None]).prev_sample for value in (0.0, 1.0))
            total += ((end - zero) / (one - zero)).square().mean().item() / len(seen["x"])
        assert loss.item() == pytest.approx(total, rel=1e-4)

    def test_a_guided_teacher_is_another(self):
        teacher, batch = v.Lesson().parts(), Batches(0, 1, 4)[0]
        plain, one, three = (turbo.Lesson(teacher, 4, gamma)(batch, rng()) for gamma in (None, 1.0, 3.0))
        assert plain.item() == pytest.approx(one.item(), rel=1e-4) and three.item() > 1.2 * plain.item()

    def test_only_the_student_learns(self):
        teacher = v.Lesson().parts()
        lesson = turbo.Lesson(teacher, 8)
        assert all(p.requires_grad for p in lesson.parameters())
        assert not any(p.requires_grad for p in (*teacher.unet.parameters(), *teacher.text_encoder.parameters()))


class _Nothing(torch.nn.Module):
    """A student that says v = 0, and notes what it was asked."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x, times, encoder_hidden_states):
        self.seen |= {"x": x, "times": times}
        return SimpleNamespace(sample=torch.zeros_like(x))


class TestDpo:
    def test_the_better_one_fits_better(self, pairs):
        from tests.make import said
        from zz.models import sd
        from zz.scorers.shapes.scorers import ShapesAlignment

        _, batch = pairs
        assert len(batch.captions) >= 2
        pipeline, fits = sd.StableDiffusionPipeline(dpo.start()), []
        with ShapesAlignment().open() as judge:
            for latents in (batch.better, batch.worse):
                images = [dpo.Image.fromarray(picture.numpy()) for picture in pipeline.decode(latents)]
                fits.append(np.array(judge(images, said(batch.captions))))
        assert ((fits[0] - fits[1]) > dpo.MARGIN).all()

    def test_pairs_are_drawn_once(self, pairs, monkeypatch):
        batches, batch = pairs
        monkeypatch.setattr(dpo.Pairs, "_drawn", None)
        again = batches[dpo.SHARDS]
        assert torch.equal(again.better, batch.better) and again.captions == batch.captions

    def test_the_loss_is_that_of_a_coin_at_first_and_falls_towards_the_better_one(self, pairs):
        _, batch = pairs
        lesson = dpo.Lesson()
        first = lesson(batch, rng())
        assert first.item() == pytest.approx(np.log(2), abs=1e-5)
        first.backward()
        with torch.no_grad():
            for p in lesson.parameters():
                p -= 1e-6 * p.grad.sign()
        assert lesson(batch, rng()) < first
        swapped = replace(batch, better=batch.worse, worse=batch.better)
        assert lesson(swapped, rng()) > first


@pytest.mark.slow
class TestOneCommand:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch):
        few = SimpleNamespace(prompts=Quick().prompts[:6], name="few")
        tags = tuple(dict.fromkeys(prompt.meta["tag"] for prompt in few.prompts))
        small = replace(ZOO["shapes_turbo"].exam, quick=few, tune=few, reported=few, tags=tags, scales=(1.0, 3.0))
        stages = tuple(
            replace(stage, course=Course(stage.course.name, 8, warmup=1), batches=lambda seed, out: Batches(seed, 1, 4))
            for stage in ZOO["shapes_turbo"].stages
        )
        monkeypatch.setitem(train.ZOO, "shapes_turbo", replace(ZOO["shapes_turbo"], stages=stages, exam=small))

    def test_stopped_in_every_stage_it_ends_with_the_same_weights(self, tmp_path):
        fabric, limits = Fabric(accelerator="cpu", devices=1, precision="32-true"), Limits(show=0)
        whole = train.run("shapes_turbo", tmp_path / "whole", fabric, limits)
        assert whole["finished"] and list(whole["stages"]) == ["16_steps", "8_steps", "4_steps"]
        for _ in range(4):
            found = train.run("shapes_turbo", tmp_path / "parts", fabric, replace(limits, deadline=0))
        assert found["finished"]
        one, other = (tmp_path / name / "model/unet/diffusion_pytorch_model.safetensors" for name in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes()
        with torch.no_grad():
            model = StableDiffusion(str(tmp_path / "parts" / "model"), size=SIZE_2D, prediction_type="v_prediction")
            (picture,) = zz.sample(model, "a photo of a red star", steps=4, sampler=zz.Standard(2.0))
            assert picture.size == SIZE_2D
        card = (tmp_path / "whole/model/MODEL_CARD.md").read_text()
        assert "4_steps: 8 samples" in card and "unet/diffusion_pytorch_model.safetensors: " in card
        assert json.loads((tmp_path / "whole/report.json").read_text())["best"] in (1.0, 3.0)

    @pytest.mark.ci
    def test_what_learns_is_compiled_and_pictures_are_drawn_without(self, tmp_path, monkeypatch):
        asked, graphs = [], []
        probe = torch.compile(lambda x: x + 1, backend=lambda graph, _: graphs.append(graph) or graph.forward)
        monkeypatch.setattr(nn.Module, "compile", lambda self, **how: asked.append((type(self).__name__, how)))
        monkeypatch.setattr(train, "sheet", lambda *_: probe(torch.ones(2)))
        fabric, limits = Fabric(accelerator="cpu", devices=1, precision="32-true"), Limits(show=8)
        train.run("shapes_turbo", tmp_path, fabric, limits, compiled=True)
        assert asked == [("UNet2DConditionModel", {"dynamic": False})], "in the last stage alone"
        assert not graphs and probe(torch.ones(2)) is not None and len(graphs) == 1
