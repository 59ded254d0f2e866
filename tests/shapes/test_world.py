"""The shapes world: what it draws, what it says, and that the two agree."""

from collections import Counter
from itertools import combinations
from math import hypot

import numpy as np
import pytest

from zz.data.shapes_prompts import (
    GENEVAL,
    TAGS,
    TUNE,
    VOCABULARY,
    Quick,
    Shapes,
    ShapesTune,
    draw_pair,
    every,
    names_held_out,
    parse,
)
from zz.worlds.shapes import (
    COLOURS,
    GAP,
    HELD_OUT,
    LEAN,
    SHAPES,
    WAYS,
    Paper,
    Scene,
    Thing,
    draw_scene,
    outline,
    pairs,
    render,
)


def drawn(n, seed=0, **settings):
    rng = np.random.default_rng(seed)
    return [draw_pair(rng, TAGS[i % len(TAGS)], **settings) for i in range(n)]


def test_a_seed_draws_the_same_pictures_and_another_seed_others():
    first, again, other = drawn(60), drawn(60), drawn(60, seed=1)
    assert first == again
    assert all(np.array_equal(render(a.scene), render(b.scene)) for a, b in zip(first, again, strict=True))
    assert all(a.scene != b.scene for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("size", [32, 48])
def test_a_picture_is_8_bit_rgb_of_the_size_asked_for(size):
    picture = render(drawn(1)[0].scene, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


def test_a_pixel_in_the_middle_of_a_square_has_its_colour_and_a_corner_has_the_papers():
    scene = Scene((Thing("square", "blue", (0.5, 0.5), 0.25),), Paper((240, 241, 242)))
    picture = render(scene)
    assert tuple(picture[16, 16]) == COLOURS["blue"]
    assert tuple(picture[0, 0]) == (240, 241, 242)


@pytest.mark.parametrize("shape", SHAPES)
def test_antialiasing_keeps_a_shapes_area_wherever_it_lies(shape):
    """Coverage sums to the outline's area, to float32's accuracy, at any offset from the grid of pixels."""
    places = np.array([(10.0, 10.0), (10.3, 9.6), (9.77, 10.51)])
    edges = np.arange(21)
    areas = [outline(shape).coverage(p[None], np.array([6.0]), edges, edges).sum() for p in places]
    assert areas[0] > 0.5 * 6**2
    assert areas == pytest.approx([areas[0]] * 3, rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_is_centred_by_its_box_and_fills_its_disc(shape):
    edges = np.linspace(-1.2, 1.2, 241)
    cover = outline(shape).coverage(np.zeros((1, 2)), np.ones(1), edges, edges)[0] > 0.5
    reach = []
    for axis in (0, 1):
        inside = np.flatnonzero(cover.any(axis))
        low, high = edges[inside[0]], edges[inside[-1] + 1]
        assert low + high == pytest.approx(0, abs=0.03)
        reach.append(high - low)
    assert 1.4 < max(reach) < 2.2


def test_what_lies_outside_of_the_picture_is_not_drawn():
    away = Thing("circle", "red", (1.6, 0.5), 0.2)
    assert np.array_equal(render(Scene((away,))), render(Scene()))
    half = render(Scene((Thing("circle", "red", (1.0, 0.5), 0.2),)))
    assert tuple(half[16, 31]) == COLOURS["red"]


def test_a_thing_refuses_a_shape_or_colour_that_the_world_lacks():
    with pytest.raises(ValueError, match=r"shape='hexagon'.*circle"):
        Thing("hexagon", "red", (0.5, 0.5), 0.2)
    with pytest.raises(ValueError, match=r"colour='brown'.*red"):
        Thing("circle", "brown", (0.5, 0.5), 0.2)


def test_five_shapes_are_refused():
    with pytest.raises(ValueError, match="1 to 4"):
        draw_scene({"include": [{"class": "star", "count": 5}]}, np.random.default_rng(0))


def test_palette_and_held_out_pairs():
    assert {"red", "blue", "green", "yellow"} <= set(COLOURS)
    assert len(SHAPES) == len(COLOURS) == len(HELD_OUT) == 8
    assert {s for s, _ in HELD_OUT} == set(SHAPES)
    assert {c for _, c in HELD_OUT} == set(COLOURS)
    closest = min(hypot(*np.subtract(a, b)) for a, b in combinations(COLOURS.values(), 2))
    assert closest > 100  # of 442 between black and white


@pytest.mark.parametrize("tag", TAGS)
def test_a_drawn_scene_shows_what_its_record_asks_for_and_nothing_else(tag):
    rng = np.random.default_rng(3)
    for _ in range(150):
        scene, meta = draw_pair(rng, tag, held_out=True)
        asked = [item for item in meta["include"] for _ in range(item["count"])]
        assert [thing.shape for thing in scene.things] == [item["class"] for item in asked]
        assert all(t.colour == item.get("color", t.colour) for t, item in zip(scene.things, asked, strict=True))
        for thing, item in zip(scene.things, asked, strict=True):
            if "position" in item:
                way, target = item["position"]
                x, y = np.subtract(thing.centre, scene.things[target].centre)
                across, down = WAYS[way]
                assert x * across + y * down > abs(x * down + y * across)  # mostly that way


def test_things_keep_apart_lie_inside_and_lean_little():
    for scene, _ in drawn(300, held_out=True):
        for thing in scene.things:
            assert all(thing.radius <= at <= 1 - thing.radius for at in thing.centre)
            assert abs(thing.angle) <= LEAN[thing.shape]
        for a, b in combinations(scene.things, 2):
            assert hypot(*np.subtract(a.centre, b.centre)) >= a.radius + b.radius + GAP - 1e-9


def test_things_overlap_only_when_asked_to():
    def closest(pairs_):
        return min(
            hypot(*np.subtract(a.centre, b.centre)) - a.radius - b.radius
            for scene, _ in pairs_
            for a, b in combinations(scene.things, 2)
        )

    assert closest(drawn(120)) >= GAP - 1e-9
    assert closest(drawn(120, gap=-0.2)) < -0.05


def test_a_gap_that_leaves_no_room_is_refused():
    with pytest.raises(ValueError, match=r"gap=0\.9"):
        drawn(6, gap=0.9)


def test_counted_things_are_of_one_colour_about_as_often_as_not():
    rng = np.random.default_rng(0)
    alike = [len({t.colour for t in draw_pair(rng, "counting").scene.things}) == 1 for _ in range(400)]
    assert 0.4 < np.mean(alike) < 0.65  # a half, and what chance adds


def test_training_neither_shows_nor_names_a_held_out_pair():
    training = drawn(3000)
    shown = {(t.shape, t.colour) for scene, _ in training for t in scene.things}
    assert not shown & HELD_OUT
    assert shown == set(pairs(held_out=False))
    assert not any(names_held_out(meta) for _, meta in training)


def test_without_a_tag_all_six_are_drawn_alike():
    rng = np.random.default_rng(0)
    tags = Counter(draw_pair(rng).meta["tag"] for _ in range(1200))
    assert set(tags) == set(TAGS)
    assert min(tags.values()) > 130  # 200 expected, standard deviation 13


def test_the_grammar_has_as_many_prompts_as_its_table_says():
    assert [len(every(tag)) for tag in TAGS] == [8, 56, 24, 64, 224, 3136]
    texts = [meta["prompt"] for tag in TAGS for meta in every(tag)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("tag", TAGS)
def test_every_prompt_reads_back_as_its_own_record(tag):
    assert all(parse(meta["prompt"]) == meta for meta in every(tag))


@pytest.mark.parametrize(
    ("text", "include"),
    [
        ("a photo of a star", [{"class": "star", "count": 1}]),
        (
            "a photo of a star left of a circle",
            [{"class": "circle", "count": 1}, {"class": "star", "count": 1, "position": ["left of", 0]}],
        ),
        (
            "a photo of an orange cross and a black heart",
            [{"class": "cross", "count": 1, "color": "orange"}, {"class": "heart", "count": 1, "color": "black"}],
        ),
        ("A photo  of a RED star", [{"class": "star", "count": 1, "color": "red"}]),
    ],
)
def test_a_prompt_reads_as_genevals_record(text, include):
    assert parse(text)["include"] == include


def test_counting_excludes_one_more():
    meta = parse("a photo of three crosses")
    assert meta["include"] == [{"class": "cross", "count": 3}]
    assert meta["exclude"] == [{"class": "cross", "count": 4}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a star",
        "a photo of a hexagon",
        "a photo of five stars",
        "a photo of three red stars",
        "a photo of a star and a star",
        "a photo of a star left a circle",
        "a photo of a red star and a circle",
        "a photo of a red star, please",
    ],
)
def test_a_prompt_outside_of_the_grammar_is_refused_by_name_and_with_the_remedy(text):
    with pytest.raises(ValueError, match="write one of") as error:
        parse(text)
    assert repr(text) in str(error.value)


def test_the_vocabulary_is_what_the_grammar_writes():
    written = {word for tag in TAGS for meta in every(tag) for word in meta["prompt"].split()}
    assert written == set(VOCABULARY)
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def tags_of(prompt_set):
    return Counter(prompt.meta["tag"] for prompt in prompt_set.prompts)


def test_the_sets_have_genevals_proportions():
    assert tags_of(Shapes()) == GENEVAL
    assert len(Shapes().prompts) == 553
    assert tags_of(ShapesTune()) == TUNE
    assert len(ShapesTune().prompts) == 200
    assert all(abs(TUNE[tag] / 200 - GENEVAL[tag] / 553) < 1 / 200 for tag in TAGS)
    assert tags_of(Quick()) == dict.fromkeys(TAGS, 10)


@pytest.mark.parametrize("kind", [Shapes, ShapesTune, Quick])
def test_a_set_is_the_same_each_time_and_its_texts_are_its_records(kind):
    assert kind().listed().record_digest == kind().listed().record_digest
    assert all(parse(p.text) == p.meta for p in kind().prompts)
    assert all(p.meta["prompt"] == p.text for p in kind().prompts)


def test_the_first_prompts_of_a_set_are_a_fair_share_of_its_tags():
    first = Counter(p.meta["tag"] for p in Shapes().prompts[:100])
    assert all(abs(first[tag] - 100 * GENEVAL[tag] / 553) <= 1 for tag in TAGS)


def test_tuning_is_apart_from_reporting_where_the_grammar_allows():
    def texts(prompt_set, tag):
        return {p.text for p in prompt_set.prompts if p.meta["tag"] == tag}

    for tag in TAGS:
        shared = texts(Shapes(), tag) & texts(ShapesTune(), tag)
        assert bool(shared) == (tag in ("single_object", "counting"))
    distinct = [len(texts(Shapes(), tag)) for tag in TAGS]
    assert distinct == [8, 40, 24, 48, 100, 100]


def test_a_repeated_prompt_comes_as_often_as_any_other_of_its_tag_give_or_take_one():
    for tag in TAGS:
        times = Counter(p.text for p in Shapes().prompts if p.meta["tag"] == tag).values()
        assert max(times) - min(times) <= 1


def test_held_out_pairs_are_asked_for():
    asked = {
        (item["class"], item["color"])
        for p in Shapes().prompts
        if p.meta["tag"] == "colors"
        for item in p.meta["include"]
    }
    assert asked >= HELD_OUT
    two = [names_held_out(p.meta) for p in Shapes().prompts if p.meta["tag"] == "color_attr"]
    assert 10 <= sum(two) <= 40


def test_the_quick_set_is_part_of_the_full_one():
    assert {p.text for p in Quick().prompts} <= {p.text for p in Shapes().prompts}
