"""Metrics of clips: steadiness by a CLIP, ratings of a service that is stood in for, results of ChronoMagic-Bench."""

import base64
import io
import json
import math
import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from zz.data.base import Prompt, PromptList
from zz.hub.files import resolve
from zz.hub.published import Published
from zz.lab.cell import Cell
from zz.lab.exported import export
from zz.lab.results import Results
from zz.lab.store.atomic import StoreError
from zz.lab.store.manifest import Manifest, Row
from zz.lab.store.store import Store
from zz.scorers.video.chronomagic import UMTFVD, Exported, Fingerprint, UMTScore, fingerprint
from zz.scorers.video.mtscore import MTScore, instructions, rating
from zz.scorers.video.temporal_clip import TemporalClip


def clip(n, seed=0, size=(24, 16)):
    """Frames of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, size[1], size[0], 3), dtype=np.uint8)
    return [Image.fromarray(frame) for frame in pixels]


PROMPT = Prompt("a time-lapse", {"videoid": "baking_01"})


# Steadiness


@pytest.fixture(scope="module")
def steadiness():
    with TemporalClip("zz:shapes_clip").open() as score:
        yield score


def test_a_still_has_100_and_no_clip_more(steadiness):
    still, noise = clip(1) * 5, clip(5)
    found = steadiness([still, noise], [PROMPT] * 2)
    assert found[0] == pytest.approx(100, abs=1e-5) and -100 <= found[1] < 99.99


def test_it_is_the_mean_over_neighbours_of_the_embeddings_that_meet_words(steadiness):
    from transformers import CLIPImageProcessorPil, CLIPModel

    folder, frames = resolve("zz:shapes_clip"), clip(4, 1)
    model, processor = CLIPModel.from_pretrained(folder), CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor(frames, return_tensors="pt").pixel_values
    said = model(pixel_values=pixels, input_ids=torch.zeros(1, 3, dtype=torch.long)).image_embeds.double()
    wanted = 100 * (said[1:] * said[:-1]).sum(-1).mean()
    assert steadiness([frames], [PROMPT])[0] == pytest.approx(float(wanted), abs=1e-4)
    assert steadiness([frames[::-1]], [PROMPT])[0] == pytest.approx(float(wanted), abs=1e-4)


def test_a_picture_is_no_clip(steadiness):
    with pytest.raises(ValueError, match="temporal_clip compares the frames of clips; a picture has one"):
        steadiness([clip(1)], [PROMPT])
    with pytest.raises(ValueError, match=r"scorers.temporal_clip.pretrained=/nowhere is no folder of a CLIP"):
        TemporalClip("/nowhere")


# GPT4o-MTScore


class Service:
    """What stands in for OpenAI: gives `replies` in turn, and keeps what it was asked."""

    class Error(Exception):
        pass

    def __init__(self, *replies):
        self.replies, self.asked, self.made = list(replies), [], []

    def client(self, **words):
        self.made.append(words)
        return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=self.create)))

    def create(self, **words):
        self.asked.append(words)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        message = SimpleNamespace(message=SimpleNamespace(content=reply))
        usage = SimpleNamespace(prompt_tokens=2800, completion_tokens=90)
        return SimpleNamespace(choices=[message], model="gpt-4o-2024-05-13", usage=usage)


RUBRIC = "import os\n\ntxt_prompt = '''\nRate the change from 1 to 5.\n'''\nraise SystemExit\n"
SAID = 'Brief Reasoning Statement: it grows.\n"Score":{4}'


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """MTScore with instructions put there by hand, and a service of these replies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    rubric = Published("https://example.org/a/step1.py")
    rubric.place.parent.mkdir(parents=True)
    rubric.place.write_text(RUBRIC)

    def made(*replies, **fields):
        service, package = Service(*replies), ModuleType("openai")
        package.OpenAI, package.OpenAIError = service.client, Service.Error
        monkeypatch.setitem(sys.modules, "openai", package)
        return MTScore(rubric, **fields), service

    return made


def rated(scorer, clips, prompt=PROMPT):
    with scorer.open() as score:
        return score(clips, [prompt] * len(clips))


