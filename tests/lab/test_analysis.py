"""Studies read a manifest: who is compared with whom, and that the numbers are those of the store by hand."""

import csv
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from tests.make import job, kept
from zz.analysis import measures, pairs
from zz.analysis.cells import cells
from zz.analysis.decompose import decompositions, parts, trios
from zz.analysis.pages import comparison, gap, methods
from zz.analysis.plots.pareto import front
from zz.analysis.render.frame import csv as as_csv
from zz.analysis.render.frame import frame
from zz.analysis.render.markdown import percent, plus_minus, points, signed
from zz.data.base import PromptList
from zz.data.shapes_prompts import Shapes
from zz.diffusion.guidance.interval import GuidanceInterval
from zz.diffusion.samplers.free_init import FreeInit
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.base import ModelSchedule
from zz.diffusion.schedules.uniform import UniformInTime
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.diffusion.solvers.euler_ancestral import EulerAncestral, EulerAncestralStored
from zz.lab.results import Results
from zz.lab.scoring.names import identity, score_name
from zz.lab.stats import Interval, mean
from zz.lab.store.store import Store
from zz.models.mixture import Mixture
from zz.scorers.base import Features
from zz.scorers.clip import ClipSimilarity
from zz.scorers.diversity import Diversity
from zz.scorers.frechet import Moments, frechet, moments
from zz.scorers.shapes.scorers import Cleanliness, ShapesAlignment, ShapesCorrect
from zz.scorers.shapes.truth import ShapesFrechet

N = 8  # prompts


@dataclass(frozen=True)
class Colours(Features):
    """A picture's mean colour, in place of a CLIP."""

    pretrained: str = ""
    name: str = "shapes_clip"
    version: ClassVar[int] = 1

    def settings(self):
        return {}

    @contextmanager
    def open(self, device="cpu"):
        yield lambda images: np.array([np.asarray(image, float).mean((0, 1)) / 255 for image in images])


@dataclass(frozen=True)
class Everything(Mixture):
    """The exact model, which takes any prompt."""

    def check(self, size, prompts, precision):
        pass


SCORERS = (
    ShapesCorrect(name="shapes_correct"),
    ShapesCorrect(strict=True, name="shapes_strict"),
    ShapesAlignment(),
    ClipSimilarity("zz:shapes_clip", name="shapes_similarity"),
    Cleanliness(),
)
METRICS = (*SCORERS, ShapesFrechet(Colours(), truth=12), Diversity(Colours(), name="shapes_diversity"))
LIST = PromptList("shapes", Shapes().listed().entries[:N])

RIGHT = {  # what is right of each
    "standard 4": ([1, 0, 0, 0, 0, 0, 1, 0], {"sampler": Standard(4.0)}),
    "standard 2": ([0, 0, 0, 0, 0, 0, 1, 0], {"sampler": Standard(2.0)}),
    "zigzag": ([1, 1, 1, 0, 1, 1, 0, 0], {"sampler": Zigzag(4.0, 0.0)}),  # 17 evaluations
    "ref_0_22": ([1, 1, 0, 0, 1, 1, 0, 0], {"sampler": Zigzag(4.0, 0.0, inversion="ref_0_22")}),
    "matched": ([1, 1, 0, 0, 0, 0, 0, 0], {"sampler": GuidanceMatched(4.0, 0.0)}),
    "no gap": ([0, 1, 0, 0, 0, 0, 1, 0], {"sampler": Zigzag(4.0, 4.0)}),  # 20 evaluations
    "alone": ([0, 1, 0, 0, 0, 0, 1, 0], {"sampler": Zigzag(4.0, 0.0, 2)}),  # its control is not there
    "7 steps": ([1] * N, {"sampler": Standard(4.0), "steps": 7}),  # 14 evaluations: too few
    "10 steps": ([1, 0, 1, 0, 0, 1, 0, 0], {"sampler": Standard(4.0), "steps": 10}),
    "10 steps at 2": ([1, 0, 1, 0, 0, 1, 0, 1], {"sampler": Standard(2.0), "steps": 10}),  # the better of the two
    "20 steps": ([1] * N, {"sampler": Standard(4.0), "steps": 20}),  # dearer than need be
    "9 steps at 3": ([1] * N, {"sampler": Standard(3.0), "steps": 9}),  # 18: not at gamma1 = 4 or 2
    "interval": ([0, 0, 1, 0, 0, 0, 0, 0], {"sampler": Standard(4.0), "guidance": GuidanceInterval()}),
    "zigzag + interval": ([1, 0, 1, 0, 0, 0, 0, 0], {"sampler": Zigzag(4.0, 0.0), "guidance": GuidanceInterval()}),
    "ancestral": ([0, 0, 1, 0, 0, 0, 0, 1], {"sampler": Standard(4.0), "solver": EulerAncestral()}),
    "stored": ([1, 0, 1, 0, 0, 0, 0, 0], {"sampler": Zigzag(4.0, 0.0), "solver": EulerAncestralStored()}),
    "free": ([1, 0, 1, 0, 0, 1, 0, 0], {"sampler": FreeInit(Standard(4.0))}),
    "free zigzag": ([1, 0, 1, 0, 0, 0, 0, 0], {"sampler": FreeInit(Zigzag(4.0, 0.0))}),
    "half made": ([1, 1, 1], {"sampler": Zigzag(3.0, 0.0)}),
}


