"""GenEval's colours, detections of a file, and the overall number."""

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.make import job, kept
from tests.metrics.geneval import COLOUR_JUDGE, picture
from zz.data.base import Prompt, PromptList, picture_name
from zz.lab.results import Results, meta_is
from zz.lab.scoring.names import about, identity, score_name
from zz.lab.scoring.scoring import kinds
from zz.lab.scoring.sets import measure
from zz.lab.store.store import Store
from zz.scorers.geneval.colours import crop
from zz.scorers.geneval.colours import pixels as clip_pixels
from zz.scorers.geneval.detections import GenEvalDetections
from zz.scorers.geneval.detector import Found
from zz.scorers.geneval.names import COLOURS, PROMPTS
from zz.scorers.geneval.scorer import check_record, coloured
from zz.scorers.geneval.summary import GenEvalOverall, GenEvalPrompts


def test_an_object_is_cut_out_on_grey_and_corners_are_rounded_half_to_even():
    image, mask = picture(size=(10, 8)), np.zeros((8, 10), dtype=bool)
    mask[2:4, 3:6] = True
    found = np.asarray(crop(image, (2.5, 1.5, 6.5, 5.5), mask))  # 2, 2, 6, 6
    assert found.shape == (4, 4, 3)
    assert (found[:2, 1:] == np.asarray(image)[2:4, 3:6]).all()
    assert (found[2:] == 0x99).all() and (found[:, 0] == 0x99).all()
    beyond = np.asarray(crop(image, (8, 6, 12, 10), mask))
    assert (beyond[:, 2:] == 0).all() and (beyond[:2, :2] == 0x99).all()  # black outside the picture


@pytest.mark.parametrize("size", [(50, 50), (90, 40), (41, 63)])
def test_what_the_clip_reads_is_its_own_processors_but_for_the_centre_of_odd_rests(size):
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    image = picture(size=size)
    wanted = processor(image, return_tensors="pt").pixel_values[0]
    found = clip_pixels(image, 32)
    assert found.shape == (3, 32, 32)
    if (max(int(32 * max(size) / min(size)), 32) - 32) % 4 != 3:
        assert torch.allclose(found, wanted, atol=1e-5)


def test_colours_are_the_cosine_of_directions_that_are_averaged_and_normalised_again():
    from transformers import CLIPModel, CLIPTokenizer

    from zz.hub.files import resolve

    folder = resolve("zz:shapes_clip")
    image, mask = picture(size=(40, 40)), np.ones((40, 40), dtype=bool)
    with COLOUR_JUDGE.open() as judge:
        (shares,) = judge(image, [Found("dog", 0.9, (4.0, 4.0, 36.0, 30.0), mask)])
        assert judge(image, []) == []
    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    x = clip_pixels(image.crop((4, 4, 36, 30)), model.config.vision_config.image_size)
    logits = []
    with torch.no_grad():
        for colour in COLOURS:
            texts = [
                f"a photo of a {colour} dog",
                f"a photo of a {colour}-colored dog",
                f"a photo of a {colour} object",
            ]
            longest = model.config.text_config.max_position_embeddings
            ids = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            said = model(pixel_values=x[None], **ids)  # embeddings of length 1
            mean = said.text_embeds.mean(0)
            logits.append(100 * float(said.image_embeds[0] @ mean / mean.norm()))
    wanted = np.exp(np.array(logits) - max(logits))
    assert list(shares) == list(COLOURS)
    assert list(shares.values()) == pytest.approx((wanted / wanted.sum()).tolist(), rel=1e-3, abs=1e-6)


def test_only_those_are_asked_for_their_colour_that_the_record_asks():
    asked = []

    def judge(image, objects):
        asked.append([one.box[0] for one in objects])
        return [{"red": 1.0} for _ in objects]

    def found(name, score, left):
        return Found(name, score, (left, 0.0, left + 5, 5.0), np.ones((8, 8), dtype=bool))

    objects = [found("dog", 0.5, 1.0), found("dog", 0.9, 2.0), found("dog", 0.8, 3.0), found("cat", 0.9, 4.0)]
    meta = {"tag": "colors", "include": [{"class": "dog", "count": 2, "color": "red"}, {"class": "cat", "count": 1}]}
    shown = coloured(picture(), objects, meta, judge)
    assert asked == [[2.0, 3.0]]  # the best two
    assert [d.colour for d in shown["dog"]] == ["red", "red", None] and shown["cat"][0].colour is None
    both = {"tag": "color_attr", "include": [{"class": "dog", "count": 1, "color": c} for c in ("red", "blue")]}
    asked.clear()
    coloured(picture(), objects, both, judge)
    assert [one for one in asked if one] == [[2.0]]  # once


# -- detections from a file ------------------------------------------------------------------------------------------


def detections(tmp_path, *lines):
    path = tmp_path / "detections.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return GenEvalDetections(str(path))


