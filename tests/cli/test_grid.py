"""`zz.table rows= columns=`: two fields of what a store holds against each other."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import zz.table
from tests.make import job, kept, said
from zz.data.base import PromptList
from zz.lab.grid import everything, grids
from zz.lab.results import Results
from zz.lab.scoring.names import identity, score_name
from zz.lab.stats import mean, winning
from zz.lab.store import manifest
from zz.lab.store.store import Store
from zz.scorers.mixture.atypicality import Atypicality
from zz.scorers.mixture.log_odds import LogOdds

TEXTS = [f"a {c} {s}" for c in ("red", "blue") for s in ("circle", "star", "square")]
TAGS = ["a", "a", "b", "b", "b", "c"]
LIST = PromptList("inline", tuple(replace(p, seed=i, meta={"tag": TAGS[i]}) for i, p in enumerate(said(TEXTS))))
SCORERS = (LogOdds(), Atypicality())


def value(n, entry, scorer):
    return float(np.sin(7 * n + 3 * entry)) + (scorer.name == "log_odds") * n


@pytest.fixture
def made(store_path):
    """gamma2 = 0, 1 at lambda = 2, 5, and their standard sampling."""
    from zz.diffusion.samplers.standard import Standard
    from zz.diffusion.samplers.zigzag import Zigzag

    store = Store(store_path)
    asked = [job(LIST, sampler=Zigzag(2.0, g, lambda_=n), steps=10) for n in (5, 2) for g in (1.0, 0.0)]
    standard = job(LIST, sampler=Standard(2.0), steps=10)
    for n, one in enumerate([*asked, standard]):
        store.begin(one.cell, {"model": "mixture"})
        for name in one.names():
            store.put_image(one.cell, name, Image.new("RGB", (2, 2)), "x", 0)
        for scorer in SCORERS:
            store.put_scores(
                one.cell, identity(scorer), {}, {score_name(scorer, p): value(n, p.entry, scorer) for p in one.pictures}
            )
    control_of = {standard.id: (asked[0].id, "standard")}
    found = kept(store, *asked, standard, scorers=SCORERS, control_of=control_of)
    rows = tuple(
        replace(row, controls=tuple((one.id, "standard") for one in asked)) if row.controls else row
        for row in found.rows
    )
    whole = replace(found, rows=rows)
    manifest.put(store, whole)
    return store, whole


def at(made, rows="lambda", columns="gamma2", score="log_odds", **more):
    store, _ = made
    return grids(Results(store, everything(store, pytest.fail)), rows, columns, score, **more)


def scores(n, only="abc"):
    return [value(n, e, SCORERS[0]) for e in range(6) if TAGS[e] in only]


def test_means_stand_where_they_belong_in_order(made):
    (grid,) = at(made)
    assert grid.row_values == [2, 5] and grid.column_values == [0, 1] and len(grid.places) == 4
    for n, (row, column) in enumerate(((5, 1), (5, 0), (2, 1), (2, 0))):
        assert grid.at(row, column).value == pytest.approx(mean(scores(n))) and grid.at(row, column).n == 6
    assert [title.split()[0] for title in grid.left_out] == ["Standard"] or not grid.left_out


def test_paired_with_a_control_or_with_a_cell(made):
    n = {(5, 1): 0, (5, 0): 1, (2, 1): 2, (2, 0): 3}
    expected = {k: winning(dict(enumerate(scores(i))), dict(enumerate(scores(4)))) for k, i in n.items()}
    standard = next(row for row in made[1].rows if row.role == "standard")
    for against in ("standard", standard.cell[:6]):
        (wins,) = at(made, against=against)
        (difference,) = at(made, against=against, shown="difference")
        for key, one in expected.items():
            assert wins.at(*key).value == pytest.approx(one.rate)
            assert difference.at(*key).value == pytest.approx(one.difference)


def test_by_category_is_a_grid_each(made):
    found = at(made, by="tag")
    assert [grid.of for grid in found] == ["tag=a", "tag=b", "tag=c"]
    assert found[1].at(2, 0).value == pytest.approx(mean(scores(3, "b"))) and found[1].at(2, 0).n == 3


def test_one_field_alone_and_what_is_not_asked_for(made):
    (grid,) = at(made, columns=None, where=["gamma2=1.0"])
    assert [grid.at(n, None).n for n in (2, 5)] == [6, 6]
    (grid,) = at(made, "sampler", "lambda", where=["gamma2=0"])
    assert grid.row_values == ["zigzag"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"rows": "lamda"}, "rows=lamda is no field of these cells; there are"),
        ({"score": "hps"}, "score=hps is of no row; there are log_odds, atypicality"),
        ({"score": None}, "score= is needed: one of log_odds, atypicality"),
        (
            {"columns": None},
            r"two rows have sampler.lambda=5 and differ in sampler.gamma2 \(1, 0\): choose, such as wh",
        ),
        ({"where": ["gamma2=7"]}, "where=gamma2=7: no row has it; there are 0, 1"),
        ({"where": ["gamma2"]}, "where=gamma2 must be FIELD=VALUE"),
        ({"dataset": "drawbench"}, "dataset=drawbench has no rows; there are inline"),
        ({"against": "zzzz"}, r"against=zzzz is neither a role \(standard\) nor the beginning of a cell's key"),
        ({"shown": "wins"}, "show=wins must be mean, or with against= wins or difference"),
        ({"by": "mood"}, "by=mood is in no prompt's meta; there are tag"),
        ({"score": "atypicality", "against": "standard", "shown": "wines"}, "show=wines must be"),
    ],
)
def test_what_cannot_be_shown_is_one_message(made, words, said):
    with pytest.raises(ValueError, match=said):
        at(made, **words)


def test_several_sets_ask_which(made):
    store, whole = made
    other = replace(whole.rows[0], id="0" * 16, dataset="drawbench")
    results = Results(store, replace(whole, rows=(*whole.rows, other)))
    with pytest.raises(ValueError, match="rows over inline, drawbench: say which, dataset=inline"):
        grids(results, "lambda", "gamma2", "log_odds")
    assert len(grids(results, "lambda", "gamma2", "log_odds", dataset="inline")[0].places) == 4


def test_every_format_has_the_same_numbers(made, cli, store_path, tmp_path):
    words = [f"store={store_path}", "rows=lambda", "columns=gamma2", "score=log_odds"]
    code, out, err = cli(*words, command=zz.table)
    assert code == 0 and "mean of log_odds: lambda down, gamma2 across" in out, err
    code, text, _ = cli(*words, "format=csv", command=zz.table)
    lines = list(csv.DictReader(io.StringIO(text)))
    found = {(line["lambda"], line["gamma2"]): float(line["value"]) for line in lines}
    (grid,) = at(made)
    assert found == pytest.approx({key: place.value.value for key, place in grid.places.items()})
    _, text, _ = cli(*words, "format=markdown", command=zz.table)
    assert text.startswith("mean of log_odds: lambda down, gamma2 across\n\n| lambda | gamma2=0 | gamma2=1 |\n")
    _, text, _ = cli(*words, "format=latex", "against=standard", command=zz.table)
    assert r"\caption{winning rate of log\_odds against its standard" in text and r"\toprule" in text
    for n, more in enumerate(([], ["against=standard", "by=tag"])):
        path = tmp_path / "plots" / f"{n}.png"
        assert cli(*words, *more, f"out={path}", command=zz.table)[0] == 0
        with Image.open(path) as picture:
            assert len(picture.getcolors(1 << 20)) > 20 and re.search("png", picture.format, re.I)
    code, _, err = cli(*words[:1], "score=log_odds", command=zz.table)
    assert code == 2 and err == "error: score=log_odds goes with rows=FIELD, such as rows=lambda\n"
