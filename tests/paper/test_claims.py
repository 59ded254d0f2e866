"""The paper's tables over a store of made-up scores: every number a second time, by scipy and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from tests.make import job, kept
from zz.analysis.paper import table
from zz.analysis.paper.claims import judged, order
from zz.analysis.paper.headline import saved
from zz.analysis.paper.latents import correlation
from zz.analysis.paper.printed import printed
from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.analysis.paper.values import value
from zz.data.base import Prompt, PromptList
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.lab.results import Results
from zz.lab.scoring.names import identity, score_name
from zz.lab.store.manifest import Manifest
from zz.lab.store.store import Store
from zz.lab.view import CONTRADICTED, HOLDS, NO_STAND_IN, NOT_RUN, REPRODUCED, UNDECIDED, WITHIN
from zz.scorers.mixture.log_odds import LogOdds
from zz.scorers.shapes.scorers import ShapesCorrect

STAND_INS = {"words": {}, "model": {}, "dataset": {}, "scorers": {"hps_v21": "log_odds", "geneval": "shapes_correct"}}
N = 40
TAGS = ("counting", "colors", "position", "counting")
PROMPTS = PromptList("inline", tuple(Prompt("a red circle", {"tag": TAGS[i % 4]}, i) for i in range(N)))
SOFT, RIGHT = LogOdds(), replace(ShapesCorrect())


def results_of(path, rows, scale="mini"):
    """A store of rows: label -> (sampler, soft scores, right or wrong), with pictures."""
    store, jobs = Store(path), {}
    for label, (sampler, soft, right) in rows.items():
        one = job(PROMPTS, sampler=sampler, steps=4)
        jobs[label] = one
        for picture in one.pictures:
            store.put_image(one.cell, picture.name, Image.new("RGB", (32, 32)), "", picture.seed)
        for scorer, values in ((SOFT, soft), (RIGHT, right)):
            named = {score_name(scorer, p): float(values[p.entry]) for p in one.pictures}
            store.put_scores(one.cell, identity(scorer), {}, named)
    found = kept(store, *jobs.values(), scorers=(SOFT, RIGHT))
    by_id = {one.id: label for label, one in jobs.items()}
    labelled = tuple(replace(row, labels=(by_id[row.id],)) for row in found.rows)
    return Results(store, Manifest("table_99", labelled, None, None, scale))


@pytest.fixture
def results(store_path):
    rng = np.random.default_rng(0)
    base = rng.normal(size=N)
    wrong = (rng.random(N) < 0.4).astype(float)
    better = np.maximum(wrong, (rng.random(N) < 0.6).astype(float))
    rows = {
        "Standard": (Standard(2.0), base, wrong),
        "Z-Sampling": (Zigzag(2.0, 0.0), base + 0.5 + 0.3 * rng.normal(size=N), better),
        "Other": (Standard(3.0), base + 0.02 * rng.normal(size=N), wrong),
    }
    return results_of(store_path, rows)


SPEC = Spec(
    title="Table 99",
    claim="made up",
    rows=(Line("Standard", ""), Line("Z-Sampling", ""), Line("Other", ""), Line("Missing", "")),
    columns=(Column("HPS v2", "hps_v21"), Column("Overall", "geneval", quantity="overall")),
    claims=(Claim("Z-Sampling", "Standard"), Claim("Standard", "Z-Sampling"), Claim("Missing", "Standard")),
)


def arrays(results, label, name):
    found = results.scores(results.manifest.labelled(label), name)
    return np.array([found[e] for e in sorted(found)])


def test_a_paired_difference_is_scipys(results):
    ours, theirs = (results.manifest.labelled(label) for label in ("Z-Sampling", "Standard"))
    found = order(results, "c", ours, theirs, SPEC.columns[0], "log_odds", "HPS v2", "Standard")
    a, b = (arrays(results, label, "log_odds") for label in ("Z-Sampling", "Standard"))
    test = stats.ttest_rel(a, b)
    span = test.confidence_interval()
    assert found.difference == pytest.approx(((a - b).mean(), span.low, span.high))
    assert found.p == pytest.approx(test.pvalue)
    assert found.rate.value == pytest.approx(((a > b).sum() + 0.5 * (a == b).sum()) / N)
    se = (a - b).std(ddof=1) / math.sqrt(N)
    assert found.smallest == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * se, rel=1e-3)


def test_right_and_wrong_are_tested_as_mcnemar_does(results):
    ours, theirs = (results.manifest.labelled(label) for label in ("Z-Sampling", "Standard"))
    column = Column("Right", "geneval", times=100)
    found = order(results, "c", ours, theirs, column, "shapes_correct", "Right", "Standard")
    a, b = (arrays(results, label, "shapes_correct") for label in ("Z-Sampling", "Standard"))
    won, lost = int((a > b).sum()), int((a < b).sum())
    assert found.p == pytest.approx(stats.chi2.sf((won - lost) ** 2 / (won + lost), 1))
    assert found.difference.value == pytest.approx(100 * (a - b).mean())


def test_overall_is_the_mean_of_the_tags(results):
    row = results.manifest.labelled("Z-Sampling")
    x, tags = arrays(results, "Z-Sampling", "shapes_correct"), np.array([TAGS[i % 4] for i in range(N)])
    by_hand = np.mean([x[tags == tag].mean() for tag in set(TAGS)])
    found = value(results, row, SPEC.columns[1], "shapes_correct")
    assert found.value.value == pytest.approx(by_hand) and found.n == N
    assert by_hand != pytest.approx(x.mean()), "half of the prompts are of one tag"


def test_of_two_prompts_nothing_is_certain(store_path):
    rows = {
        "Z-Sampling": (Zigzag(2.0, 0.0), np.full(N, 1.5), np.ones(N)),
        "Standard": (Standard(2.0), np.zeros(N), np.zeros(N)),
    }
    found = results_of(store_path, rows)
    ours, theirs = (found.manifest.labelled(label) for label in rows)
    soft = order(found, "c", ours, theirs, SPEC.columns[0], "log_odds", "h", "a")
    assert soft.p == 1 and math.isinf(soft.difference.high), "no spread says nothing of other prompts"
    right = order(found, "c", ours, theirs, Column("R", "geneval"), "shapes_correct", "h", "a")
    assert 0 < right.p < 1e-6 and right.difference.low < right.difference.value


def test_the_status_of_a_claim_is_corrected_for_all_of_the_table(results):
    view = table.view(results, SPEC, STAND_INS)
    status = {one.claim: one.status for one in view.verdicts}
    assert status["Z-Sampling > Standard"] == HOLDS and status["Standard > Z-Sampling"] == CONTRADICTED
    assert status["Missing > Standard"] == NO_STAND_IN
    orders = [
        order(
            results,
            "c",
            results.manifest.labelled("Other"),
            results.manifest.labelled("Standard"),
            SPEC.columns[0],
            "log_odds",
            "h",
            "a",
        )
    ]
    (one,) = judged(orders)
    assert one.status == UNDECIDED or one.p < 0.05
    many = judged(orders * 10)
    assert many[0].p == pytest.approx(min(1.0, 10 * one.p))


def test_rows_say_what_they_are_of(results):
    (values, *_) = table.view(results, SPEC, STAND_INS).tables
    by_label = {line[0]: line for line in values.lines}
    assert by_label["Z-Sampling"][1] == N and by_label["Missing"][1] == NO_STAND_IN
    assert values.columns[5:] == ("HPS v2: log_odds", "Overall: shapes_correct")
    results.manifest = replace(results.manifest, scale="paper")
    paper = table.view(results, SPEC, STAND_INS)
    assert {line[0]: line for line in paper.tables[0].lines}["Missing"][1] == NOT_RUN


def test_at_the_papers_scale_each_printed_number_has_a_status(results, monkeypatch):
    said = {("Standard", "Log"): "0.0", ("Z-Sampling", "Log"): "0.55", ("Other", "Log"): "900.1"}
    x = arrays(results, "Standard", "log_odds").mean()
    said["Standard", "Log"] = f"{x:.3f}"
    monkeypatch.setattr(table, "printed", lambda name: {key: table.Printed(text, "") for key, text in said.items()})
    results.manifest = replace(results.manifest, scale="paper")
    spec = replace(SPEC, columns=(Column("Log", "log_odds"),), claims=())
    *_, numbers = table.view(results, spec, STAND_INS).tables
    status = {line[0]: line[5] for line in numbers.lines}
    assert status["Standard"] == REPRODUCED and status["Other"] == "differs"
    assert status["Z-Sampling"] in (WITHIN, "differs") and "Missing" not in status


def test_printed_numbers_carry_their_rounding_and_erratum():
    one = printed("table_02")["Standard", "Colors"]
    assert (one.text, one.value, one.rounding) == ("86.71", 86.71, 0.005) and "81 of 94" in one.erratum
    assert printed("figure_07") == {}


def test_what_is_saved_by_hand():
    costs = {"Standard": np.array([10, 100]), "Z-Sampling": np.array([40, 80])}
    values = {"Standard": np.array([[0.0, 0.0], [1.0, 1.0]]), "Z-Sampling": np.array([[0.5, 0.5], [1.0, 1.5]])}
    assert saved(costs, values, [0, 1]) == pytest.approx(20)
    values["Z-Sampling"] -= 1
    assert math.isnan(saved(costs, values, [0, 1]))


def test_the_correlation_is_of_ranks_within_a_text():
    rng = np.random.default_rng(1)
    free = {(t, s): float(rng.normal()) + 10 * (t == "a") for t in "ab" for s in range(20)}
    guided = {key: x + 0.1 * float(rng.normal()) - 100 * (key[0] == "a") for key, x in free.items()}
    by_hand = np.mean(
        [stats.spearmanr([free[t, s] for s in range(20)], [guided[t, s] for s in range(20)]).statistic for t in "ab"]
    )
    found = correlation(free, guided)
    assert found.value == pytest.approx(by_hand) and found.low > 0.8
    few = correlation({k: v for k, v in free.items() if k[1] < 3}, guided)
    assert (few.low, few.high) == (-1.0, 1.0)


def test_labels_have_the_values_of_their_scale(results):
    spec = replace(SPEC, small={"Z-Sampling": "Z, gamma2 = 6", "Z": "?"})
    shown = table.view(results, spec, STAND_INS)
    assert "Z, gamma2 = 6" in [line[0] for line in shown.tables[0].lines]
    assert shown.verdicts[0].claim == "Z, gamma2 = 6 > Standard"
    results.manifest = replace(results.manifest, scale="paper")
    assert table.view(results, spec, STAND_INS).verdicts[0].claim == "Z-Sampling > Standard"