def test_it_asks_with_the_authors_words_and_frames(judge):
    scorer, service = judge(SAID)
    assert rated(scorer, [clip(16, size=(600, 300))]) == [4.0]
    (asked,) = service.asked
    assert asked["model"] == "gpt-4o-2024-05-13" and asked["max_tokens"] == 2048
    first, *rest = asked["messages"][0]["content"]
    assert first["text"] == "\nRate the change from 1 to 5.\n"
    names = [part["text"] for part in rest if part["type"] == "text"]
    assert names == [f"baking_01_frame{i}.png" for i in (0, 2, 4, 6, 8, 10, 12, 15)]
    urls = [part["image_url"]["url"] for part in rest if part["type"] == "image_url"]
    sent = [Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) for url in urls]
    assert [one.size for one in sent] == [(512, 256)] * 8


def test_small_frames_are_sent_as_they_are(judge):
    scorer, service = judge(SAID)
    frames = clip(8)
    rated(scorer, [frames])
    url = service.asked[0]["messages"][0]["content"][-1]["image_url"]["url"]
    last = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    assert (np.asarray(last) == np.asarray(frames[7])).all()


def test_a_reply_is_kept_and_never_asked_for_again(judge):
    scorer, service = judge(SAID, 'x\n"Score":{2}')
    assert rated(scorer, [clip(8), clip(8, 1), clip(8)]) == [4.0, 2.0, 4.0]
    assert len(service.asked) == 2
    scorer, service = judge()
    assert rated(scorer, [clip(8), clip(8, 1)]) == [4.0, 2.0] and not service.made
    scorer, service = judge('"Score":{1}', model="gpt-4o-2024-08-06")
    assert rated(scorer, [clip(8)]) == [1.0]


def test_a_reply_without_a_score_is_asked_for_again_and_never_kept(judge, tmp_path):
    scorer, service = judge("I cannot.", None, SAID)
    assert rated(scorer, [clip(8)]) == [4.0] and len(service.asked) == 3
    scorer, service = judge(*["I cannot."] * 3, SAID, retries=2)
    found = rated(scorer, [clip(8, 1), clip(8, 2)])
    assert math.isnan(found[0]) and found[1] == 4.0
    assert len(list((tmp_path / "zz" / "replies").glob("*.json"))) == 2


def test_a_torn_reply_is_asked_for_again(judge, tmp_path):
    rated(judge(SAID)[0], [clip(8)])
    (kept,) = (tmp_path / "zz" / "replies").glob("*.json")
    assert json.loads(kept.read_text())["tokens"] == {"sent": 2800, "received": 90}
    kept.write_text('{"content": "')
    scorer, service = judge('"Score":{3}')
    assert rated(scorer, [clip(8)]) == [3.0] and len(service.asked) == 1


def test_an_error_is_one_message_and_what_was_answered_is_kept(judge):
    scorer, service = judge(SAID, Service.Error("quota\nmore"))
    with pytest.raises(
        ValueError, match=r"^scorers.gpt4o_mtscore.model=gpt-4o.* gave no answer \(Error: quota\); replies"
    ):
        rated(scorer, [clip(8), clip(8, 1)])
    assert service.made == [{"base_url": None, "max_retries": 5}]
    assert rated(judge()[0], [clip(8)]) == [4.0]


def test_no_key_no_package_and_too_few_frames_are_one_message(judge, monkeypatch):
    scorer, _ = judge(SAID)
    with pytest.raises(ValueError, match="gpt4o_mtscore needs clips of 8 frames or more, and got 7; lower scorers"):
        rated(scorer, [clip(7)])
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="asks a paid service: set OPENAI_API_KEY"):
        rated(scorer, [clip(8)])
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ValueError, match=r"needs the package openai: pip install 'zz\[openai\]'"):
        rated(scorer, [clip(8)])


