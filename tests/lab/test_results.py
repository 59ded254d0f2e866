"""Titles, rows and tables: what a person reads."""

import io

import pytest
from PIL import Image
from rich.console import Console

from tests.store.test_cell import job
from zz.cli import terminal
from zz.diffusion.samplers import Standard, Zigzag
from zz.diffusion.solvers import EulerAncestral
from zz.lab.cell import titles
from zz.lab.planner import merged, plan
from zz.lab.results import cell_rows, columns, comparison_rows
from zz.lab.scoring import identity, score, unscored
from zz.lab.sheet import contact_sheet
from zz.lab.store import Store
from zz.models.mixture import Mixture
from zz.scorers.atypicality import Atypicality
from zz.scorers.log_odds import LogOdds

SCORERS = (LogOdds(), Atypicality())


@pytest.fixture
def filled(store_path):
    """A zigzag and its standard sampling, four pictures each by hand, with scores of five."""
    store = Store(store_path)
    prompts = ("a red circle", "a blue star", "a green square [bold]", "a yellow star", "a red star")
    ours = job(sampler=Zigzag(2.0, 0.0), prompts=prompts[:2] + prompts[3:] * 2, wanted=4, scorers=SCORERS)
    theirs = ours.controls()["standard"]
    for one, bright in ((ours, 200), (theirs, 100)):
        store.begin(one.cell, 6, 4, {"model": "m", "dataset": "d"})
        for i in range(5):
            store.put_image(one.cell, i, Image.new("RGB", (32, 32), (bright, i, i)), one.prompts[i], i)
        for scorer in SCORERS:
            store.put_scores(one.cell, identity(scorer), {}, {i: bright + i for i in range(5)})
    return store, ours, theirs


def test_rows_keep_to_the_prompts_asked_for(filled):
    store, ours, theirs = filled
    first, second = cell_rows([ours, theirs], store)
    assert (first.images, first.means["log_odds"].value) == (4, 201.5)
    assert second.means["atypicality"].value == 101.5
    rows = comparison_rows([ours, theirs], store)
    assert [(r.control, r.scorer) for r in rows] == [("standard", "log_odds"), ("standard", "atypicality")]
    assert [(r.winning.n, r.winning.win, r.winning.loss) for r in rows] == [(4, 4, 0), (4, 0, 4)]


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_terminal_of_any_width_shows_the_numbers(filled, width, encoding):
    store, ours, theirs = filled
    raw = io.BytesIO()
    out = Console(file=io.TextIOWrapper(raw, encoding=encoding), width=width, highlight=False)
    terminal.show_cells(out, cell_rows([ours, theirs], store))
    terminal.show_comparisons(out, comparison_rows([ours], store))
    out.file.flush()
    text = raw.getvalue().decode(encoding)
    for found in ("201.5", "101.5", "[199.4, 203.6]", "4/0/0", "0/0/4", "100 % [51, 100]", "standard"):
        assert found in text, text
    assert max(len(line) for line in text.splitlines()) <= width


def test_markup_in_a_prompt_is_text(store_path, filled):
    store, _, _ = filled
    odd = job(negative_prompt="red", sampler=Standard(2.0), scorers=SCORERS)
    object.__setattr__(odd, "negative_prompt", "[/red] [bold]")
    out = Console(file=io.StringIO(), width=200)
    terminal.show_cells(out, cell_rows([odd], store))
    terminal.show_jobs(out, plan([odd], 1, store))
    assert out.file.getvalue().count("[/red] [bold]") == 2


def test_titles_tell_cells_apart_by_whatever_varies():
    cells = [job().cell, job(size=(32, 48)).cell, job(model=Mixture(std=0.2)).cell, job(seed=3).cell]
    found = list(titles(cells).values())
    assert len(set(found)) == 4
    assert "size=32x48" in found[1] and "model.std=0.2" in found[2] and "seed=3" in found[3]
    assert "size" not in titles([job().cell])[job().cell.key]
    assert "EulerAncestral" in job(solver=EulerAncestral()).cell.title


def test_the_sheet_has_a_column_a_cell_and_standard_comes_first(filled):
    store, ours, theirs = filled
    shown = columns([ours], store)
    assert [one.cell for _, one in shown] == [theirs.cell, ours.cell]
    with Image.open(contact_sheet(shown, store)) as sheet:
        pixels = {sheet.getpixel((x, 120))[0] for x in range(sheet.width)}
    assert {100, 200} <= pixels


def test_each_picture_is_scored_by_its_own_prompt(store_path):
    store = Store(store_path)
    one = job(scorers=(LogOdds(),), prompts=("a red circle", "a blue star"), wanted=2)
    red = LogOdds().world.means((32, 32))[2]  # the red circle at the top
    picture = Image.fromarray(((red.transpose(1, 2, 0) + 1) * 127.5).round().astype("uint8"))
    store.begin(one.cell, 2, 2, {})
    for i in range(2):
        store.put_image(one.cell, i, picture, one.prompts[i], i)
    score(unscored([one], store), store, "cpu", lambda n: None)
    right, wrong = store.scores(one.cell, identity(LogOdds())).values()
    assert right > 100 and wrong < -100


def test_a_scorers_version_keeps_its_scores_apart(monkeypatch):
    before = identity(LogOdds())
    monkeypatch.setattr(LogOdds, "version", 2)
    assert identity(LogOdds()) != before


def test_merging_keeps_every_scorer():
    (one,) = merged([job(scorers=(LogOdds(),)), job(scorers=(Atypicality(),)), job(scorers=(LogOdds(),))])
    assert one.scorers == (LogOdds(), Atypicality())