def make(**fields):
    return job(LIST, **({"steps": 4, "model": Everything()} | fields))


def put(store, one, correct):
    """Pictures of which `correct` says what is right; soft scores are one half of that, less a hundredth a prompt."""
    pictures = one.pictures[: len(correct)]
    for picture, right in zip(pictures, correct, strict=True):
        image = Image.new("RGB", (32, 32), (30 * picture.entry, 200 * right, 5 * one.recipe.steps))
        store.put_image(one.cell, picture.name, image, picture.prompt.text, picture.seed)
    for scorer in SCORERS:
        exact = scorer.name in ("shapes_correct", "shapes_strict")
        found = [float(right) if exact else right / 2 - i / 100 for i, right in enumerate(correct)]
        scores = {score_name(scorer, picture): value for picture, value in zip(pictures, found, strict=True)}
        store.put_scores(one.cell, identity(scorer), {}, scores)
    with Colours().open() as extract:
        rows = extract([store.image(one.cell, picture.name) for picture in pictures])
    features = {picture.name: row for picture, row in zip(pictures, rows, strict=True)}
    store.put_features(one.cell, identity(Colours()), features)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The results of all, and name -> cell key."""
    store = Store(tmp_path_factory.mktemp("methods") / "store")
    jobs = {name: make(**fields) for name, (_, fields) in RIGHT.items()}
    for name, one in jobs.items():
        put(store, one, RIGHT[name][0])
    return Results(store, kept(store, *jobs.values(), scorers=METRICS)), {n: one.cell.key for n, one in jobs.items()}


def write(results, out):
    """What the page writes: the lines of the table, and the text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "ClipFeatures", Colours)
        patch.setattr(measures, "ShapesFrechet", partial(ShapesFrechet, truth=12))
        text = methods.page(results, out)
    for picture in (out.with_suffix(".png"), out.with_name(f"{out.stem}_made_of.png")):
        with Image.open(picture) as image:
            assert min(image.size) > 100
    with out.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file)), text


@pytest.fixture(scope="module")
def written(filled, tmp_path_factory):
    """By name: the lines of the table; and the text."""
    results, keys = filled
    rows, text = write(results, tmp_path_factory.mktemp("out") / "methods")
    names = {key: name for name, key in keys.items()}
    return {names[row["key"]]: row for row in rows}, text


def test_cells_are_called_by_what_they_differ_in(filled):
    results, keys = filled
    names = {cell.row.cell: cell.name for cell in cells(results)}
    assert {name: names[key] for name, key in keys.items()} == {
        **dict.fromkeys(("standard 4", "standard 2", "7 steps", "10 steps", "10 steps at 2"), "standard"),
        **dict.fromkeys(("20 steps", "9 steps at 3"), "standard"),
        **dict.fromkeys(("zigzag", "no gap", "half made"), "zigzag"),
        "alone": "zigzag lambda=2",
        "ref_0_22": "zigzag inversion=ref_0_22",
        "matched": "guidance-matched",
        "interval": "standard + interval",
        "zigzag + interval": "zigzag + interval",
        "ancestral": "standard, Euler ancestral",
        "stored": "zigzag, Euler ancestral (stored)",
        "free": "FreeInit (standard)",
        "free zigzag": "FreeInit (zigzag)",
    }
    one = {cell.row.cell: cell for cell in cells(results)}
    assert (one[keys["free zigzag"]].gamma1, one[keys["free zigzag"]].gamma2) == (4.0, 0.0)
    assert one[keys["standard 2"]].gamma2 is None and one[keys["stored"]].solver == "EulerAncestral"
    assert {name for name, key in keys.items() if not one[key].by_default} >= {"no gap", "alone", "ref_0_22"}
    order = [(cell.steps, cell.name, cell.gamma1) for cell in cells(results)]
    assert order == sorted(order)


