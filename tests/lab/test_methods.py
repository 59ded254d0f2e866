"""Methods beside standard sampling: who is compared with whom, and that the numbers are those of the store by hand."""

import csv
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

import analysis.judge
import analysis.methods
from analysis.ingredients import ingredients, parts, trios
from analysis.judge import scorers
from analysis.pareto import spread_out
from analysis.ways import ways
from tests.store.test_cell import job
from zz.data.shapes_prompts import Shapes
from zz.diffusion.guidance import Interval
from zz.diffusion.samplers import FreeInit, GuidanceMatched, Standard, Zigzag
from zz.diffusion.solvers import DDIM, EulerAncestral, EulerAncestralStored
from zz.diffusion.spacing import Own, Uniform
from zz.lab.scoring import identity
from zz.lab.store import Store

CLIP = "zz:shapes_clip"
N = 8  # prompts
PROMPTS = tuple(prompt.text for prompt in Shapes().prompts[:N])
SCORERS = tuple(identity(scorer) for scorer in scorers(CLIP))


def put(store, correct, sampler, steps=4, **fields):
    """A cell of which `correct` says what is right; its soft scores are one half of that, less a hundredth a prompt."""
    one = job(sampler=sampler, steps=steps, dataset="shapes", digest=Shapes().digest, **fields)
    store.begin(one.cell, 553, 4, {"predictions": one.cost.predictions, "rows": one.cost.rows})
    for i, right in enumerate(correct):
        store.put_image(one.cell, i, Image.new("RGB", (32, 32), (30 * i, 200 * right, 5 * steps)), PROMPTS[i], i)
    for scorer in SCORERS:
        exact = scorer.startswith(("shapes_correct", "shapes_strict"))
        found = {i: float(right) if exact else right / 2 - i / 100 for i, right in enumerate(correct)}
        store.put_scores(one.cell, scorer, {}, found)
    return one.cell.key


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("methods") / "store")
    keys = {
        "standard 4": put(store, [1, 0, 0, 0, 0, 0, 1, 0], Standard(4.0)),
        "standard 2": put(store, [0, 0, 0, 0, 0, 0, 1, 0], Standard(2.0)),
        "zigzag": put(store, [1, 1, 1, 0, 1, 1, 0, 0], Zigzag(4.0, 0.0)),  # 17 rows
        "ref_0_22": put(store, [1, 1, 0, 0, 1, 1, 0, 0], Zigzag(4.0, 0.0, inversion="ref_0_22")),
        "matched": put(store, [1, 1, 0, 0, 0, 0, 0, 0], GuidanceMatched(4.0, 0.0)),
        "no gap": put(store, [0, 1, 0, 0, 0, 0, 1, 0], Zigzag(4.0, 4.0)),  # 20 rows
        "alone": put(store, [0, 1, 0, 0, 0, 0, 1, 0], Zigzag(4.0, 0.0, 2)),  # its control is not there
        "7 steps": put(store, [1, 1, 1, 1, 1, 1, 1, 1], Standard(4.0), 7),  # 14 rows: too few
        "10 steps": put(store, [1, 0, 1, 0, 0, 1, 0, 0], Standard(4.0), 10),
        "10 steps at 2": put(store, [1, 0, 1, 0, 0, 1, 0, 1], Standard(2.0), 10),  # the better of the two
        "20 steps": put(store, [1, 1, 1, 1, 1, 1, 1, 1], Standard(4.0), 20),  # dearer than need be
        "9 steps at 3": put(store, [1, 1, 1, 1, 1, 1, 1, 1], Standard(3.0), 9),  # 18 rows: not at gamma1 = 4 or 2
        "stretched": put(store, [1, 1, 1, 1, 1, 1, 1, 1], Standard(4.0), 9, spacing=Uniform(Own(), 4)),
        "interval": put(store, [0, 0, 1, 0, 0, 0, 0, 0], Standard(4.0), guidance=Interval()),
        "zigzag + interval": put(store, [1, 0, 1, 0, 0, 0, 0, 0], Zigzag(4.0, 0.0), guidance=Interval()),
        "ancestral": put(store, [0, 0, 1, 0, 0, 0, 0, 1], Standard(4.0), solver=EulerAncestral()),
        "stored": put(store, [1, 0, 1, 0, 0, 0, 0, 0], Zigzag(4.0, 0.0), solver=EulerAncestralStored()),
        "free": put(store, [1, 0, 1, 0, 0, 1, 0, 0], FreeInit(Standard(4.0))),
        "free zigzag": put(store, [1, 0, 1, 0, 0, 0, 0, 0], FreeInit(Zigzag(4.0, 0.0))),
        "another size": put(store, [1] * N, Standard(4.0), size=(64, 64)),
        "half made": put(store, [1, 1, 1], Zigzag(3.0, 0.0), solver=DDIM()),
    }
    return store, keys


