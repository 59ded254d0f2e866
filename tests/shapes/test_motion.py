"""Shapes in motion: what is drawn is what was asked for, and the judge knows it from everything else."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from zz.data.base import Prompt
from zz.data.motion_prompts import WORDS, ShapesMotion, ShapesMotionTune, every, moving, parse, trained
from zz.scorers.clip import ClipFeatures
from zz.scorers.shapes.motion import MotionCorrect, MotionFrames, does, track
from zz.scorers.shapes.truth import MotionFrechet
from zz.worlds.motion import FRAMES, MOTIONS, WAYS, draw_clip
from zz.worlds.shapes import HELD_OUT, render


def filmed(meta, seed=0, size=32):
    scenes = draw_clip(meta, np.random.default_rng([4, seed]))
    return [Image.fromarray(render(scene, size)) for scene in scenes]


def judged(scorer, clips, prompts):
    with scorer.open() as score:
        return score(clips, prompts)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_rendered_clip_is_right_and_stays_inside(motion):
    prompts = [prompt for prompt in ShapesMotion().prompts if prompt.meta["motion"] == motion]
    clips = [filmed(prompt.meta, seed) for seed, prompt in enumerate(prompts)]
    assert all(len(clip) == FRAMES for clip in clips)
    assert judged(MotionCorrect(), clips, prompts) == [1.0] * len(prompts) == judged(MotionFrames(), clips, prompts)
    for prompt, seed in zip(prompts, range(20), strict=False):
        for scene in draw_clip(prompt.meta, np.random.default_rng([4, seed])):
            (thing,) = scene.things
            assert all(thing.radius <= x <= 1 - thing.radius for x in thing.centre)


@pytest.mark.parametrize("motion", WAYS)
def test_what_moves_crosses_the_middle(motion):
    across, down = WAYS[motion]
    for seed in range(20):
        first, *_, last = draw_clip(moving("red", "star", motion), np.random.default_rng([5, seed]))
        (x, y), (to_x, to_y) = first.things[0].centre, last.things[0].centre
        assert (x - 0.5) * across + (y - 0.5) * down < 0 < (to_x - 0.5) * across + (to_y - 0.5) * down


def test_every_other_motion_is_wrong():
    for seed, motion in enumerate(MOTIONS):
        clip = filmed(moving("red", "star", motion), seed)
        others = [Prompt("", moving("red", "star", other)) for other in MOTIONS if other != motion]
        assert judged(MotionCorrect(), [clip] * 4, others) == [0.0] * 4
        assert judged(MotionFrames(), [clip] * 4, others) == [1.0] * 4, "each frame shows a red star"


def test_a_still_a_jump_back_and_a_missing_frame_are_wrong():
    meta = moving("blue", "circle", "right")
    clip = filmed(meta)
    prompt = Prompt(meta["prompt"], meta)
    empty = Image.fromarray(np.full((32, 32, 3), 246, np.uint8))
    wrong = [[clip[0]] * FRAMES, clip[::-1], [*clip[:4], empty, *clip[5:]], [*clip[:4], *clip[3::-1]]]
    assert judged(MotionCorrect(), wrong, [prompt] * 4) == [0.0] * 4
    assert judged(MotionFrames(), wrong, [prompt] * 4) == [1.0, 1.0, 1 - 1 / FRAMES, 1.0]


def test_another_colour_or_shape_is_wrong():
    clip = filmed(moving("blue", "circle", "up"))
    asked = [moving("red", "circle", "up"), moving("blue", "square", "up")]
    assert judged(MotionCorrect(), [clip] * 2, [Prompt(meta["prompt"], meta) for meta in asked]) == [0.0, 0.0]


def test_a_path_is_judged_by_its_line():
    t = np.linspace(0, 1, 6)[:, None]
    still = np.array([[0.5, 0.5, 0.2]])
    right, grown = still + t * [0.3, 0, 0], np.column_stack([0 * t + 0.5, 0 * t + 0.5, 0.15 * 2**t])
    assert does(right, "right") and not does(right, "left") and not does(right, "growing")
    assert does(grown, "growing") and not does(grown, "up")
    assert not does(still + t * [0.3, 0.2, 0], "right"), "too much of it leads aside"
    assert not does(still + t * [0.1, 0, 0], "right"), "too little"
    assert not does(right * [1, 1, 1] + np.column_stack([0 * t, 0 * t, 0.2 * t]), "right"), "it grows, too"
    assert track([np.full((32, 32, 3), 246, np.uint8)], {"class": "star", "color": "red"}) is None


def test_the_grammar():
    for meta in every():
        assert parse(meta["prompt"]) == meta
    assert parse("A photo of an  Orange ring growing") == moving("orange", "ring", "growing")
    assert {word for meta in every() for word in meta["prompt"].split()} <= set(WORDS)
    for text in (
        "a photo of a star moving left",
        "a photo of a red star",
        "a photo of a red star moving growing",
        "a cat",
    ):
        with pytest.raises(ValueError, match="is not in the grammar of shapes in motion; write 'a photo of a red star"):
            parse(text)


def test_prompts_are_apart_and_evenly_spread():
    reported, tune = ({prompt.text for prompt in prompts.prompts} for prompts in (ShapesMotion(), ShapesMotionTune()))
    assert len(reported) == 240 and len(tune) == 80 and not reported & tune
    tags = [prompt.meta["tag"] for prompt in ShapesMotion().prompts]
    assert {tags.count(motion) for motion in MOTIONS} == {48}
    shown = {(item["class"], item["color"]) for meta in trained() for item in meta["include"]}
    assert len(shown) == 56 and not shown & HELD_OUT


def test_bad_input_is_one_message():
    clip = filmed(moving("red", "star", "up"))
    with pytest.raises(ValueError, match="motion_correct judges clips of 3 frames or more; this one has 2"):
        judged(MotionCorrect(), [clip[:2]], [Prompt("", moving("red", "star", "up"))])
    with pytest.raises(
        ValueError, match=r"scorers: motion_frames cannot judge it: prompt 'a cat' is not in the grammar"
    ):
        judged(MotionFrames(), [clip], [Prompt("a cat")])


@pytest.mark.ci
def test_the_frechet_distance_grows_with_damage_and_tells_a_still_from_a_clip():
    prompts = ShapesMotion().prompts[:50]
    clips = [filmed(prompt.meta, seed) for seed, prompt in enumerate(prompts)]
    stills = [[clip[0]] * FRAMES for clip in clips]
    blurred = [[frame.filter(ImageFilter.GaussianBlur(1)) for frame in clip] for clip in clips]
    metric = MotionFrechet(ClipFeatures("zz:shapes_clip"), truth=100)
    with metric.features.open() as extract:
        reference = metric.reference(extract)
        found = []
        for made in (clips, stills, blurred):
            rows = np.asarray(extract([frame for clip in made for frame in clip]))
            found.append(metric.measure(rows.reshape(len(made), FRAMES, -1).mean(1), prompts, reference))
    true, still, soft = (one.value for one in found)
    assert 1.2 * true < still and 1.2 * true < soft
    assert reference["mean"].shape == (rows.shape[1],)