def test_controls_stretched_over_another_range_are_no_standard(filled, tmp_path):
    store = Store(tmp_path)
    stretched = make(sampler=Standard(4.0), steps=9, schedule=UniformInTime(ModelSchedule(), 4))
    other = make(sampler=Standard(4.0), solver=DPMpp2M())
    found = cells(Results(store, kept(store, stretched, other)))
    assert [(cell.kind, cell.name) for cell in found] == [
        ("Standard", "standard, DPM-Solver++(2M)"),
        ("compute", "standard, 9 steps"),
    ]


def test_standard_for_the_work_is_the_cheapest_that_is_dear_enough(filled, written):
    rows, keys = written[0], filled[1]
    assert (rows["zigzag"]["evals"], rows["no gap"]["evals"]) == ("17", "20")
    for name in ("zigzag", "no gap"):
        assert rows[name]["as_costly_key"] == keys["10 steps at 2"] and rows[name]["as_costly_evals"] in ("20", "20.0")
    assert rows["matched"]["as_costly_key"] == keys["standard 4"]  # 8 evaluations are enough for 8
    assert rows["20 steps"]["as_costly_key"] == rows["standard 4"]["as_costly_key"] == ""  # itself


def test_each_solver_has_a_cheapest_of_its_own(filled):
    results, keys = filled
    found = cells(results)
    one = {cell.row.cell: cell for cell in found}
    costly = pairs.as_costly(one[keys["matched"]], found)
    assert {cell.row.cell for cell in costly} == {keys[n] for n in ("standard 4", "standard 2", "ancestral")}


def test_paired_numbers_by_hand(filled, written):
    zigzag, keys = written[0]["zigzag"], filled[1]
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


def test_measures_by_hand(filled, written):
    """By tag, and of the whole set: features are red by prompt, green by right, blue by steps."""
    row, results, key = written[0]["zigzag"], filled[0], filled[1]["zigzag"]
    tags = [p.meta["tag"] for p in LIST.entries]
    for tag in dict.fromkeys(tags):
        mine = [right for right, its in zip(RIGHT["zigzag"][0], tags, strict=True) if its == tag]
        assert float(row[tag]) == pytest.approx(sum(mine) / len(mine))
    (method,) = [cell for cell in cells(results) if cell.row.cell == key]
    rows = np.stack([results.features(method.row, identity(Colours()))[name] for name in make().names()])
    metric = ShapesFrechet(Colours(), truth=12)
    with Colours().open() as extract:
        wanted = metric.measure(rows, LIST.entries, metric.reference(extract))
    assert float(row["fd"]) == pytest.approx(wanted.value) and float(row["fd_low"]) == pytest.approx(wanted.low)
    assert row["diversity"] == "", "no prompt comes twice"


def test_zigzag_is_set_beside_what_it_is_put_on(filled, written):
    rows, keys = written[0], filled[1]
    found = {name: row["without_key"] for name, row in rows.items() if row["without_key"]}
    assert found == {
        "zigzag + interval": keys["interval"],
        "stored": keys["ancestral"],
        "free zigzag": keys["free"],
    }
    assert float(rows["zigzag + interval"]["without_shapes_correct_difference"]) == pytest.approx(1 / 8)


def test_what_is_lacking_is_said_and_left_out(written):
    rows, text = written
    assert rows.keys() == RIGHT.keys() - {"half made"}
    assert "- zigzag, T = 4, gamma1 = 3: 3 of 8 made and scored" in text
    assert f"On the first 8 prompts of `shapes`, 32; {len(rows)} cells" in text
    order = [(int(row["T"]), -float(row["accuracy"])) for row in rows.values()]
    assert order == sorted(order)


