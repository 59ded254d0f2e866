"""`zz.report`: one page of a store. What is in it, that nothing in a prompt can harm it, and what it refuses."""

import base64
import html
import io
import json
import re
import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import zz.report
import zz.run
import zz.score
from tests.make import drawn, job
from zz.analysis.report.figures import own_names
from zz.analysis.report.thumbnails import SIDE, Picture, Thumbnails, webp
from zz.cli.compose import composed
from zz.cli.request import request
from zz.data.base import Prompt, PromptList
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.lab.results import Results
from zz.lab.store import manifest
from zz.lab.store.manifest import find
from zz.lab.store.store import Store
from zz.scorers.mixture.atypicality import Atypicality
from zz.scorers.mixture.log_odds import LogOdds

SCORERS = (LogOdds(), Atypicality())
HOSTILE = (
    "<script>alert('x')</script>",
    '"quotes" and \'quotes\' & <b onclick="x()">',
    "../../etc/passwd",
    "</script><!-- <script> {{ 7 * 7 }} {% raw %} ${x}",
    "\u202eright to left \u05d0\u05d1\u05d2 \u2028 line",
    "a very long prompt " * 110,
)
PROMPTS = PromptList(
    "mine", tuple(Prompt(text, {"tag": "ab"[i % 2], "nsfw": i == 2}, i) for i, text in enumerate(HOSTILE))
)
EXPERIMENT = '''
"""A claim with everything that a view can hold."""

from zz.analysis.plots.style import plt
from zz.lab.experiment import Experiment
from zz.lab.view import Figure, Table, Verdict, View
from zz.scorers.interval import Interval


def draw(path):
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1])
    figure.savefig(path)
    plt.close(figure)


def view(results):
    if results.manifest.scale == "broken":
        raise ValueError("no rows of it")
    lines = (("a & b_1", Interval(0.5, 0.4, 0.6), 3, None), ("<i>", Interval(1.0, 0.9, 1.1), 4, "x|y"))
    return View(
        "Zigzag & more",
        "a gap is <needed>",
        (Table("Table 1", ("method", "score", "n", "n"), lines),),
        (Verdict("the gap helps", "holds", "0.5 of 1"), Verdict("it is free", "contradicted"), Verdict("c", "not run")),
        (Figure("one", "a first line", draw), Figure("two", "a second line", draw)),
        ("a note",),
    )


EXPERIMENT = Experiment(claim="a gap is needed", cells=("sampler=zigzag",), common="model=mixture", view=view)
'''


def picture(i, k):
    return Image.new("RGB", (32, 32), (40 * i, 80 * k, 100))


def value(i, k, scorer):
    return float(np.sin(3 * i + k + len(scorer.name)))


def jobs(controls=("standard", "guidance_matched"), **more):
    ours = job(sampler=Zigzag(2.0, 0.0), **more)
    return {"asked": ours, **ours.controls(controls)}


@pytest.fixture
def store(store_path):
    """Two controls beside a zigzag over prompts that mean no good."""
    found = Store(store_path)
    drawn(found, PROMPTS, jobs(), picture, value, SCORERS)
    return found


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A package beside zz with an experiment that has a view."""
    folder = tmp_path / "lib" / "mine"
    (folder / "experiments").mkdir(parents=True)
    for name, text in (("__init__", ""), ("experiments/__init__", ""), ("experiments/gapped", EXPERIMENT)):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    return "extensions=[mine]"


@pytest.fixture
def report(cli, tmp_path):
    """Run the command; return the page, and what was printed."""

    def run(*words):
        code, out, err = cli(*words, command=zz.report)
        assert code == 0, err
        return (tmp_path / "report.html").read_text(encoding="utf-8"), out

    return run


def scripts(page):
    """The JSON of a page, by the id of its element."""
    found = re.findall(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', page, re.S)
    return {name: json.loads(text) for name, text in found}


def plain(page):
    """A page without its scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)


