"""The judge of the shapes world: right on rendered truth, and wrong where it should be."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from tests.make import said
from zz.data.shapes_prompts import TAGS, Shapes, draw_pair, every
from zz.scorers.geneval.rules import Detection, verdict
from zz.scorers.shapes.detector import blobs, detect
from zz.scorers.shapes.scorers import Cleanliness, ShapesAlignment, ShapesCorrect
from zz.worlds.shapes import COLOURS, SHAPES, Paper, Scene, Thing, render


def picture(*things, size=32):
    return render(Scene(tuple(things)), size)


def judge(scorer, pixels, prompt):
    with scorer.open() as score:
        return score([Image.fromarray(pixels)], said([prompt]))[0]


def blot(paint, over=8):
    """Something red drawn by hand, antialiased: paint(pen, scale)."""
    image = Image.new("RGB", (32 * over, 32 * over), (246, 246, 246))
    paint(ImageDraw.Draw(image), over)
    return np.asarray(image.resize((32, 32), Image.Resampling.BOX))


RED = (224, 28, 36)


# The detector


@pytest.mark.parametrize("shape", SHAPES)
def test_the_detector_finds_shape_colour_place_and_size(shape):
    for i, colour in enumerate(COLOURS):
        thing = Thing(shape, colour, (0.4 + 0.02 * i, 0.55), 0.16 + 0.01 * i)
        (blob,) = blobs(picture(thing))
        assert (blob.shape, blob.colour) == (shape, colour)
        assert blob.overlap > 0.9
        assert np.array(blob.centre) / 32 == pytest.approx(thing.centre, abs=0.01)
        assert blob.radius / 32 == pytest.approx(thing.radius, rel=0.06)


def test_the_detector_works_at_other_sizes():
    rng = np.random.default_rng(5)
    for size in (24, 48, 64):
        for tag in TAGS:
            pair = draw_pair(rng, tag, held_out=True)
            assert verdict(detect(render(pair.scene, size)), pair.meta) == (True, "")


def truth(n, seed):
    """By tag: the share of scenes judged right, the share found object by object, and mismatches judged wrong."""
    rng = np.random.default_rng(seed)
    right, exact, refused = defaultdict(list), defaultdict(list), defaultdict(list)
    for i in range(n):
        tag = TAGS[i % len(TAGS)]
        pair = draw_pair(rng, tag, held_out=True)
        found = detect(render(pair.scene))
        right[tag].append(verdict(found, pair.meta)[0])
        there = Counter((shape, d.colour) for shape, each in found.items() for d in each)
        exact[tag].append(there == Counter((t.shape, t.colour) for t in pair.scene.things))
        other = every(tag)[rng.integers(len(every(tag)))]
        if not shows(pair.scene, other):
            refused[tag].append(not verdict(found, other)[0])
    return [{tag: np.mean(each[tag]) for tag in TAGS} for each in (right, exact, refused)]


def shows(scene, meta):
    """Whether a scene happens to show what another record asks for, by its things and GenEval's relation."""
    objects = defaultdict(list)
    for t in scene.things:
        (x, y), r = t.centre, t.radius
        objects[t.shape].append(Detection((x - r, y - r, x + r, y + r), colours={t.colour: 1.0}))
    return verdict(objects, meta)[0]


def test_the_judge_is_right_on_rendered_truth_and_refuses_other_prompts():
    right, exact, refused = truth(600, seed=1)
    assert min(right.values()) >= 0.99
    assert min(exact.values()) >= 0.99
    assert min(refused.values()) >= 0.95


@pytest.mark.ci
def test_the_judge_is_right_on_5000_scenes():
    right, exact, refused = truth(5000, seed=2)
    assert min(right.values()) >= 0.99
    assert min(exact.values()) >= 0.99
    assert min(refused.values()) >= 0.95


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x, rng: x + rng.normal(0, 10, x.shape),
        lambda x, rng: ndimage.gaussian_filter(x, (0.6, 0.6, 0)),
        lambda x, rng: 245 + 0.7 * (x - 245),
        lambda x, rng: x - 20,
    ],
    ids=["noise", "blur", "washed out", "darker"],
)
def test_the_judge_bears_what_a_generative_model_does_to_pixels(spoil):
    rng = np.random.default_rng(4)
    right = []
    for i in range(120):
        pair = draw_pair(rng, TAGS[i % len(TAGS)], held_out=True)
        pixels = spoil(render(pair.scene).astype(float), rng).clip(0, 255).astype(np.uint8)
        right.append(verdict(detect(pixels), pair.meta)[0])
    assert np.mean(right) >= 0.97


# Hard cases, through the scorers


