"""GenEval's rules against its protocol, on constructed detections."""

import math
from collections import Counter

import numpy as np
import pytest

from zz.scorers.geneval import rules
from zz.scorers.geneval.names import PROMPTS
from zz.scorers.geneval.rules import Detection, verdict
from zz.scorers.geneval.scorer import threshold

# -- the rules -------------------------------------------------------------------------------------------------------


def protocol(objects, meta):
    """GenEval's protocol a second time: objects as (class, score, left, top, right, bottom, colour)."""
    bar = 0.9 if meta["tag"] == "counting" else 0.3
    seen = {}
    for one in sorted(objects, key=lambda one: one[1], reverse=True):
        if one[1] > bar and len(seen.setdefault(one[0], [])) < 16:
            seen[one[0]].append(one)
    wrong, usable = [], []
    for clause in meta["include"]:
        top = seen.get(clause["class"], [])[: clause["count"]]
        why = "count" if len(top) < clause["count"] else None
        if why is None and "color" in clause and any(one[6] != clause["color"] for one in top):
            why = "color"
        if why is None and "position" in clause:
            way, target = clause["position"]
            if usable[target] is None:
                why = "target"
            elif not all(holds(a, b, way) for a in top for b in usable[target]):
                why = "position"
        usable.append(None if why else top)
        wrong += [why] if why else []
    wrong += ["exclude" for clause in meta.get("exclude", []) if len(seen.get(clause["class"], [])) >= clause["count"]]
    return wrong


def holds(a, b, way):
    """Whether a is there, seen from b: the offset of centres, less a tenth of both sizes, over its whole length."""
    centre_a, centre_b = (np.array([o[2] + o[4], o[3] + o[5]]) / 2 for o in (a, b))
    sizes = np.array([a[4] - a[2] + b[4] - b[2], a[5] - a[3] + b[5] - b[3]])
    offset = centre_a - centre_b
    reduced = np.array([math.copysign(max(abs(o) - 0.1 * s, 0.0), o) for o, s in zip(offset, sizes, strict=True)])
    if (np.abs(reduced) < 1e-3).all():
        return False
    across, down = reduced / math.sqrt(offset @ offset)
    return {"left of": across < -0.5, "right of": across > 0.5, "above": down < -0.5, "below": down > 0.5}[way]