def test_what_is_there_on_all_prompts_is_told_apart(filled, tmp_path):
    """One row is asked for on the first three prompts only."""
    results, keys = filled
    rows = [replace(r, wanted=3) if r.cell == keys["half made"] else r for r in results.manifest.rows]
    lines, text = write(Results(results.store, replace(results.manifest, rows=tuple(rows))), tmp_path / "methods")
    by_n = {n: {row["key"]: row for row in lines if row["n"] == str(n)} for n in (3, 5, N)}
    assert "## On all 8 prompts" in text and "### On the other 5" in text
    assert keys["half made"] in by_n[3].keys() - by_n[N].keys() and by_n[N].keys() == by_n[5].keys()
    accuracy = {n: float(by_n[n][keys["zigzag"]]["accuracy"]) for n in by_n}
    assert accuracy == {3: 1.0, 5: 2 / 5, N: 5 / 8}


def test_a_store_without_standard_sampling_is_said(filled, tmp_path):
    results, keys = filled
    rows = tuple(row for row in results.manifest.rows if row.cell == keys["zigzag"])
    with pytest.raises(ValueError, match="holds no standard sampling with every score; run the experiment first"):
        write(Results(results.store, replace(results.manifest, rows=rows)), tmp_path / "methods")
    assert not list(tmp_path.iterdir())


def test_each_zigzag_meets_its_own_control(filled):
    results, keys = filled
    found = {z.row.cell: (control.row.cell, plain.row.cell) for z, control, plain in trios(cells(results))}
    assert found == {
        keys["zigzag"]: (keys["matched"], keys["standard 4"]),
        keys["ref_0_22"]: (keys["matched"], keys["standard 4"]),
        keys["no gap"]: (keys["standard 4"], keys["standard 4"]),
    }


def test_the_parts_of_a_gain_by_hand(filled):
    results, keys = filled
    found = {one.cell.row.cell: one for one in decompositions(cells(results), results, N)}
    assert found.keys() == {keys[name] for name in ("zigzag", "ref_0_22", "no gap")}
    x = found[keys["zigzag"]].parts["shapes_correct"]
    n = found[keys["zigzag"]].n
    assert (n, x.gain.value, x.guidance.value, x.rest.value) == (N, 3 / 8, 0, 3 / 8)
    assert x.proportion is None  # [-.24, .99] has zero in it
    assert decompositions(cells(results), results, N + 1) == []


def test_the_proportion_is_the_ratio_of_the_means_and_only_where_there_is_a_gain():
    standard = np.zeros(40)
    zigzag, matched = standard + 1 + np.arange(40) / 100, standard + 0.25
    x = parts(zigzag, matched, standard)
    assert x.proportion.value == pytest.approx(0.25 / zigzag.mean())
    assert x.proportion.low < x.proportion.value < x.proportion.high
    assert x.gain.value == pytest.approx(x.guidance.value + x.rest.value)
    assert x.p < 1e-6
    noise = np.tile([1.0, -1.0], 20)
    assert parts(noise, matched, standard).proportion is None  # no gain
    assert parts(zigzag, standard, standard).proportion is None  # the control is standard sampling
    assert parts(-zigzag, matched, standard).proportion.value < 0  # a loss, and a control that gains


def test_the_front_is_what_nothing_cheaper_beats():
    def point(evals, correct):
        return SimpleNamespace(row=SimpleNamespace(evals=evals)), SimpleNamespace(correct=mean([correct]))

    points = [point(*one) for one in ((20, 0.5), (8, 0.4), (8, 0.3), (10, 0.4), (40, 0.45), (30, 0.6))]
    assert [(cell.row.evals, m.correct.value) for cell, m in front(points)] == [(8, 0.4), (20, 0.5), (30, 0.6)]
    assert front([]) == []


def test_the_page_of_the_comparison_says_what_it_leaves_out(tmp_path, monkeypatch):
    """A row that is half made, and one without standard sampling beside it."""
    monkeypatch.setattr(measures, "ClipFeatures", Colours)
    monkeypatch.setattr(measures, "ShapesFrechet", partial(ShapesFrechet, truth=12))
    store, whole = Store(tmp_path / "store"), make(sampler=Standard(4.0))
    half, alone = make(sampler=Zigzag(4.0, 0.0)), make(sampler=Zigzag(3.0, 0.0))
    put(store, whole, [1, 0] * 4)
    put(store, half, [1, 1, 1])
    put(store, alone, [1] * N)
    text = comparison.page(Results(store, kept(store, whole, half, alone, scorers=METRICS)), tmp_path / "page")
    assert "| standard | 4 | 8 | 50 [" in text and "| zigzag |" not in text
    assert "- shapes, 8 prompts, T = 4, gamma1 = 4, zigzag: 3 of 8 made and scored" in text
    assert "- zigzag, T = 4, gamma1 = 3: no standard sampling like it" in text