def test_detections_of_a_file_are_judged_by_the_pictures_name(tmp_path):
    meta = {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}]}
    prompt = Prompt("a photo of a red dog", meta, 3)
    images = [Image.new("RGB", (8, 8)) for _ in range(3)]
    seeds = (3, 1_000_003, 2_000_003)
    for image, seed in zip(images, seeds, strict=True):
        image.info["seed"] = str(seed)
    good = {"class": "dog", "score": 0.9, "box": [0, 0, 5, 5], "colour": "red"}
    blue = good | {"colours": {"red": 0.2, "blue": 0.8}}
    names = [picture_name(prompt.text, seed) for seed in seeds]
    scorer = detections(
        tmp_path, {"picture": names[0], "objects": [good]}, "", {"picture": f"{names[1]}.png", "objects": [blue]}
    )
    with scorer.open() as score:
        found = score(images, [prompt] * 3)
    assert found[:2] == [1.0, 0.0] and math.isnan(found[2])  # a picture that the file does not have has no verdict
    before = scorer.settings()
    assert detections(tmp_path, {"picture": names[0], "objects": []}).settings() != before


GOOD = {"class": "dog", "score": 0.9, "box": [0, 0, 5, 5]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is broken"),
        ({"objects": []}, "it has no 'picture'"),
        ({"picture": "a"}, "it has no 'objects'"),
        ({"picture": "first", "objects": []}, "picture 'first' comes twice"),
        ({"picture": "a", "objects": [GOOD | {"class": "mouse"}]}, "class 'mouse' is none of GenEval's 80"),
        ({"picture": "a", "objects": [GOOD | {"box": [0, 0, 5]}]}, "line 2 is broken"),
        ({"picture": "a", "objects": [GOOD | {"box": [6, 0, 5, 5]}]}, "must be left, top, right, bottom"),
        ({"picture": "a", "objects": [GOOD | {"box": [0, 0, 5, float("nan")]}]}, "box holds nan"),
        ({"picture": "a", "objects": [GOOD | {"score": 97}]}, r"score 97.0 lies outside 0..1"),
        ({"picture": "a", "objects": [GOOD | {"score": "high"}]}, "score holds 'high'"),
        ({"picture": "a", "objects": [GOOD | {"colour": "teal"}]}, "colour 'teal' is none of red"),
        ({"picture": "first.png", "objects": []}, "picture 'first.png' comes twice"),
        ({"picture": "a", "objects": [GOOD | {"hue": "red"}]}, "'hue' is none of class, score, box"),
        ({"picture": "a", "objects": [GOOD | {"colours": ["red"]}]}, "must be a share for each colour"),
        ({"picture": "a", "objects": None}, "objects is no list of JSON objects"),
        ({"picture": "a", "objects": [1]}, "objects is no list of JSON objects"),
        ([1], "it is no JSON object"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, said):
    scorer = detections(tmp_path, {"picture": "first", "objects": []}, line)
    with (
        pytest.raises(ValueError, match=r"scorers.geneval_detections.path=.*line 2 is broken.*; mend it") as caught,
        scorer.open(),
    ):
        pass
    assert re.search(said, str(caught.value))


def test_genevals_own_word_for_colour_is_read_a_missing_one_is_named_and_so_is_another_encoding(tmp_path):
    meta = {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}]}
    prompt, image = Prompt("a photo of a red dog", meta, 3), Image.new("RGB", (8, 8))
    image.info["picture"] = "000002-abc"  # as the store calls a picture from elsewhere
    for colour, right in (({"color": "red"}, 1.0), ({"color": "blue"}, 0.0), ({"colour": "red"}, 1.0)):
        with detections(tmp_path, {"picture": "000002-abc.png", "objects": [GOOD | colour]}).open() as score:
            assert score([image], [prompt]) == [right]
    with (
        detections(tmp_path, {"picture": "000002-abc", "objects": [GOOD]}).open() as score,
        pytest.raises(ValueError, match="asks for a colour, and a detected dog has none; add it"),
    ):
        score([image], [prompt])
    path = tmp_path / "detections.jsonl"
    path.write_text(json.dumps({"picture": "a", "objects": []}), encoding="utf-8-sig")
    with GenEvalDetections(str(path)).open():
        pass
    path.write_text("{}", encoding="utf-16")
    with pytest.raises(ValueError, match="is not UTF-8; save it"), GenEvalDetections(str(path)).open():
        pass


def test_a_record_in_another_form_is_named():
    for include in ('[{"class": "dog"}]', ["dog"], {"class": "dog"}):
        with pytest.raises(ValueError, match="no list of records; give it in JSON lines"):
            check_record(Prompt("a photo of a dog", {"tag": "single_object", "include": include}))


def test_a_file_that_is_not_there_is_named_before_anything_runs(tmp_path):
    for path in (None, str(tmp_path / "none.jsonl")):
        with pytest.raises(ValueError, match=rf"scorers.geneval_detections.path={path} is no file; give one"):
            GenEvalDetections(path).settings()