def test_a_dry_run_asks_nothing_and_says_what_it_would_cost(judge):
    rated(judge(SAID)[0], [clip(8)])
    scorer, service = judge(dry_run=True)
    with pytest.raises(
        ValueError, match=r"^dry_run: of 2 clips 1 would be asked about, for some \d+ tokens, 0.01 dollars"
    ):
        rated(scorer, [clip(8), clip(8, 1, (600, 300))])
    assert not service.made
    cost = scorer.estimate([clip(8, 1, (600, 300))], [PROMPT])
    text = len("\nRate the change from 1 to 5.\n") + 8 * len("baking_01_frame0.png")
    assert cost == (1, (sent := text // 4 + 8 * (85 + 170)) + 120, (sent * 5 + 120 * 15) / 1e6)


def test_prompts_without_an_id_are_called_video(judge):
    scorer, service = judge(SAID)
    rated(scorer, [clip(8)], Prompt("a star", scorer.describe("a star")))
    assert service.asked[0]["messages"][0]["content"][1]["text"] == "video_frame0.png"


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('x\n"Score":{5}', 5),
        ("Score: 3", 3),
        ('"Score":{1}\nbut then\n"Score": {2}', 2),
        ('"Score":{6}', None),
        ('"Score":{3.5}', None),
        ('"Score":{45}', None),
        ("", None),
        (None, None),
    ],
)
def test_the_rating_in_a_reply(reply, found):
    assert rating(reply) == found


@pytest.mark.parametrize("source", ["x = 1", "txt_prompt = f()", "def (", "txt_prompt = 4"])
def test_a_file_without_instructions(source, tmp_path):
    with pytest.raises(ValueError, match="has no text called txt_prompt"):
        instructions(source, tmp_path)


# ChronoMagic-Bench's results

IDS = ["baking_01", "day2night_13.0", "wind_03"]
F, SIZES = 3, (32, 300)


@pytest.fixture
def run(tmp_path):
    """Two rows of three clips each over one prompt list, with videos, in a store."""
    store, rows = Store(tmp_path / "store"), []
    entries = tuple(Prompt(f"time-lapse {i}", {"videoid": v}, i) for i, v in enumerate(IDS))
    prompts = PromptList("chronomagic_150", entries)
    store.put_prompts(prompts.record_digest, [{"text": p.text, "seed": p.seed, "meta": p.meta} for p in entries])
    for number in range(2):
        cell = Cell({"model": {"is": "AnimateDiff", "frames": F}, "steps": number + 1})
        store.begin(cell, {"model": "animatediff"})
        for i, picture in enumerate(prompts.pictures()):
            frames = clip(F, seed=10 * number + i)
            strip = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames], 1))
            store.put_image(cell, picture.name, strip, picture.prompt.text, picture.seed)
            store.put_video(cell, picture.name, 8, b"video %d %d" % (number, i))
        rows.append(
            Row(f"r{number}", cell.key, prompts.record_digest, "chronomagic_150", f"row {number}", "", wanted=3)
        )
    return Results(store, Manifest("run", tuple(rows), None))


@pytest.fixture
def judged(run, tmp_path):
    """The folder of exports, and a checkout with results of both models, in the forms that its programs write."""
    exported, checkout = tmp_path / "clips", tmp_path / "ChronoMagic-Bench"
    models = list(export(run, exported))
    listed = checkout / "UMT/main/data/chronomagic_150.json"
    listed.parent.mkdir(parents=True)
    listed.write_text(json.dumps([{"caption_id": v, "video": f"{v}.mp4", "caption": "x"} for v in reversed(IDS)]))
    for number, model in enumerate(models):
        scores = checkout / "UMT/results/UMTScore/150" / model
        scores.mkdir(parents=True)
        (scores / "UMTScore.json").write_text(json.dumps({str(i): 10.0 * number + i for i in range(3)}))
        for seed in (12, 22):
            folder = checkout / "UMT/results/UMTFVD/scores/150" / model / str(seed)
            folder.mkdir(parents=True)
            for size in SIZES:
                name = f"fvd{size}_16f"
                line = {"results": {name: size + seed + 100.0 * number}, "metric": name, "num_gpus": 1}
                stale = {**line, "results": {name: -1.0}}
                (folder / f"metric-{name}.jsonl").write_text(f"{json.dumps(stale)}\n{json.dumps(line)}\n")
    return exported, checkout, models