STAR, RING = Thing("star", "red", (0.27, 0.3), 0.2), Thing("ring", "blue", (0.7, 0.7), 0.2)


@pytest.mark.parametrize(
    ("prompt", "correct"),
    [
        ("a photo of a star", 1),
        ("a photo of a ring", 1),
        ("a photo of a circle", 0),
        ("a photo of a star and a ring", 1),
        ("a photo of a star and a heart", 0),
        ("a photo of a red star", 1),
        ("a photo of a blue star", 0),  # the colour is there, on another shape
        ("a photo of a red star and a blue ring", 1),
        ("a photo of a blue star and a red ring", 0),
        ("a photo of a star left of a ring", 1),
        ("a photo of a star above a ring", 1),
        ("a photo of a star below a ring", 0),
        ("a photo of two stars", 0),
    ],
)
def test_one_picture_many_prompts(prompt, correct):
    pixels = picture(STAR, RING)
    assert judge(ShapesCorrect(), pixels, prompt) == correct
    soft = judge(ShapesAlignment(), pixels, prompt)
    assert (soft == 1) if correct else (soft < 0.9)


@pytest.mark.parametrize(("n", "word"), [(1, "two"), (2, "two"), (3, "two"), (3, "three"), (4, "three"), (4, "four")])
def test_one_object_more_or_less_is_wrong(n, word):
    places = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    pixels = picture(*(Thing("heart", "pink", at, 0.16) for at in places[:n]))
    right = n == {"two": 2, "three": 3, "four": 4}[word]
    assert judge(ShapesCorrect(), pixels, f"a photo of {word} hearts") == right


def test_strict_minds_what_was_not_asked_for():
    pixels = picture(STAR, RING)
    assert judge(ShapesCorrect(strict=True), pixels, "a photo of a star") == 0
    assert judge(ShapesCorrect(strict=True), pixels, "a photo of a star and a ring") == 1
    twice = picture(STAR, Thing("star", "red", (0.7, 0.7), 0.2))
    assert judge(ShapesCorrect(), twice, "a photo of a red star") == 1
    assert judge(ShapesCorrect(strict=True), twice, "a photo of a red star") == 0


@pytest.mark.parametrize(
    ("left", "right"), [("red", "blue"), ("yellow", "black"), ("pink", "green"), ("red", "orange")]
)
def test_touching_shapes_of_two_colours_are_two_objects(left, right):
    half = 0.2 * 0.74
    pixels = picture(
        Thing("square", left, (0.5 - half, 0.5), 0.2), Thing("circle", right, (0.5 + 0.92 * 0.2, 0.5), 0.2)
    )
    assert judge(ShapesCorrect(), pixels, f"a photo of {_a(left)} square and {_a(right)} circle") == 1
    assert judge(ShapesCorrect(), pixels, "a photo of a square left of a circle") == 1


def _a(word):
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def test_an_overlapped_shape_counts_as_long_as_its_outline_is_most_there():
    behind, front = Thing("circle", "green", (0.4, 0.5), 0.22), Thing("star", "black", (0.65, 0.5), 0.15)
    assert judge(ShapesCorrect(), picture(behind, front), "a photo of a green circle and a black star") == 1
    hidden = Thing("star", "black", (0.4, 0.5), 0.22)
    assert judge(ShapesCorrect(), picture(behind, hidden), "a photo of a circle") == 0


@pytest.mark.parametrize(
    "paint",
    [
        lambda pen, k: pen.rectangle((5 * k, 14 * k, 27 * k, 17 * k), fill=RED),
        lambda pen, k: pen.polygon(
            [(8 * k, 6 * k), (13 * k, 6 * k), (13 * k, 20 * k), (25 * k, 20 * k), (25 * k, 25 * k), (8 * k, 25 * k)],
            fill=RED,
        ),
        lambda pen, k: (
            pen.ellipse((6 * k, 6 * k, 26 * k, 26 * k), fill=RED),
            pen.ellipse((11 * k, 4 * k, 31 * k, 24 * k), fill=(246, 246, 246)),
        ),
        lambda pen, k: pen.arc((6 * k, 6 * k, 26 * k, 26 * k), 0, 250, fill=RED, width=4 * k),
    ],
    ids=["bar", "corner", "crescent", "arc"],
)
def test_a_blob_that_is_no_shape_is_no_object(paint):
    pixels = blot(paint)
    assert len(blobs(pixels)) == 1
    assert detect(pixels) == {}
    assert all(judge(ShapesCorrect(), pixels, f"a photo of a {shape}") == 0 for shape in SHAPES)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_picture_shows_nothing(level):
    pixels = np.full((32, 32, 3), level, np.uint8)
    assert detect(pixels) == {}
    for tag in TAGS:
        prompt = every(tag)[0]["prompt"]
        assert judge(ShapesCorrect(), pixels, prompt) == 0
        assert judge(ShapesAlignment(), pixels, prompt) == 0