# -- the summary -----------------------------------------------------------------------------------------------------


class Verdicts(GenEvalDetections):
    """Verdicts that are put into the store by hand."""

    def settings(self):
        return {}


OF = Verdicts(name="verdicts")


def everything():
    """553 prompts, many of one text."""
    meta = [{"tag": tag, "include": [{"class": "dog", "count": 1}]} for tag, n in PROMPTS.items() for _ in range(n)]
    return [Prompt(("a red circle", "a blue star")[i % 2], one, i) for i, one in enumerate(meta)]


def test_the_overall_number_is_the_mean_over_tags_of_correct_pictures():
    prompts = everything() * 4
    rng = np.random.default_rng(0)
    chance = {tag: 0.1 + 0.15 * i for i, tag in enumerate(PROMPTS)}
    right = np.array([float(rng.random() < chance[p.meta["tag"]]) for p in prompts])
    overall = GenEvalOverall(OF).measure(right[:, None], prompts, {})
    by_tag = {tag: [x for x, p in zip(right, prompts, strict=True) if p.meta["tag"] == tag] for tag in PROMPTS}
    assert overall.value == pytest.approx(np.mean([np.mean(x) for x in by_tag.values()]))
    assert overall.value != pytest.approx(right.mean(), abs=1e-3)  # tags have not as many prompts each
    each = right.reshape(4, 553).mean(0)
    start, variance = 0, 0.0
    for n in PROMPTS.values():
        variance += each[start : start + n].var(ddof=1) / n
        start += n
    assert overall.high - overall.value == pytest.approx(1.96 * math.sqrt(variance) / 6, rel=1e-4)
    any_right = right.reshape(4, 553).any(0)
    found = GenEvalPrompts(OF).measure(right[:, None], prompts, {})
    assert found.value == pytest.approx(any_right.mean()) and found.low < found.value < found.high


def test_an_incomplete_set_has_no_overall_number_and_is_told_what_is_missing():
    prompts = everything()
    for metric in (GenEvalOverall(OF), GenEvalPrompts(OF)):
        for some, said in [
            ([p for p in prompts if p.meta["tag"] != "position"], "position has 0 of 100 prompts"),
            (prompts[3:], "single_object has 77 of 80 prompts"),
            ([*prompts, *prompts[:550]], "3 prompts have fewer than 2 pictures"),
            ([*prompts, Prompt("x", {"tag": "texture"}, 1)], "texture is no tag of GenEval's"),
            ([Prompt("x", {}, 1)], "None is no tag"),
        ]:
            with pytest.raises(ValueError, match=said):
                metric.measure(np.ones((len(some), 1)), some, {})
        with pytest.raises(ValueError, match="is nan"):
            metric.measure(np.full((553, 1), math.nan), prompts, {})


def test_the_overall_number_is_of_stored_verdicts_and_the_tags_are_a_table(tmp_path):
    store, overall = Store(tmp_path / "store"), GenEvalOverall(OF)
    one_job = job(PromptList("geneval", tuple(everything())))
    assert kinds([OF, overall]) == [OF]  # scored once for both
    row = kept(store, one_job, scorers=(OF, overall)).rows[0]
    cell, half = one_job.cell, {score_name(OF, p): float(p.entry % 2) for p in one_job.pictures}
    some = dict(list(half.items())[:500])
    store.put_scores(cell, identity(OF), about(OF), some)
    with pytest.raises(ValueError, match="color_attr has 47 of 100 prompts"):
        measure(overall, one_job, store)
    results = Results(store, SimpleNamespace(rows=[row]))
    assert math.isnan(results.mean(row, "geneval_overall").value)
    store.put_scores(cell, identity(OF), about(OF), half)
    found = measure(overall, one_job, store)
    results = Results(store, SimpleNamespace(rows=[row]))
    assert results.mean(row, "geneval_overall") == pytest.approx(found)
    assert results.scored(row, "geneval_overall") == 553
    tags = [results.mean(row, "verdicts", meta_is("tag", tag)).value for tag in PROMPTS]
    assert np.mean(tags) == pytest.approx(found.value)
    assert measure(overall, one_job, store) == found


def test_a_changed_record_is_summed_up_anew(tmp_path):
    store, overall = Store(tmp_path / "store"), GenEvalOverall(OF)
    first = everything()
    # two prompts, of which one is right, change places between tags of unequal size
    swapped = [*first]
    swapped[0], swapped[100] = (replace(first[0], meta=first[100].meta), replace(first[100], meta=first[0].meta))
    values = []
    for prompts in (first, swapped):
        one_job = job(PromptList("geneval", tuple(prompts)))
        scores = {score_name(OF, p): float(p.entry == 0) for p in one_job.pictures}
        store.put_scores(one_job.cell, identity(OF), about(OF), scores)
        values.append(measure(overall, one_job, store).value)
    assert values == pytest.approx([1 / 80 / 6, 1 / 99 / 6])