def test_clips_are_exported_under_their_ids(run, judged):
    exported, _, models = judged
    assert models == [row.cell for row in run.manifest.rows] and not any("_" in model for model in models)
    assert sorted(p.name for p in (exported / models[1]).iterdir()) == sorted(f"{v}.mp4" for v in IDS)
    assert (exported / models[1] / "day2night_13.0.mp4").read_bytes() == b"video 1 1"
    assert export(run, exported) == dict.fromkeys(models, 3)


def test_a_score_goes_to_the_clip_that_was_judged(judged):
    exported, checkout, _ = judged
    scorer = UMTScore(str(exported), str(checkout))
    with scorer.open() as score:
        clips = [clip(F, seed) for seed in (0, 1, 2, 10, 12)]
        assert score(clips, [PROMPT] * 5) == [2.0, 1.0, 0.0, 12.0, 10.0]  # their list has the ids in another order
        with pytest.raises(ValueError, match=r"umt_score: a clip is not among those in .*; export clips with"):
            score([clip(F, 99)], [PROMPT])


def test_umt_fvd_is_the_mean_over_seeds_and_sizes_of_just_these_clips(judged):
    exported, checkout, _ = judged
    metric = UMTFVD(str(exported), str(checkout), sizes=SIZES)
    with metric.features.open() as extract:
        rows = [extract(clip(F, seed)).mean(0) for seed in range(3)]
        other = [extract(clip(F, seed)).mean(0) for seed in (10, 11, 12)]
    assert metric.measure(np.stack(rows), [PROMPT] * 3, {}) == (166 + 17, -math.inf, math.inf)
    assert metric.measure(np.stack(other), [PROMPT] * 3, {}).value == 166 + 17 + 100
    for some in (rows[:2], [*rows[:2], other[2]], [*rows, other[0]]):
        with pytest.raises(ValueError, match=rf"no model in .* has these {len(some)} clips and no others"):
            metric.measure(np.stack(some), [PROMPT] * len(some), {})


def test_fingerprints_tell_clips_apart_and_survive_the_store(run):
    one, other = clip(F, 0), clip(F, 1)
    assert np.abs(fingerprint(one) - fingerprint(other)).max() > 1e-3
    assert (fingerprint(one) == fingerprint([frame.convert("RGBA") for frame in one])).all()
    turned = [frame.transpose(Image.Transpose.ROTATE_90) for frame in one]
    assert np.abs(fingerprint(one) - fingerprint(turned)).max() > 1e-3
    with Fingerprint().open() as extract:
        assert extract(one).shape == (F, 4) and (extract(one) >= 0).all() and (extract(one) < 1).all()


BROKEN = {
    "UMT/main/data/chronomagic_150.json": ["{", '[{"video": "x"}]', "3"],
    "UMT/results/UMTScore/150/MODEL/UMTScore.json": ["", "[1]", '{"0": 1, "1": 2}', '{"0": 1, "1": 2, "2": NaN}'],
}


@pytest.mark.parametrize(("name", "content"), [(name, c) for name, some in BROKEN.items() for c in some])
def test_scores_that_will_not_do_are_one_message_with_the_file(name, content, judged):
    exported, checkout, models = judged
    path = checkout / name.replace("MODEL", models[0])
    path.write_text(content)
    with UMTScore(str(exported), str(checkout)).open() as score, pytest.raises(ValueError, match=re.escape(str(path))):
        score([clip(F, 0)], [PROMPT])


@pytest.mark.parametrize("content", ["", "{", "3", '{"results": {}}', '{"results": {"fvd32_16f": Infinity}}'])
def test_distances_that_will_not_do_are_one_message_with_the_file(content, judged):
    exported, checkout, models = judged
    path = checkout / "UMT/results/UMTFVD/scores/150" / models[0] / "22/metric-fvd32_16f.jsonl"
    path.write_text(content)
    metric = UMTFVD(str(exported), str(checkout), sizes=SIZES)
    rows = np.stack([fingerprint(clip(F, seed)) for seed in range(3)])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        metric.measure(rows, [PROMPT] * 3, {})
    with pytest.raises(ValueError, match=r"metric-fvd64_16f.jsonl has no line with results.fvd64_16f"):
        UMTFVD(str(exported), str(checkout), sizes=64).measure(rows, [PROMPT] * 3, {})


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"a": {"b": [1]}}'])
def test_a_folder_without_exports_is_one_message(content, tmp_path):
    if content is not None:
        (tmp_path / "clips.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"^scorers.umt_score.exported=.* (is no folder of|has no) exported clips.*export"
    ):
        Exported("scorers.umt_score.exported", str(tmp_path))
    with pytest.raises(ValueError, match=r"scorers.umt_score.exported= has no exported clips"), UMTScore().open():
        pass