def test_nothing_in_a_prompt_does_harm(store, report):
    store.put_failure(jobs()["asked"].cell, PROMPTS.names()[0], HOSTILE[0], 0, "</li><script>1")
    store.image_path(jobs()["asked"].cell, PROMPTS.names()[0]).unlink()
    page, _ = report()
    assert page.count("<script") == page.count("</script") == len(scripts(page)) + 4
    assert "alert('x')" not in plain(page).replace("&lt;script&gt;alert(&#39;x&#39;)", "")
    assert html.escape(HOSTILE[0]).replace("&#x27;", "&#39;") in plain(page) and "&lt;/li&gt;&lt;script&gt;1" in page
    record = scripts(page)["record"]
    assert sorted(record["texts"]) == sorted(HOSTILE)
    assert [place[3] for place in sorted(record["places"], key=lambda one: one[1])] == [0, 0, 1, 0, 0, 0]
    assert dict(record["fields"]) == {"tag": ["a", "b"], "nsfw": ["false", "true"]}
    assert "http://" not in re.sub(r"http://www\.w3\.org\S*", "", page) and "https://" not in page, "no network"


def test_a_page_has_every_row_score_and_pair(store, report):
    page, out = report()
    assert "report.html: 0." in out and " s\n" in out and "Nothing: every picture" in page
    record = scripts(page)["record"]
    (one,) = record["sets"]
    results = Results(store, find(store))
    rows = results.manifest.rows
    assert [row[0] for row in one["rows"]] == [row.id for row in rows]
    assert [score[0] for score in one["scores"]] == ["log_odds", "atypicality"]
    at = {record["places"][place][2]: i for i, place in enumerate(one["places"])}
    for k in range(3):
        for i, name in enumerate(PROMPTS.names()):
            assert one["points"]["0"][k][at[name]] == pytest.approx(value(i, k, SCORERS[0]), rel=1e-5)
            assert 0 <= one["thumbs"][k][at[name]] < len(scripts(page)["thumbs-0"]) == 18
    found = {(score, i, j): rest for score, i, j, *rest in one["diffs"]}
    assert set(found) == {(s, i, j) for s in (0, 1) for i, j in ((1, 0), (2, 0), (2, 1))}
    expected = results.compare(rows[2], rows[1], "atypicality")
    assert found[1, 2, 1] == [6, *(pytest.approx(x, rel=1e-5) for x in expected.difference)]
    assert one["controls"] == [[0, "standard", 1], [0, "guidance_matched", 2]]
    assert "win/tie/loss" in page and rows[0].title in page and rows[0].cell in page
    assert "sampler</b> Standard → Zigzag" in page, "what sets a row apart"


def test_claims_stand_first_with_their_tables_figures_and_copies(store_path, report, mine):
    for name, scale in (("gapped", "mini"), ("gapped-broken", "broken"), ("plain", None)):
        experiment = None if name == "plain" else "gapped"
        drawn(Store(store_path), PROMPTS, jobs(), picture, value, SCORERS, name, experiment=experiment, scale=scale)
    page, _ = report(mine)
    summary = page[page.index('id="summary"') : page.index('class="manifest"')]
    for status, symbol in (("holds", "\u2713"), ("contradicted", "\u2717"), ("not run", "\u2013")):
        assert re.search(rf'class="badge".*?{symbol}</span> {status}</span>', summary), "words, not only a colour"
    assert summary.count('href="#gapped-') >= 4 and "the gap helps" in summary
    assert "Zigzag &amp; more" in page and "a gap is &lt;needed&gt;" in page and "a note" in page
    assert "its tables cannot be made of what is there (no rows of it)" in page
    assert page.count("<svg") == 2 and "a second line" in page
    ids = re.findall(r'\bid="([^"]+)"', plain(page))
    assert len(ids) == len(set(ids))
    copied = scripts(page)["copied"]
    (table,) = [forms for forms in copied.values() if "a & b_1" in forms["Markdown"]]
    assert "| a & b_1 | 0.50 [0.40, 0.60] | 3 |  |" in table["Markdown"] and "x\\|y" in table["Markdown"]
    assert "\\toprule" in table["LaTeX"] and "a \\& b\\_1" in table["LaTeX"]
    assert table["CSV"].splitlines()[:2] == ["method,score,score_low,score_high,n,n (2)", "a & b_1,0.5,0.4,0.6,3,"]
    assert "python -m zz.run experiment=gapped scale=mini" in page