def test_noise_and_a_sheet_of_one_colour_show_nothing():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert detect(noise) == {}
    assert detect(np.full((32, 32, 3), COLOURS["red"], np.uint8)) == {}


def test_a_speck_is_neither_object_nor_blob():
    pixels = picture(STAR)
    pixels[28:30, 28:30] = COLOURS["green"]
    assert [blob.shape for blob in blobs(pixels)] == ["star"]


# The scorers


def test_alignment_is_one_on_truth_and_lower_for_another_prompt():
    rng = np.random.default_rng(6)
    metas = [every(tag)[rng.integers(len(every(tag)))] for tag in TAGS for _ in range(10)]
    scenes = [draw_pair(rng, meta["tag"], held_out=True) for meta in metas]
    images = [Image.fromarray(render(pair.scene)) for pair in scenes]
    with ShapesAlignment().open() as score:
        own = score(images, said([pair.meta["prompt"] for pair in scenes]))
        other = score(images, said([meta["prompt"] for meta in metas]))
    assert min(own) == pytest.approx(1)
    assert all(0 <= value <= 1 for value in other)
    assert np.mean(other) < 0.6


def test_cleanliness_is_near_one_on_truth_and_falls_with_noise_blur_and_foreign_colours():
    rng = np.random.default_rng(7)
    pictures = [render(draw_pair(rng).scene).astype(float) for _ in range(40)]
    spoils = {
        "truth": lambda x: x,
        "noise 5": lambda x: x + rng.normal(0, 5, x.shape),
        "noise 15": lambda x: x + rng.normal(0, 15, x.shape),
        "blur 1": lambda x: ndimage.gaussian_filter(x, (1, 1, 0)),
        "blur 2": lambda x: ndimage.gaussian_filter(x, (2, 2, 0)),
        "brown": lambda x: x * 0 + np.array((140, 90, 40)),
    }
    with Cleanliness().open() as score:
        clean = {
            name: np.array(
                score([Image.fromarray(spoil(x).clip(0, 255).astype(np.uint8)) for x in pictures], said([""] * 40))
            )
            for name, spoil in spoils.items()
        }
    assert clean["truth"].min() > 0.99
    mean = {name: values.mean() for name, values in clean.items()}
    assert mean["truth"] > mean["noise 5"] > mean["noise 15"] > mean["brown"]
    assert mean["truth"] > mean["blur 1"] > mean["blur 2"]
    assert mean["brown"] < 0.05


def test_a_scorer_takes_any_mode_and_many_pictures():
    prompts = Shapes().prompts[:6]
    images = [Image.fromarray(picture(STAR, RING)).convert("RGBA")] * 6
    for scorer in (ShapesCorrect(), ShapesAlignment(), Cleanliness()):
        with scorer.open() as score:
            values = score(images, prompts)
            assert score([], []) == []
        assert len(values) == 6
        assert all(type(value) is float and 0 <= value <= 1 for value in values)


def test_a_prompt_outside_of_the_grammar_stops_the_judge():
    for scorer in (ShapesCorrect(), ShapesAlignment()):
        with pytest.raises(ValueError, match=r"'a cat'.*write one of"):
            judge(scorer, picture(STAR), "a cat")


def test_settings_are_what_moves_the_numbers():
    assert ShapesCorrect(accept=0.8).settings() == {"accept": 0.8, "strict": False}
    assert Cleanliness().settings() == {"tolerance": 25.0}
    with pytest.raises(ValueError, match="accept=7"):
        ShapesCorrect(accept=7)
    with pytest.raises(ValueError, match="tolerance=0"):
        Cleanliness(tolerance=0)


def test_a_stricter_judge_refuses_what_a_lenient_one_accepts():
    hexagon_like = blot(lambda pen, k: pen.regular_polygon((16 * k, 16 * k, 9 * k), 6, fill=RED))
    assert judge(ShapesCorrect(), hexagon_like, "a photo of a circle") == 1
    assert judge(ShapesCorrect(accept=0.97), hexagon_like, "a photo of a circle") == 0


def test_paper_that_is_graded_is_still_paper():
    steep = Paper((236, 236, 240), (12, 14, 10), (-12, -10, -14))
    scene = Scene((STAR,), steep)
    assert detect(render(scene)).keys() == {"star"}
    assert detect(render(Scene((), steep))) == {}
