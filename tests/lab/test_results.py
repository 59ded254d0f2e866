"""Titles, rows and tables: what a person reads."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor
from rich.console import Console

from tests.make import job, kept, scored
from zz.cli.terminal.console import rate
from zz.cli.terminal.plan import show_jobs
from zz.cli.terminal.tables import show_by, show_cells, show_comparisons, show_verdicts
from zz.data.base import Prompt, PromptList
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.lab.cell import titles
from zz.lab.loggers.jsonl import EventLog
from zz.lab.plan import plan
from zz.lab.results import Results
from zz.lab.scoring import names
from zz.lab.scoring.names import identity, score_name, set_name
from zz.lab.scoring.sets import measure
from zz.lab.sheet import RIGHT, WRONG, contact_sheet
from zz.lab.stats import Interval, mean, proportion, share
from zz.lab.store.manifest import Manifest, merged
from zz.lab.store.store import Store
from zz.models.mixture import Mixture
from zz.scorers.clip import ClipFeatures
from zz.scorers.diversity import Diversity
from zz.scorers.mixture.atypicality import Atypicality
from zz.scorers.mixture.log_odds import LogOdds
from zz.scorers.shapes.scorers import ShapesCorrect
from zz.scorers.shapes.truth import ShapesFrechet

SCORERS = (LogOdds(), Atypicality())


TEXTS = ("a red circle", "a blue star", "a yellow star", "a red star", "a yellow star", "a red star")
METAS = ({"tag": "a"}, {"tag": "b"}, {"tag": "a"}, {"tag": "b"}, {"tag": "a"}, {})
LIST = PromptList("inline", tuple(Prompt(t, m, i) for i, (t, m) in enumerate(zip(TEXTS, METAS, strict=True))))


def put(store, one, scorer, values):
    """Scores by entry."""
    found = {score_name(scorer, p): values[p.entry] for p in one.pictures if p.entry < len(values)}
    store.put_scores(one.cell, identity(scorer), {}, found)


@pytest.fixture
def filled(store_path):
    """A zigzag and its standard sampling: of six prompts four are asked for, and five are made and scored."""
    store = Store(store_path)
    ours = job(LIST, sampler=Zigzag(2.0, 0.0), limit=4)
    theirs = ours.controls()["standard"]
    for one, bright in ((ours, 200), (theirs, 100)):
        more = replace(one, limit=5)
        for i, picture in enumerate(more.pictures):
            image = Image.new("RGB", (32, 32), (bright, i, i))
            store.put_image(one.cell, picture.name, image, picture.prompt.text, picture.seed)
        for scorer in SCORERS:
            put(store, more, scorer, [bright + i for i in range(5)])
    found = kept(store, ours, theirs, scorers=SCORERS, control_of={theirs.id: (ours.id, "standard")})
    return Results(store, found), ours, theirs


def test_rows_keep_to_the_prompts_asked_for(filled):
    results, _, _ = filled
    first, second = results.manifest.rows
    assert (results.there(first), results.mean(first, "log_odds").value) == (4, 201.5)
    assert results.scores(first, "log_odds") == {i: 200.0 + i for i in range(4)}
    assert results.mean(second, "atypicality").value == 101.5
    found = results.comparisons()
    assert [(c.row, c.role, c.against, c.score) for c in found] == [
        (first, "standard", second, "log_odds"),
        (first, "standard", second, "atypicality"),
    ]
    assert [(c.winning.n, c.winning.win, c.winning.loss) for c in found] == [(4, 4, 0), (4, 0, 4)]


def test_a_part_of_the_prompts_by_their_meta(filled):
    results, _, _ = filled
    first, second = results.manifest.rows
    where = lambda prompt: prompt.meta.get("tag") == "b"  # noqa: E731
    assert results.scores(first, "log_odds", where) == {1: 201.0, 3: 203.0}
    assert results.mean(first, "log_odds", where).value == 202
    assert results.compare(first, second, "log_odds", where).n == 2
    out = Console(file=io.StringIO(), width=200)
    show_by(out, results, "tag")
    text = out.file.getvalue()
    assert "log_odds by tag" in text and all(
        found in text for found in ("201 [188, 214]", "202 [189, 215]", "101 [88, 114]")
    )
    with pytest.raises(ValueError, match="by=colour is in no prompt's meta; there are tag"):
        show_by(out, results, "colour")


def test_the_pictures_of_an_entry_are_averaged_first(store_path):
    """Three entries with two pictures each; of the last one a picture has no score, and so it has none."""
    store = Store(store_path)
    one = job(PromptList("inline", LIST.entries[:3], repeats=2))
    values = dict(zip([p.name for p in one.pictures], (1.0, 2.0, 3.0, 5.0, 8.0, None), strict=True))
    store.put_scores(one.cell, identity(LogOdds()), {}, {n: v for n, v in values.items() if v is not None})
    results = Results(store, kept(store, one, scorers=(LogOdds(),)))
    (row,) = results.manifest.rows
    assert results.scores(row, "log_odds") == {0: 3.0, 1: 5.0}
    found = results.mean(row, "log_odds")
    assert found == mean([3.0, 5.0]), "the unit is the entry, not the picture"


def test_a_control_that_lacks_scores_is_compared_only_where_that_is_allowed(filled):
    results, ours, theirs = filled
    scorer = LogOdds(std=0.3)
    put(results.store, ours, scorer, [5.0, 5.0, 5.0, 5.0])
    put(results.store, theirs, scorer, [1.0, 1.0, 9.0])
    found = kept(results.store, ours, theirs, scorers=(scorer,), control_of={theirs.id: (ours.id, "standard")})
    again = Results(results.store, found)
    assert again.comparisons() == []
    (one,) = again.comparisons(partial=True)
    assert (one.winning.n, one.winning.win, one.winning.loss) == (3, 2, 1)


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_terminal_of_any_width_shows_the_numbers(filled, width, encoding):
    results, _, _ = filled
    raw = io.BytesIO()
    out = Console(file=io.TextIOWrapper(raw, encoding=encoding), width=width, highlight=False)
    show_cells(out, results)
    show_comparisons(out, results)
    out.file.flush()
    text = raw.getvalue().decode(encoding)
    for found in ("201.5", "101.5", "[199.4, 203.6]", "4/0/0", "0/0/4", "100 % [51, 100]", "standard"):
        assert found in text, text
    assert max(len(line) for line in text.splitlines()) <= width


def test_a_sentence_for_each_row(filled):
    results, _, _ = filled
    out = Console(file=io.StringIO(), width=400)
    show_verdicts(out, results)
    (said,) = out.file.getvalue().splitlines()
    assert "in log_odds it is ahead of standard by 100.00 [100.00, 100.00]." in said


def test_markup_in_a_prompt_is_text(store_path):
    odd = job(sampler=Standard(2.0))
    object.__setattr__(odd.recipe, "negative_prompt", "[/red] [bold]")
    store = Store(store_path)
    results = Results(store, kept(store, odd, scorers=SCORERS))
    out = Console(file=io.StringIO(), width=200)
    show_cells(out, results)
    show_jobs(out, plan([odd], 1, store), [row.title for row in results.manifest.rows])
    assert out.file.getvalue().count("[/red] [bold]") == 2


def test_titles_tell_cells_apart_by_whatever_varies():
    cells = [job().cell, job(size=(32, 48)).cell, job(model=Mixture(std=0.2)).cell, job(steps=7).cell]
    found = list(titles(cells).values())
    assert len(set(found)) == 4
    assert "size=32x48" in found[1] and "model.std=0.2" in found[2] and "T=7" in found[3]
    assert "size" not in titles([job().cell])[job().cell.key]
    assert "EulerAncestral" in job(solver=EulerAncestral()).cell.title


def test_the_sheet_has_a_column_a_row_and_marks_what_is_right(filled):
    results, ours, theirs = filled
    shown = [("standard", theirs), ("ours", ours)]

    def pixels(verdicts=None):
        with Image.open(contact_sheet(shown, results.store, verdicts=verdicts)) as sheet:
            return sheet.convert("RGB").copy()

    plain = pixels()
    row = [plain.getpixel((x, 120))[0] for x in range(plain.width)]
    assert row.index(100) < row.index(200), "in the order of the columns"
    marked = pixels({ours.id: {ours.names()[0]: True, ours.names()[1]: False}})
    colours = {ImageColor.getrgb(RIGHT), ImageColor.getrgb(WRONG)}
    with_marks, without = ({colour for _, colour in sheet.getcolors(1 << 20)} for sheet in (marked, plain))
    assert colours <= with_marks and not colours & without
    assert contact_sheet([("none", job(LIST, steps=7))], results.store) is None


def test_a_long_heading_is_not_cut(filled):
    """Rows may differ in their last word alone; the longest heading makes room for itself."""
    results, ours, theirs = filled
    words = "FreeInit inner=(Standard gamma1=4) iterations=3 order=4 spatial=0.25 temporal=0.25"
    shown = [(f"{words} T=4", theirs), (f"{words} diffuse=node T=4", ours)]
    with Image.open(contact_sheet(shown, results.store)) as sheet:
        dark = np.asarray(sheet.convert("L")) < 100
    eighth = dark[113:126]
    assert eighth[:, 334:].any() and not eighth[:, 190:330].any()


def test_each_picture_is_scored_by_its_own_prompt(store_path):
    store, one = Store(store_path), job(("a red circle", "a blue star"))
    red = LogOdds().world.means((32, 32))[2]  # the red circle at the top
    picture = Image.fromarray(((red.transpose(1, 2, 0) + 1) * 127.5).round().astype("uint8"))
    for asked in one.pictures:
        store.put_image(one.cell, asked.name, picture, asked.prompt.text, asked.seed)
    assert scored(store, one, scorers=(LogOdds(),)) == (2, (), {})
    scores = store.scores(one.cell, identity(LogOdds()))
    right, wrong = (scores[name] for name in one.names())
    assert right > 100 and wrong < -100


def test_a_scorers_version_keeps_its_scores_apart(monkeypatch):
    before = identity(LogOdds())
    monkeypatch.setattr(LogOdds, "version", 2)
    assert identity(LogOdds()) != before


def test_merging_keeps_every_scorer(store_path):
    store, one = Store(store_path), job()
    asked = [kept(store, one, scorers=scorers) for scorers in (SCORERS[:1], SCORERS[1:], SCORERS[:1])]
    (row,) = merged([row for manifest in asked for row in manifest.rows])
    assert row.scorers.keys() == {"log_odds", "atypicality"} == Results(store, Manifest("run", (row,))).metrics.keys()


def told(show, *args):
    out = Console(file=io.StringIO(), width=200, highlight=False)
    show(out, *args)
    return out.file.getvalue()


@pytest.fixture
def seeds(store_path):
    """Six prompts with two seeds each of a zigzag and its standard sampling: wins, ties and losses of 0/1 scores."""
    store, listed = Store(store_path), replace(LIST, repeats=2)
    ours = job(listed, sampler=Zigzag(2.0, 0.0))
    theirs = ours.controls()["standard"]
    scorer = ShapesCorrect(name="shapes_correct")
    right = {ours.id: "111010 101011", theirs.id: "010011 010011"}  # by repeat
    for one in (ours, theirs):
        values = {
            score_name(scorer, p): float(x) for p, x in zip(one.pictures, right[one.id].replace(" ", ""), strict=True)
        }
        store.put_scores(one.cell, identity(scorer), {}, values)
    found = kept(store, ours, theirs, scorers=(scorer,), control_of={theirs.id: (ours.id, "standard")})
    return Results(store, found)


def test_several_seeds_of_a_prompt_are_one_unit_of_its_rate_and_its_proportion(seeds):
    ours, theirs = seeds.manifest.rows
    found = seeds.compare(ours, theirs, "shapes_correct")
    assert (found.n, found.win, found.tie, found.loss) == (6, 4, 6, 2)
    assert found.rate == share([1, 0.25, 1, 0.5, 0.5, 0.25])
    assert seeds.mean(ours, "shapes_correct") == share([1, 0.5, 1, 0, 1, 0.5]) != proportion(8, 12)
    text = told(show_comparisons, seeds)
    assert "4/6/2" in text and "wins, ties and losses are pairs of pictures of one seed; rates, intervals and p" in text
    assert "means and intervals are over prompts, of 2 pictures each" in told(show_cells, seeds)
    first = Results(seeds.store, seeds.manifest).compare(ours, replace(theirs, repeats=1), "shapes_correct")
    assert (first.n, first.win, first.tie, first.loss) == (6, 2, 3, 1), "the seed that both have"


def test_a_table_says_what_it_shows_less_of(filled):
    """Scores that are not there, and what cannot be compared in pairs."""
    results, ours, theirs = filled
    more = LogOdds(std=0.3)
    put(results.store, ours, more, [5.0, 6.0, 5.0, 5.0])
    put(results.store, theirs, more, [1.0, 1.0, 9.0])
    found = kept(
        results.store, ours, theirs, scorers=(more, Atypicality()), control_of={theirs.id: (ours.id, "standard")}
    )
    results = Results(results.store, found)
    rows = results.manifest.rows
    assert f"log_odds is of fewer prompts: 3 of 4 for {rows[1].title}\n" in told(show_cells, results)
    left_out = (
        f"log_odds is left out: 3 of 4 prompts have scores on both sides; allow_partial=true shows it: {rows[0].title}"
    )
    assert left_out in told(show_comparisons, results)
    assert f"log_odds is on 3 of 4 prompts: {rows[0].title} against standard" in told(show_comparisons, results, True)
    assert "log_odds" not in told(show_comparisons, results, False, ["atypicality"])
    text = told(show_by, results, "tag", ["log_odds"])
    assert "is of fewer prompts: 3 of 4" in text and "tag is not said of" not in text
    whole = Results(results.store, replace(found, rows=tuple(replace(row, wanted=6) for row in rows)))
    assert "tag is not said of 2 of 12 prompts, which are in no column" in told(show_by, whole, "tag", ["log_odds"])


def test_a_set_metric_says_what_it_lacks(store_path):
    """Three pictures of 4 asked for, in features of 8 dimensions, and no prompt that comes twice."""
    store, features = Store(store_path), ClipFeatures("zz:shapes_clip", name="shapes_clip")
    one = job(("a red circle", "a blue star", "a red star", "a blue circle"))
    metrics = (ShapesFrechet(features), Diversity(features, name="shapes_diversity"))
    vectors = np.random.default_rng(0).normal(size=(3, 8))
    store.put_features(one.cell, identity(features), dict(zip(one.names(), vectors, strict=False)))
    store.keep(set_name(identity(metrics[0]), one.cell.key, one.pictures[:3]), [2.0, 1.0, 3.0])
    results = Results(store, kept(store, one, scorers=metrics))
    text = told(show_cells, results)
    (row,) = results.manifest.rows
    assert f"shapes_fd is of fewer prompts: 3 of 4 for {row.title}" in text
    assert "shapes_fd: 3 pictures are fewer than its features have dimensions (8)" in text
    assert "shapes_diversity has no value (-): too few pictures, or no prompt has two" in text
    assert "singular" not in told(show_cells, results, ["shapes_diversity"])


SOME = [f"a {c} {s}" for c in ("red", "blue", "green", "yellow") for s in ("circle", "star", "square")]


@pytest.mark.parametrize(("dimensions", "said"), [(1, None), (2, "few"), (9, "few"), (10, "few"), (11, "singular")])
def test_a_covariance_of_few_pictures_is_remarked(store_path, dimensions, said):
    """Ten pictures."""
    store, features = Store(store_path), ClipFeatures("zz:shapes_clip", name="shapes_clip")
    one, metric = job(SOME[:10]), ShapesFrechet(features)
    vectors = np.random.default_rng(0).normal(size=(10, dimensions))
    store.put_features(one.cell, identity(features), dict(zip(one.names(), vectors, strict=True)))
    store.keep(set_name(identity(metric), one.cell.key, one.pictures), [2.0, 1.0, 3.0])
    text = told(show_cells, Results(store, kept(store, one, scorers=(metric,))))
    assert (f"10 pictures are few for features of {dimensions} dimensions" in text) is (said == "few")
    assert (f"10 pictures are fewer than its features have dimensions ({dimensions})" in text) is (said == "singular")


def test_scores_that_are_not_finite_are_no_scores(store_path):
    store, one = Store(store_path), job(PromptList("inline", LIST.entries[:3]))
    results = Results(store, kept(store, one, scorers=(LogOdds(),)))
    (row,) = results.manifest.rows
    values = {score_name(LogOdds(), p): x for p, x in zip(one.pictures, (1.0, math.inf, math.nan), strict=True)}
    store.scores = lambda cell, scorer: values  # as an old store may hold them
    assert results.scores(row, "log_odds") == {0: 1.0} and not results.complete(row)


class OnePrompt(Diversity):
    """Has a value, and no bounds."""

    def measure(self, features, prompts, reference):
        return Interval(float(len(features)), -math.inf, math.inf)


def test_of_a_set_metric_only_finite_values_are_kept_and_all_is_json(store_path):
    store, features = Store(store_path), ClipFeatures("zz:shapes_clip", name="shapes_clip")
    one = job(("a red circle", "a blue star"))
    store.put_features(one.cell, identity(features), dict(zip(one.names(), np.eye(2), strict=True)))
    assert measure(Diversity(features), one, store) is None, "no prompt has two pictures"
    assert not (store.root / "sets").exists()
    metric = OnePrompt(features)
    assert measure(metric, one, store) == (2, -math.inf, math.inf)
    assert names.kept(store, identity(metric), one.cell.key, one.pictures) == (2, -math.inf, math.inf)
    (path,) = (store.root / "sets").iterdir()
    json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0.57, 0.44, 0.68), "57 % [44, 68]"),
        ((0.567, 0.502, 0.632), "56.7 % [50.2, 63.2]"),
        ((0.567, 0.5004, 0.632), "56.70 % [50.04, 63.20]"),
        ((0.45, 0.40, 0.50), "45 % [40, 50]"),
        ((math.nan, 0, 1), "nan % [0, 100]"),
    ],
)
def test_what_is_printed_of_a_rate_tells_its_ends_from_one_half(interval, text):
    assert rate(Interval(*interval)) == text


def test_the_event_log_is_json_also_without_values_and_bounds(store_path, tmp_path):
    store, one = Store(store_path), job(PromptList("inline", LIST.entries[:1]))
    put(store, one, LogOdds(), [2.0])
    EventLog(str(tmp_path / "log")).on_results(Results(store, kept(store, one, scorers=SCORERS)))
    said = json.loads((tmp_path / "log").read_text(), parse_constant=pytest.fail)
    assert said["means"]["log_odds"] == {"value": 2.0, "low": None, "high": None}
    assert said["means"]["atypicality"] == {"value": None, "low": None, "high": None}
