"""experiment=later and later_tuning: equal evaluations, and what their page makes of scores."""

from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir

from tests.make import job, kept, said
from zz.analysis.pages.later import tuned, view
from zz.cli.conf import conf_dir
from zz.cli.config import build
from zz.data.base import PromptList
from zz.diffusion.cost import cost
from zz.diffusion.levels import Flow, discrete
from zz.diffusion.samplers.fsg import FSG
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.shifted import Shifted
from zz.diffusion.schedules.timesteps import Timesteps
from zz.experiments.beyond import later, later_tuning
from zz.lab.results import Results
from zz.lab.scoring.names import identity, score_name
from zz.lab.store.store import Store
from zz.scorers.shapes.scorers import ShapesAlignment, ShapesCorrect

N = 60
LIST = PromptList("inline", tuple(replace(p, seed=i) for i, p in enumerate(said(["a red star", "a blue star"] * 30))))
RIGHT = {"CFG": 20, "zigzag": 40, "FSG": 40, "FSG, as run": 5}


def nodes(name, T):
    return (
        (Shifted(3.0).nodes(Flow(), T)) if name == "Rectified-CFG++" else Timesteps("leading", 1).nodes(discrete(), T)
    )


def test_every_method_has_the_most_steps_that_its_evaluations_leave():
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        for name, method in later.METHODS.items():
            words = [w for w in f"{method.words} {method.scales[-1]}".split() if not w.startswith("weak.model")]
            made = compose("config", overrides=words)
            sampler, guidance = build(made.sampler), build(made.guidance)
            for T, most in zip(method.steps, (40, 100), strict=True):
                spent, more = (cost(sampler, guidance, nodes(name, n)).evals for n in (T, T + 1))
                own = name.startswith("FSG") and T == 40  # its authors' own number, of 50 predictions
                assert spent <= most and (more > most or own), name


def test_the_grid_is_tried_apart_and_the_best_of_it_compared():
    assert "dataset=shapes_tune" in later_tuning.EXPERIMENT.common
    labels = [line.split("'")[1] for line in later_tuning.EXPERIMENT.cells]
    assert (
        len(set(labels))
        == len(labels)
        == sum(len(m.scales) for methods in later.asked().values() for m in methods.values())
    )
    for line in later.cells():
        where, name = line.split("'")[1].split(" | ")
        best = later.best()[where][name]
        assert f" {best} " in line and best in later.METHODS[name].scales
    assert {where: set(names) for where, names in later.best().items()} == {
        where: set(methods) for where, methods in later.asked().items()
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("later") / "store")
    samplers = {
        "CFG": Standard(2.0),
        "zigzag": Zigzag(2.0, 0.0),
        "FSG": FSG(2.0, plan=[[0, 1, 1]]),
        "FSG, as run": FSG(2.0, plan=[[0, 1, 1]], interval="as_run"),
    }
    made = {name: job(LIST, steps=4, sampler=sampler) for name, sampler in samplers.items()}
    controls = made["zigzag"].controls(("standard", "guidance_matched"))
    asked = list({one.id: one for one in (*made.values(), *controls.values())}.values())
    right = {one.id: 20 for one in controls.values()} | {one.id: RIGHT[name] for name, one in made.items()}
    for one in asked:
        for scorer in (ShapesCorrect(), ShapesAlignment()):
            values = {score_name(scorer, p): float(p.entry < right[one.id]) for p in one.pictures}
            store.put_scores(one.cell, identity(scorer), {}, values)
    control_of = {one.id: (made["zigzag"].id, role) for role, one in controls.items() if one.id != made["CFG"].id}
    manifest = kept(store, *asked, scorers=[ShapesCorrect(), ShapesAlignment()], control_of=control_of)
    labels = {one.id: (f"it, 40 | {name}", f"it, 40 | CFG | {name}") for name, one in made.items()}
    rows = tuple(replace(row, labels=labels.get(row.id, ())) for row in manifest.rows)
    return Results(store, replace(manifest, rows=rows))


def test_methods_stand_against_guidance_and_zigzag(results):
    shown = view(results, {"it, 40": ("CFG", "zigzag", "FSG", "FSG, as run", "APG")})
    equal, controls = shown.tables
    lines = {line[0]: line for line in equal.lines}
    assert [line[0] for line in equal.lines][-1] == "FSG, as run"
    assert lines["zigzag"][5].startswith("66.7 [") and lines["zigzag"][1] == "4"
    less_cfg, less_zigzag = (equal.columns.index(word) for word in ("less CFG", "less zigzag"))
    assert lines["FSG"][less_cfg].value == pytest.approx(100 / 3) and lines["FSG"][less_cfg + 1] == "yes"
    assert lines["FSG"][less_zigzag + 1] == "undecided" and lines["FSG, as run"][less_zigzag + 1] == "no, less"
    assert lines["CFG"][less_cfg] is None
    assert [line[0] for line in controls.lines] == ["zigzag"]
    statuses = {verdict.claim: verdict.status for verdict in shown.verdicts}
    assert statuses["it, 40 evaluations: FSG more than zigzag"] == "undecided"
    assert statuses["it, 40 evaluations: FSG more than CFG"] == "holds"
    assert statuses["it, 40 evaluations: FSG, as run more than CFG"] == "contradicted"
    assert statuses["it, 40 evaluations: APG more than CFG"] == "not run"
    assert len(statuses) == len(shown.verdicts) == 4 + 2, "nothing against itself"
    assert "for as many evaluations: zigzag (it, 40), FSG (it, 40); worse: FSG, as run (it, 40)" in shown.claim


def test_nothing_run_says_so(results):
    empty = Results(results.store, replace(results.manifest, rows=()))
    assert view(empty, {"it, 40": ("CFG",)}).claim.endswith("(not run)")
    lacking = view(empty, {"it, 40": ("CFG", "zigzag", "FSG")}).verdicts
    assert [one.claim.partition(": ")[2] for one in lacking] == [
        "zigzag more than CFG",
        "FSG more than CFG",
        "FSG more than zigzag",
    ]
    assert tuned(empty, {"it, 40": {"CFG": ("gamma1=2",)}}).tables == ()


def test_the_best_scale_is_named_first(results):
    shown = tuned(results, {"it, 40": {"CFG": tuple(RIGHT)}})
    (table,) = shown.tables
    assert shown.notes == (f"on inline, the first {N} prompts, which no comparison uses",), "in float32"
    assert table.lines == (("CFG", "zigzag", "66.7", "FSG: 66.7, CFG: 33.3, FSG, as run: 8.3"),)