def test_what_is_missing_is_named_and_the_rest_is_shown(store, report, tmp_path):
    cells = [one.cell for one in jobs().values()]
    names = PROMPTS.names()
    store.image_path(cells[0], names[1]).unlink()
    store.image_path(cells[1], names[3]).write_bytes(b"torn")
    store.put_failure(cells[0], names[1], HOSTILE[1], 1, "out of memory")
    other = drawn(store, PROMPTS, jobs(steps=4), picture, lambda i, k, s: None if i else 1.0, SCORERS, "other")
    page, out = report("name=[run,other]")
    assert "4 rows lack pictures or scores: the page names what is missing" in out and f"{names[3]}.png cannot" in out
    missing = page[page.index('id="missing"') :]
    assert f"1 of 6 pictures are not there: <code>{names[1]}</code>" in missing and "out of memory" in missing
    assert "5 of 6 pictures have no log_odds" in missing and f"{names[3]}.png cannot be read" in missing
    one = scripts(page)["record"]["sets"][0]
    assert sorted(row.count(-1) for row in one["thumbs"]) == [0, 1, 1]
    (store.root / "manifests" / f"{other.id}.json").write_text("{}")
    page, out = report()
    assert "is no manifest" in out and "is no manifest" in page and "other-" not in out.replace(other.id, "")


def test_a_bundle_goes_anywhere(store, report, tmp_path):
    page, out = report("bundle=there")
    there = tmp_path / "there"
    assert "there/report.html" in out and len(list(there.rglob("*.png"))) == 18
    moved = scripts((there / "report.html").read_text(encoding="utf-8"))["record"]
    assert moved["root"] == "cells" and scripts(page)["record"]["root"] == "store/cells"
    one = moved["sets"][0]
    for row in one["rows"]:
        for place in one["places"]:
            assert (there / moved["root"] / row[4] / "images" / f"{moved['places'][place][2]}.png").is_file()
    report("bundle=there")  # again