def records():
    """A record of each tag, and of each edge beyond what the benchmark's own have."""
    yield {"tag": "single_object", "include": [{"class": "dog", "count": 1}]}
    yield {"tag": "two_object", "include": [{"class": "dog", "count": 1}, {"class": "cat", "count": 1}]}
    for n in (1, 2, 3, 4):
        exact = [{"class": "dog", "count": n}]
        yield {"tag": "counting", "include": exact, "exclude": [{"class": "dog", "count": n + 1}]}
    yield {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}]}
    yield {"tag": "colors", "include": [{"class": "dog", "count": 2, "color": "red"}]}
    for way in ("left of", "right of", "above", "below"):
        include = [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": [way, 0]}]
        yield {"tag": "position", "include": include}
        yield {"tag": "position", "include": [dict(include[0], count=2), dict(include[1], count=2)]}
        yield {"tag": "position", "include": [dict(include[0], color="red"), dict(include[1], color="blue")]}
    two = [{"class": "dog", "count": 1, "color": "red"}, {"class": "cat", "count": 1, "color": "blue"}]
    yield {"tag": "color_attr", "include": two}
    yield {"tag": "color_attr", "include": [two[0], dict(two[0], color="blue")]}  # one class in two colours


def constructed(rng, n):
    """Objects on a coarse grid, so that offsets of nothing, of 45 degrees, and scores at the thresholds come up."""
    for _ in range(n):
        left, top, width, height = rng.integers(0, 8, 4) * [10, 10, 5, 5] + [0, 0, 5, 5]
        score = rng.choice([0.2, 0.3, 0.30001, 0.5, 0.85, 0.9, 0.90001, 0.95, 0.99]) + rng.integers(0, 10**6) * 1e-12
        score = score if rng.random() < 0.7 else rng.choice([0.3, 0.9])
        name = rng.choice(["dog", "cat", "chair"], p=[0.5, 0.4, 0.1])
        yield name, score, left, top, left + width, top + height, rng.choice(["red", "blue"])


def as_detections(objects):
    found = {}
    for name, score, *box, colour in objects:
        found.setdefault(name, []).append(Detection(tuple(map(float, box)), float(score), {colour: 1.0}))
    return found


def judged(objects, meta):
    return verdict(rules.kept(as_detections(objects), threshold(meta)), meta)


def distinct(objects, bar):
    """Equal scores of one class are in no order that the protocol promises."""
    there = [(one[0], one[1]) for one in objects if one[1] > bar]
    return len(set(there)) == len(there)


def test_the_rules_are_the_protocol_on_thousands_of_constructed_detections():
    rng, tags, faults, asked = np.random.default_rng(0), Counter(), Counter(), 0
    for meta in records():
        for n in (0, 1, 2, 2, 3, 4, 6, 30) * 15:
            objects = list(constructed(rng, n))
            if not distinct(objects, threshold(meta)):
                continue
            wrong, (right, reason) = protocol(objects, meta), judged(objects, meta)
            assert right == (not wrong), (meta, objects, wrong, reason)
            assert len(reason.splitlines()) == len(wrong)
            asked += 1
            tags[meta["tag"], right] += 1
            faults.update(wrong)
    assert asked > 1500
    assert {tag for tag, _ in tags} == PROMPTS.keys()
    assert min(tags.values()) >= 5 and len(tags) == 12, tags  # each tag comes out right and wrong
    assert min(faults[why] for why in ("count", "color", "position", "target", "exclude")) >= 20, faults


def one(name="dog", score=0.95, left=0.0, top=0.0, side=10.0, colour="red"):
    return name, score, left, top, left + side, top + side, colour


DOG, COUNT_2 = next(records()), [*records()][3]
PLACED = {"tag": "position", "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1}]}


def placed(way, *objects):
    PLACED["include"][1]["position"] = [way, 0]
    return judged(objects, PLACED)[0], not protocol(objects, PLACED)


@pytest.mark.parametrize(("score", "there"), [(0.3, False), (np.nextafter(0.3, 1), True)])
def test_the_threshold_is_strict(score, there):
    assert judged([one(score=score)], DOG)[0] is there is not protocol([one(score=score)], DOG)


@pytest.mark.parametrize(("score", "right"), [(0.9, True), (np.nextafter(0.9, 1), False)])
def test_counting_asks_for_more_and_its_exclude_too(score, right):
    """A third dog at .9 is none, so that two are two; without the tag it would be one too many."""
    three = [one(score=0.95), one(score=0.96), one(score=score)]
    assert judged(three, COUNT_2)[0] is right is not protocol(three, COUNT_2)
    assert not judged(three, COUNT_2 | {"tag": "two_object"})[0]


def test_at_most_sixteen_of_a_class_and_overlap_is_no_fault():
    many = [one(score=0.91 + i / 1000) for i in range(20)]  # all in one place: nothing is suppressed
    sixteen = {
        "tag": "counting",
        "include": [{"class": "dog", "count": 16}],
        "exclude": [{"class": "dog", "count": 17}],
    }
    assert judged(many, sixteen)[0] and not protocol(many, sixteen)
    assert not judged(many[:15], sixteen)[0]


def test_a_second_dog_of_the_right_colour_does_not_help():
    red = {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}]}
    assert not judged([one(score=0.99, colour="blue"), one(score=0.95)], red)[0]
    assert judged([one(score=0.99), one(score=0.95, colour="blue")], red)[0]


@pytest.mark.parametrize(
    ("across", "down", "ways"),
    [
        (30, 30, {"right of", "below"}),  # 26 of 42.4 along each axis: at 45 degrees two hold
        (-30, -30, {"left of", "above"}),
        (8, 0, set()),  # 4 of 8 are left: exactly a half is none
        (8.01, 0, {"right of"}),
        (0, -20, {"above"}),
        (4, 4, set()),  # nothing is left of it
        (0, 0, set()),
    ],
)
def test_positions_at_their_edges(across, down, ways):
    cat = one("cat", left=100, top=100, side=20)
    for way in ("left of", "right of", "above", "below"):
        assert placed(way, cat, one(left=100 + across, top=100 + down, side=20)) == (way in ways, way in ways)


def test_a_target_of_the_wrong_colour_is_no_target_and_a_failed_colour_hides_the_position():
    meta = next(m for m in records() if m["tag"] == "position" and "color" in m["include"][0])  # red cat, blue dog
    cat, dog = one("cat", left=100), one(left=0, colour="blue")
    assert judged([cat, dog], meta) == (True, "")
    assert "no target" in judged([(*cat[:-1], "blue"), dog], meta)[1]
    said = judged([cat, one(left=300)], meta)[1]  # wrong in both
    assert "in blue" in said and "left of" not in said


# -- the detector ----------------------------------------------------------------------------------------------------