def test_seeds_of_a_prompt_are_one_unit_on_a_page(tmp_path, monkeypatch):
    """Two pictures of each of eight prompts: the second like the first, so that nothing is surer."""
    monkeypatch.setattr(measures, "ClipFeatures", Colours)
    monkeypatch.setattr(measures, "ShapesFrechet", partial(ShapesFrechet, truth=12))
    right, found = {"ours": [1, 1, 1, 0, 1, 1, 0, 0], "theirs": [0, 1, 0, 0, 1, 0, 1, 0]}, []
    for repeats in (1, 2):
        store, listed = Store(tmp_path / str(repeats)), replace(LIST, repeats=repeats)
        jobs = {"ours": job(listed, steps=4, model=Everything(), sampler=Zigzag(4.0, 0.0))}
        jobs["theirs"] = job(listed, steps=4, model=Everything(), sampler=Standard(4.0))
        for name, one in jobs.items():
            put(store, one, right[name] * repeats)
        results = Results(store, kept(store, *jobs.values(), scorers=METRICS))
        cell = {one.kind: one for one in cells(results)}
        measurer = measures.Measurer(results)
        compared = measurer.compare(cell["Zigzag"], cell["Standard"], range(N))["shapes_correct"]
        x = measurer.measure(cell["Zigzag"], range(N))
        found.append((compared.n, *compared.rate, compared.p, *x.correct, *x.strict))
    assert found[0] == pytest.approx(found[1])


def test_the_frechet_distance_leaves_out_all_pictures_of_a_prompt_at_once():
    metric, rows = ShapesFrechet(Colours(), truth=12), np.random.default_rng(0).normal(size=(2 * N, 3))
    with Colours().open() as extract:
        truth = metric.reference(extract)
    found = metric.measure(rows, [picture.prompt for picture in replace(LIST, repeats=2).pictures()], truth)
    left_out = [np.delete(rows, [i, i + N], 0) for i in range(N)]
    d = np.array([frechet(moments(some), Moments(truth["mean"], truth["covariance"])) for some in left_out])
    half = 2.364624 * np.sqrt((N - 1) / N * ((d - d.mean()) ** 2).sum())
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=1e-5)
    assert metric.measure(rows[:3], [LIST.entries[0]] * 3, truth)[1:] == (-np.inf, np.inf), "one prompt has no spread"
    assert metric.measure(rows[:3], [*LIST.entries[:1] * 2, LIST.entries[1]], truth)[1:] == (-np.inf, np.inf)


def test_markdown_has_no_nan_and_no_infinity():
    of_one, none = mean([0.5]), mean([])
    assert (percent(of_one), points(of_one), signed(of_one, 2), plus_minus(of_one, 2)) == (
        "50",
        "+50.0",
        "+0.50",
        "0.50",
    )
    assert {show(none) for show in (percent, points)} == {"-"} == {signed(none, 1), plus_minus(none, 1)}
    assert percent(Interval(0.5, 0.25, 0.75)) == "50 [25, 75]" and plus_minus(Interval(1, 0, 2), 1) == "1.0 ± 1.0"


def test_the_page_of_the_gap_and_a_frame_say_what_is_of_fewer_prompts(tmp_path):
    store, asked = Store(tmp_path / "store"), make(sampler=Zigzag(4.0, 0.0))
    plain = asked.controls()["standard"]
    put(store, asked, [1] * N)
    put(store, plain, [0] * (N - 1))
    control_of = {plain.id: (asked.id, "standard")}
    results = Results(store, kept(store, asked, plain, scorers=SCORERS[:1], control_of=control_of))
    text = gap.page(results, tmp_path / "gap")
    assert (
        f"## Of fewer prompts than were asked for\n\n- shapes_correct of {results.manifest.rows[1].title}: 7 of 8"
        in text
    )
    lines = list(csv.DictReader(as_csv(frame(results)).splitlines()))
    assert [line["shapes_correct prompts"] for line in lines] == ["8", "7"]
    alone = Results(store, kept(store, asked, scorers=SCORERS[:1]))
    assert "shapes_correct prompts" not in frame(alone)
    with pytest.raises(ValueError, match="or one without standard sampling; run the experiment first"):
        gap.page(alone, tmp_path / "gap")