def test_rows_that_cannot_be_exported_are_one_message(run, tmp_path):
    video = next(run.store.root.glob("cells/*/videos/8fps/000001-*.mp4"))
    video.unlink()
    with pytest.raises(StoreError, match=r"row \d has no video of 000001-.*; run again what made it"):
        export(run, tmp_path / "clips")
    bare = Results(run.store, Manifest("run", (), None))
    with pytest.raises(StoreError, match="no row of run has prompts with a videoid; run dataset=chronomagic_150"):
        export(bare, tmp_path / "clips")


def test_the_command(run, tmp_path, capsys, monkeypatch):
    from zz.experiments.chronomagic import export as command

    monkeypatch.setattr(command, "find", lambda store, name: run.manifest)
    assert command.main([str(run.store.root), str(tmp_path / "clips")]) == 0
    out = capsys.readouterr().out
    assert "3 clips" in out and f"VIDEO_FOLDER={tmp_path / 'clips'}, TYPE=150" in out
    monkeypatch.undo()
    assert command.main([str(tmp_path / "nothing"), str(tmp_path / "clips")]) == 2
    assert capsys.readouterr().err.startswith("error: store: ")


@pytest.mark.slow
def test_from_the_command_line_to_scores_of_clips(cli, tmp_path, store_path):
    """A tiny AnimateDiff: clips, their steadiness, the export, and the numbers of judges that are stood in for."""
    import zz.score
    from tests.parity import tiny
    from zz.experiments.chronomagic import export as command

    tiny.sd().save_pretrained(tmp_path / "sd")
    tiny.motion_adapter().save_pretrained(tmp_path / "adapter")
    (tmp_path / "captions.csv").write_text("videoid,name\n" + "".join(f"{v},a red star\n" for v in IDS))
    line = [
        *("model=animatediff", f"model.pretrained={tmp_path / 'sd'}", f"model.motion_adapter={tmp_path / 'adapter'}"),
        *("model.frames=3", "size=[16,32]", "steps=2", "runner.devices=cpu", "dataset=table", "dataset.column=name"),
        *(f"dataset.path={tmp_path / 'captions.csv'}", "scorers.temporal_clip.pretrained=zz:shapes_clip"),
    ]
    code, out, err = cli(*line, "scorers=[temporal_clip]")
    assert code == 0 and "temporal_clip" in out, err
    clips, checkout = tmp_path / "clips", tmp_path / "checkout"
    assert command.main([str(store_path), str(clips)]) == 0
    (model,) = json.loads((clips / "clips.json").read_text())
    assert all((clips / model / f"{v}.mp4").read_bytes()[4:8] == b"ftyp" for v in IDS)
    results = {
        "main/data/chronomagic_150.json": [{"caption_id": v} for v in IDS],
        f"results/UMTScore/150/{model}/UMTScore.json": {"0": 1.0, "1": 2.0, "2": 6.0},
        f"results/UMTFVD/scores/150/{model}/12/metric-fvd32_16f.jsonl": {"results": {"fvd32_16f": 275.5}},
    }
    for name, content in results.items():
        (checkout / "UMT" / name).parent.mkdir(parents=True)
        (checkout / "UMT" / name).write_text(json.dumps(content))
    where = [
        f"scorers.{s}.{k}={v}"
        for s in ("umt_score", "umt_fvd")
        for k, v in (("exported", clips), ("repository", checkout))
    ]
    line = [word for word in line if not word.startswith("scorers.")]
    code, out, err = cli(*line, "scorers=[umt_score,umt_fvd]", *where, "scorers.umt_fvd.sizes=[32]", command=zz.score)
    assert code == 0 and "275.5" in out and "3.0" in out, (out, err)