class Colours:
    """A picture's mean colour for its features."""

    def __init__(self, pretrained):
        pass

    @contextmanager
    def open(self):
        yield lambda images: np.array([np.asarray(image, float).mean((0, 1)) / 255 for image in images])


def write(store, out, limit, everyone):
    """What the command writes: the lines of the table, and the text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis.judge, "TRUTH", 12)
        patch.setattr(analysis.methods, "ClipFeatures", Colours)
        patch.setattr(analysis.methods, "ALL", everyone)
        patch.setattr(sys, "argv", ["methods", "--store", str(store.root), "--out", str(out), "--limit", str(limit)])
        assert analysis.methods.main() == 0
    for picture in (out.with_suffix(".png"), out.with_name("methods_made_of.png")):
        assert picture.stat().st_size > 0
    with out.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file)), out.with_suffix(".md").read_text()


@pytest.fixture(scope="module")
def written(filled, tmp_path_factory):
    store, keys = filled
    rows, text = write(store, tmp_path_factory.mktemp("out") / "methods", N, N)
    names = {key: name for name, key in keys.items()}
    return {names[row["key"]]: row for row in rows}, text, keys


def test_what_is_there_on_all_prompts_is_told_apart(filled, tmp_path):
    store, keys = filled
    rows, text = write(store, tmp_path / "methods", 3, N)
    first, everyone = ({row["key"]: row for row in rows if row["n"] == str(n)} for n in (3, N))
    assert "## On all 8 prompts" in text and keys["half made"] in first.keys() - everyone.keys()
    assert float(first[keys["zigzag"]]["accuracy"]) == 1 and float(everyone[keys["zigzag"]]["accuracy"]) == 5 / 8


def test_standard_for_the_work_is_the_cheapest_that_is_dear_enough(written):
    rows, _, keys = written
    assert (rows["zigzag"]["rows"], rows["no gap"]["rows"]) == ("17", "20")
    for name in ("zigzag", "no gap"):
        assert rows[name]["as_costly_key"] == keys["10 steps at 2"] and rows[name]["as_costly_rows"] == "20"
    assert rows["matched"]["as_costly_key"] == keys["standard 4"]  # 8 rows are enough for 8
    assert rows["20 steps"]["as_costly_key"] == rows["standard 4"]["as_costly_key"] == ""  # itself


def test_paired_numbers_by_hand(written):
    rows, _, keys = written
    zigzag = rows["zigzag"]
    assert float(zigzag["accuracy"]) == 5 / 8 and int(zigzag["n"]) == N
    assert zigzag["standard_key"] == keys["standard 4"]
    # it is right in 1 2 4 5 where standard is not, and wrong in 6
    assert float(zigzag["standard_shapes_correct_difference"]) == pytest.approx(3 / 8)
    assert float(zigzag["standard_shapes_alignment_difference"]) == pytest.approx(3 / 16)
    assert float(zigzag["standard_shapes_alignment_rate"]) == pytest.approx((4 + 3 / 2) / 8)
    d = np.array([0, 1, 1, 0, 1, 1, -1, 0])
    half = 2.364624 * d.std(ddof=1) / np.sqrt(8)
    assert float(zigzag["standard_shapes_correct_difference_high"]) == pytest.approx(3 / 8 + half, abs=1e-5)
    # against ten steps at 2, right in 0 2 5 7
    assert float(zigzag["as_costly_shapes_correct_difference"]) == pytest.approx(1 / 8)


def test_zigzag_is_set_beside_what_it_is_put_on(written):
    rows, _, keys = written
    found = {name: row["without_key"] for name, row in rows.items() if row["without_key"]}
    assert found == {
        "zigzag + interval": keys["interval"],
        "stored": keys["ancestral"],
        "free zigzag": keys["free"],
    }
    assert float(rows["zigzag + interval"]["without_shapes_correct_difference"]) == pytest.approx(1 / 8)


def test_what_is_lacking_is_said_and_strangers_stay_outside(written):
    rows, text, _ = written
    assert rows.keys().isdisjoint({"half made", "stretched", "another size"})
    assert "- zigzag, T = 4, gamma1 = 3: 3 of 8 pictures, 3 of them wholly scored" in text
    order = [(int(row["T"]), -float(row["accuracy"])) for row in rows.values()]
    assert order == sorted(order)


def test_each_zigzag_meets_its_own_control(filled):
    store, keys = filled
    found = {way.row.cell.key: (control, standard) for way, control, standard in trios(ways(store, Shapes().digest))}
    assert found.keys() == {keys[name] for name in ("zigzag", "ref_0_22", "no gap")}
    for name, control in (("zigzag", "matched"), ("ref_0_22", "matched"), ("no gap", "standard 4")):
        assert [way.row.cell.key for way in found[keys[name]]] == [keys[control], keys["standard 4"]]


def test_the_parts_of_a_gain_by_hand(filled):
    store, keys = filled
    found = ingredients(ways(store, Shapes().digest), lambda row, name: scores(store, row, name), N)
    (zigzag,) = [one for one in found if one.way.row.cell.key == keys["zigzag"]]
    x = zigzag.parts["shapes_correct"]
    assert (zigzag.n, x.gain.value, x.guidance.value, x.rest.value) == (N, 3 / 8, 0, 3 / 8)
    assert x.share is None  # [-.24, .99] has zero in it


def scores(store, row, name):
    (full,) = [scorer for scorer in SCORERS if scorer.startswith(f"{name}-")]
    return store.scores(row.cell, full)


def test_the_share_is_the_ratio_of_the_means_and_only_where_there_is_a_gain():
    standard = np.zeros(40)
    zigzag, matched = standard + 1 + np.arange(40) / 100, standard + 0.25
    x = parts(zigzag, matched, standard)
    assert x.share.value == pytest.approx(0.25 / zigzag.mean()) and x.share.low < x.share.value < x.share.high
    assert x.gain.value == pytest.approx(x.guidance.value + x.rest.value)
    assert x.p < 1e-6
    noise = np.tile([1.0, -1.0], 20)
    assert parts(noise, matched, standard).share is None  # no gain
    assert parts(zigzag, standard, standard).share is None  # the control is standard sampling
    assert parts(-zigzag, matched, standard).share.value < 0  # a loss, and a control that gains


def test_names_beside_a_panel_do_not_meet():
    places = spread_out([0.0, 0.0, 0.1, 5.0, 9.99, 10.0, 10.0], 0.0, 10.0)
    assert places[0] >= 0 and places[-1] <= 10 and np.diff(places).min() >= 0.5 - 1e-9
    assert places[3] == 5.0
    crowd = spread_out([7.0] * 50, 0.0, 10.0)
    assert crowd[0] >= -1e-9 and crowd[-1] <= 10 and np.diff(crowd).min() > 0.2
