"""Tables where there is little room: no row loses its name, and no number is cut."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.make import job, kept, said
from zz.cli.terminal.plan import show_jobs
from zz.cli.terminal.tables import show_by, show_cells, show_comparisons, show_store
from zz.data.base import Prompt, PromptList
from zz.lab.plan import plan
from zz.lab.results import Results
from zz.lab.scoring.names import identity, score_name
from zz.lab.store.store import Store
from zz.scorers.mixture.atypicality import Atypicality
from zz.scorers.mixture.log_odds import LogOdds

LONG = "Zigzag gamma1=2 gamma2=0 lambda=9 T=10 solver.eta=0.5 guidance=CFG rescale=0.7 schedule=Karras rho=7"
SCORERS = [LogOdds(), *(LogOdds(std=0.1 * k, name=f"log_odds_{k}") for k in range(2, 6)), Atypicality()]
TAGS = ("two_object", "counting", "colors", "position", "color_attr", "single")
TEXTS = [f"a {c} {s}" for c in ("red", "blue") for s in ("circle", "star", "square", "triangle")] * 3
LIST = PromptList("inline", tuple(replace(p, seed=i, meta={"tag": TAGS[i // 4]}) for i, p in enumerate(said(TEXTS))))


@pytest.fixture
def results(store_path):
    """Two rows and their standard sampling, with six metrics over six tags; names of a hundred letters."""
    store = Store(store_path)
    asked = [job(LIST), job(LIST, steps=12)]
    controls = [one.controls()["standard"] for one in asked]
    control_of = {theirs.id: (ours.id, "standard") for ours, theirs in zip(asked, controls, strict=True)}
    for n, one in enumerate([*asked, *controls]):
        for scorer in SCORERS:
            values = {score_name(scorer, p): 1000 * n + 12.345 * p.entry for p in one.pictures}
            store.put_scores(one.cell, identity(scorer), {}, values)
    manifest = kept(store, *asked, *controls, scorers=SCORERS, control_of=control_of)
    rows = tuple(replace(row, title=f"{LONG} number={n}") for n, row in enumerate(manifest.rows))
    return Results(store, replace(manifest, rows=rows)), asked, controls


def shown(width, show, *args):
    out = Console(file=io.StringIO(), width=width, highlight=False)
    show(out, *args)
    text = out.file.getvalue()
    return text, [line for line in text.splitlines() if "\u2502" in line]


def check_names(text, lines, names):
    """Every row has its whole name: in a legend that its number leads to, or beside its numbers."""
    firsts = [line.split("\u2502")[0] for line in lines]
    if legend := re.findall(r"^  (\d+): (.*)$", text, re.M):
        assert legend == [(str(n), name) for n, name in enumerate(names, 1)]
        numbers = [first.strip() for first in firsts if first.strip()]
        assert numbers == [str(n) for n in range(1, len(names) + 1)] * (len(numbers) // len(names))
    else:
        assert "".join("".join(firsts).split()) == "".join("".join(names).split())
    return bool(legend)


INTERVAL = r"-?[\d.]+ \[-?[\d.]+, -?[\d.]+\]"


@pytest.mark.parametrize("width", [80, 120, 160])
def test_a_table_of_cells_keeps_every_name_and_interval(results, width):
    found, *_ = results
    text, lines = shown(width, show_cells, found)
    assert check_names(text, lines, [row.title for row in found.manifest.rows])
    wide, _ = shown(1000, show_cells, found)
    assert len(re.findall(INTERVAL, wide)) == 4 * len(SCORERS)
    assert sorted(re.findall(INTERVAL, text)) == sorted(re.findall(INTERVAL, wide))
    assert "\u2026" not in text and "..." not in text
    for scorer in SCORERS:
        assert f"{scorer.name} " in text
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("width", [80, 120, 160])
def test_a_table_by_tag_keeps_every_name_and_interval(results, width):
    found, *_ = results
    text, lines = shown(width, show_by, found, "tag", ["log_odds"])
    check_names(text, lines, [row.title for row in found.manifest.rows])
    wide, _ = shown(1000, show_by, found, "tag", ["log_odds"])
    assert len(re.findall(INTERVAL, wide)) == 4 * len(TAGS)
    assert sorted(re.findall(INTERVAL, text)) == sorted(re.findall(INTERVAL, wide))
    assert all(tag in text for tag in TAGS) and "\u2026" not in text
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("width", [80, 120, 160])
def test_comparisons_keep_every_name_and_interval(results, width):
    found, *_ = results
    text, lines = shown(width, show_comparisons, found)
    wide, _ = shown(1000, show_comparisons, found)
    assert len(re.findall(INTERVAL, wide)) == 2 * len(SCORERS)
    assert sorted(re.findall(INTERVAL, text)) == sorted(re.findall(INTERVAL, wide))
    for n, row in enumerate([row for row in found.manifest.rows if row.role == "asked"], 1):
        assert f"  {n} / ...: {row.title}\n" in text and f"{n} / standard (" in text
    assert "\u2026" not in text and max(len(line) for line in lines) <= width


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_plan_and_the_list_of_cells_keep_every_name(results, width):
    found, asked, controls = results
    names = [row.title for row in found.manifest.rows]
    text, lines = shown(width, show_jobs, plan([*asked, *controls], 2, found.store), names)
    check_names(text, lines, names)
    assert len(names) == 4 and max(len(line) for line in lines) <= width
    summaries = list(found.store.cells())
    titles = [f"{LONG} number={n}" for n in range(len(summaries))]
    text, lines = shown(width, show_store, summaries, titles, "store")
    check_names(text, lines, titles)
    assert max(len(line) for line in lines) <= width
    assert all(one.cell.key in text for one in summaries)
    assert all(text.count(f"{scorer.name} 24") >= 4 for scorer in SCORERS)


def test_short_names_stand_in_the_table(store_path):
    store, one = Store(store_path), job(PromptList("inline", (Prompt("a red star", {}, 0),)))
    found = Results(store, kept(store, one, scorers=SCORERS[:1]))
    text, lines = shown(80, show_cells, found)
    assert not check_names(text, lines, [found.manifest.rows[0].title])
