"""GenEval's rules, and the softer share of them, on detections made by hand."""

import pytest

from zz.data.shapes_prompts import parse
from zz.scorers.geneval.rules import Detection, alignment, kept, relations, verdict


def box(x, y, half=5.0, score=1.0, **colours):
    return Detection((x - half, y - half, x + half, y + half), score, colours)


def test_include_asks_for_at_least_and_exclude_for_fewer():
    three = parse("a photo of three stars")
    stars = {"star": [box(5, 5), box(15, 5), box(25, 5)]}
    assert verdict(stars, three) == (True, "")
    correct, reason = verdict({"star": stars["star"][:2]}, three)
    assert not correct
    assert "at least 3 star, found 2" in reason
    correct, reason = verdict({"star": [*stars["star"], box(5, 15)]}, three)
    assert not correct
    assert "fewer than 4 star, found 4" in reason
    assert verdict(stars, parse("a photo of a star"))[0]  # more than one is no fault without an exclude


def test_things_that_are_not_asked_for_are_ignored():
    assert verdict({"star": [box(5, 5)], "ring": [box(20, 20)]}, parse("a photo of a star"))[0]


def test_only_the_best_scoring_object_is_asked_for_its_colour():
    red_star = parse("a photo of a red star")
    red, blue = box(5, 5, score=0.9, red=0.8, pink=0.3), box(20, 5, score=0.95, blue=1.0)
    assert verdict({"star": [red]}, red_star)[0]
    correct, reason = verdict({"star": [red, blue]}, red_star)
    assert not correct
    assert "in red, found blue" in reason


def test_colours_are_bound_to_their_shapes():
    meta = parse("a photo of a red star and a blue circle")
    assert verdict({"star": [box(5, 5, red=1.0)], "circle": [box(20, 5, blue=1.0)]}, meta)[0]
    assert not verdict({"star": [box(5, 5, blue=1.0)], "circle": [box(20, 5, red=1.0)]}, meta)[0]


@pytest.mark.parametrize(
    ("at", "there"),
    [
        ((-20, 0), {"left of"}),
        ((20, 0), {"right of"}),
        ((0, -20), {"above"}),
        ((0, 20), {"below"}),
        ((-20, -20), {"left of", "above"}),
        ((20, 3), {"right of"}),
        ((0, 0), set()),
        ((2, 0), set()),  # half-widths 5 and 5: the offset shrinks by .1 * (10 + 10) = 2 to nothing
        ((3, 0), set()),  # 1 of 3 is left: below a half
        ((5, 0), {"right of"}),  # 3 of 5 is left
    ],
)
def test_relations_shrink_the_offset_by_the_widths_and_divide_by_its_full_length(at, there):
    assert relations(box(*at), box(0, 0)) == there


def test_a_relation_without_its_target_is_wrong_and_says_so():
    meta = parse("a photo of a star left of a circle")
    assert verdict({"star": [box(5, 15)], "circle": [box(25, 15)]}, meta)[0]
    assert (
        "expected star left of target, found right of"
        in verdict({"star": [box(25, 15)], "circle": [box(5, 15)]}, meta)[1]
    )
    reason = verdict({"star": [box(5, 15)]}, meta)[1]
    assert "at least 1 circle" in reason
    assert "no target for star" in reason


def test_kept_drops_weak_detections_and_keeps_the_best():
    found = {"star": [box(0, 0, score=0.2), box(1, 0, score=0.5), box(2, 0, score=0.95)], "ring": []}
    assert [d.score for d in kept(found)["star"]] == [0.95, 0.5]
    assert [d.score for d in kept(found, 0.9)["star"]] == [0.95]
    assert [d.score for d in kept(found, at_most=1)["star"]] == [0.95]


def test_alignment_grows_with_every_part_that_is_met():
    meta = parse("a photo of a red star and a blue circle")
    blue_star, red_star, blue_circle = box(5, 5, blue=1.0), box(5, 5, red=1.0), box(20, 5, blue=1.0)
    steps = [
        {},
        {"star": [blue_star]},
        {"star": [red_star]},
        {"star": [red_star], "circle": [box(20, 5, red=1.0)]},
        {"star": [red_star], "circle": [blue_circle]},
    ]
    assert [alignment(objects, meta) for objects in steps] == [0, 0.25, 0.5, 0.75, 1]


def test_alignment_of_counts_falls_on_both_sides_and_an_empty_picture_earns_nothing():
    meta = parse("a photo of three stars")
    shares = [alignment({"star": [box(9 * i, 5) for i in range(n)]}, meta) for n in range(6)]
    assert shares[0] == 0
    assert shares[3] == 1
    assert shares[0] < shares[1] < shares[2] < shares[3] > shares[4] > shares[5]


def test_alignment_of_a_relation_rises_as_the_object_moves_its_way():
    meta = parse("a photo of a star left of a circle")
    shares = [alignment({"star": [box(x, 15)], "circle": [box(16, 15)]}, meta) for x in (26, 16, 13, 6)]
    assert shares == sorted(shares)
    assert shares[0] == shares[1] == pytest.approx(2 / 3)  # both are there, the relation is not
    assert shares[1] < shares[2] < shares[3] == 1