def test_pairs_and_size_bound_what_is_inside(store, report):
    page, out = report("pairs=2")
    assert "4 prompts are left out" in out and "4 more are left out" in page
    one = scripts(page)["record"]["sets"][0]
    assert len(one["places"]) == 2 and len(scripts(page)["thumbs-0"]) == 6
    big = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 600, 3), dtype=np.uint8))
    small = Image.open(io.BytesIO(webp(big)))
    assert small.size == (SIDE, SIDE // 2)


def test_many_rows_are_set_beside_their_controls_alone(store_path, report):
    ours = job(sampler=Zigzag(2.0, 0.0))
    others = {f"r{i}": job(sampler=Standard(1.0 + i / 10)) for i in range(26)}
    store = Store(store_path)
    found = drawn(store, PROMPTS, {"asked": ours, **others}, picture, value, SCORERS[:1])
    rows = [replace(row, role="asked", controls=()) for row in found.rows]
    rows[1] = replace(rows[1], role="standard", controls=((rows[0].id, "standard"),))
    for path in (store.root / "manifests").iterdir():
        path.unlink()
    manifest.put(store, replace(found, rows=tuple(rows)))
    page, _ = report()
    one = scripts(page)["record"]["sets"][0]
    assert [line[:3] for line in one["diffs"]] == [[0, 0, 1]] and one["alone"] == 0
    assert "of more than 24 rows" in page


def test_pictures_from_elsewhere_are_set_beside_those_of_the_same_prompt(cli, report, store_path, tmp_path):
    texts = ("a red circle", "a blue star", "a red circle")
    words = ("model=mixture", "dataset=inline", "dataset.texts=[a red circle,a blue star]", "steps=4", "scorers=[]")
    assert cli(*words, "sampler=standard")[0] == 0
    for i in range(len(texts)):
        (tmp_path / "pics").mkdir(exist_ok=True)
        picture(i, 1).save(tmp_path / "pics" / f"{i}.png")
    (tmp_path / "prompts.txt").write_text("\n".join(texts))
    given = ("images=pics", "prompts=prompts.txt", "name=theirs", "against=run", "scorers=[cleanliness]")
    code, _, err = cli(*given, command=zz.score)
    assert code == 0, err
    page, _ = report("name=theirs", "bundle=there")
    record = scripts(page)["record"]
    (one,) = record["sets"]
    shown = [record["texts"][record["places"][place][0]] for place in one["places"]]
    both = [all(row[i] >= 0 for row in one["thumbs"]) for i in range(len(shown))]
    assert sorted(zip(shown, both, strict=True)) == [(texts[1], True), (texts[0], False), (texts[0], True)]
    (names,) = one["names"].values()
    folder = tmp_path / "there" / "cells" / one["rows"][int(next(iter(one["names"])))][4] / "images"
    assert {path.stem for path in folder.iterdir()} == set(names)


def test_of_a_clip_the_middle_frame_is_inside(store):
    cell = jobs()["asked"].cell
    strip = Image.new("RGB", (96, 32), "red")
    strip.paste(Image.new("RGB", (32, 32), "blue"), (32, 0))
    store.put_image(cell, "000099-0123456789ab", strip, "x", 99)
    found = Thumbnails(store)
    found.add([Picture(cell.key, "000099-0123456789ab", 3), Picture(cell.key, "000098-0123456789ab")])
    middle = Image.open(io.BytesIO(base64.b64decode(found.texts[0])))
    assert middle.size == (32, 32) and middle.getpixel((5, 5)) == (0, 0, 255)
    assert len(found.problems) == 1


def test_a_package_that_is_not_there_is_named(store, cli, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("zz.analysis.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = cli(command=zz.report)
    assert code == 2 and err == "error: zz.report needs jinja2: pip install 'zz[analysis]'\n"


@pytest.mark.parametrize(
    "words",
    [
        "model=mixture gamma1=3 lambda=2 controls=[standard]",
        "model=mixture sampler=resampling solver=euler_ancestral solver.eta=0.5 seed=7 size=16",
        "model=mixture guidance=interval schedule=karras dataset.repeats=2 'negative_prompt=a red star'",
    ],
)
def test_the_command_of_a_row_makes_that_row(cli, report, words, store_path):
    code, _, err = cli(*shlex.split(words), "steps=4", "limit=2", "scorers=[]")
    assert code == 0, err
    page, _ = report()
    commands = [shlex.split(html.unescape(one)) for one in re.findall(r"<code>(python -m zz.run .*?)</code>", page)]
    rows = find(Store(store_path)).rows
    assert len(commands) == len(rows) and "commit</dt><dd>" in page and " s</dd>" in page
    for row, command in zip(rows, commands, strict=True):
        asked = request(list(composed([[*command[3:], f"store={store_path}"]])))
        assert row.id in [found.id for found in asked.manifest.rows], command
        assert len(command) < 14, "nothing but what differs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("name=none", "holds no manifest 'none'; there are run-"),
        ("out=.", "out=. is a folder"),
        ("out=file/report.html", "out=file/report.html cannot be written"),
        ("bundle=file", "bundle=file is a file"),
        ("out=null", "out=None must be a file"),
        ("against=me", "against='me' is not known"),
        ("pairs=0", "pairs=0"),
        ("size=many", "size='many' must be"),
        ("name=[run,3]", "name=3"),
        ("allow_partial=perhaps", "allow_partial=perhaps must be true or false"),
        ("store=elsewhere", "holds no manifest; zz.run writes one"),
    ],
)
def test_bad_words_are_one_message(store, cli, tmp_path, words, said):
    (tmp_path / "file").touch()
    code, _, err = cli(words, command=zz.report)
    assert code == 2 and err.startswith("error: ") and len(err.splitlines()) == 1 and said in err, err


def test_what_lacks_may_be_refused(store, cli):
    store.image_path(jobs()["asked"].cell, PROMPTS.names()[0]).unlink()
    code, _, err = cli("allow_partial=false", command=zz.report)
    assert code == 2 and "1 row lacks pictures or scores" in err


def test_the_names_in_a_figure_are_its_own():
    svg = '<?xml?><svg><style>*{a: b}</style><g id="p"/><use xlink:href="#p" clip-path="url(#p)"/></svg>'
    assert own_names(svg, "f") == (
        '<svg><style>#f * {a: b}</style><g id="f-p"/><use xlink:href="#f-p" clip-path="url(#f-p)"/></svg>'
    )
