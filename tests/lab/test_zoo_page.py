"""What experiment=zoo makes of scores: the parts of a gain, the controls' answers, and the sentence."""

from dataclasses import replace

import numpy as np
import pytest

from tests.make import job, kept, said
from zz.analysis.pages.zoo import HALF, QUESTIONS, Subject, view
from zz.analysis.paper.spec import Column
from zz.data.base import PromptList
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.zigzag import Zigzag
from zz.experiments.beyond import zoo
from zz.lab.results import Results
from zz.lab.scoring.names import identity, score_name
from zz.lab.store.store import Store
from zz.models.sd import StableDiffusion
from zz.scorers.shapes.scorers import ShapesAlignment, ShapesCorrect

N = 60
LIST = PromptList("inline", tuple(replace(p, seed=i) for i, p in enumerate(said(["a red star", "a blue star"] * 30))))
OWN = Column("in every frame", "shapes_alignment", times=100), Column("in how many", "shapes_correct", times=100)
MODELS = {
    "one": Subject("U-Net, eps", 4, 2.0),
    "two": Subject("transformer", 4, 2.0, *OWN),  # judged by a scorer of its own; by the common one all is wrong
    "three": Subject("U-Net, v", 4, 2.0),
}
METHODS = (HALF, "resampling")
CONTROLS = ("standard", "guidance_matched", "compute_matched_predictions", "compute_matched_evals")
RIGHT = {  # how many of the 60 are right, from the first on
    "one": {"zigzag": 50, "standard": 20, "guidance_matched": 30, HALF: 45, "resampling": 40, "compute": 40},
    "two": {"zigzag": 30, "standard": 30, "guidance_matched": 50, HALF: 30, "resampling": 30, "compute": 31},
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("zoo") / "store")
    asked, labels, control_of, right, unsaid = [], {}, {}, {}, set()
    half = {"model": StableDiffusion("zz:shapes"), "precision": "bf16"}
    for steps, model, more in ((4, "one", half), (5, "two", {})):
        ours = job(LIST, steps=steps, sampler=Zigzag(2.0, 0.0), **more)
        others = {HALF: Zigzag(1.0, 0.0), "resampling": Resampling(2.0)}
        made = {name: job(LIST, steps=steps, sampler=sampler, **more) for name, sampler in others.items()}
        labels |= {one.id: f"{model} | {steps} | {name}" for name, one in {"zigzag": ours, **made}.items()}
        controls = ours.controls(CONTROLS)
        control_of |= {one.id: (ours.id, role) for role, one in controls.items()}
        for name, one in {"zigzag": ours, **made, **controls}.items():
            asked.append(one)
            right[one.id] = RIGHT[model]["compute" if name.startswith("compute") else name]
            unsaid |= {one.id} if model == "two" else set()
    for one in asked:
        for scorer in (ShapesCorrect(), ShapesAlignment()):
            n = 0 if one.id in unsaid and isinstance(scorer, ShapesCorrect) else right[one.id]
            values = {score_name(scorer, p): float(p.entry < n) for p in one.pictures}
            store.put_scores(one.cell, identity(scorer), {}, values)
    manifest = kept(store, *asked, scorers=[ShapesCorrect(), ShapesAlignment()], control_of=control_of)
    rows = tuple(replace(row, labels=(labels[row.id],) if row.id in labels else ()) for row in manifest.rows)
    return view(Results(store, replace(manifest, rows=rows)), MODELS, METHODS)


def lines(table):
    return {(line[0], line[2] if line[1] in ("U-Net, eps", "transformer") else line[1]): line for line in table.lines}


def test_a_gain_is_its_parts(shown):
    made_of, _, _ = shown.tables
    one, two = (lines(made_of)[key] for key in (("one", "4"), ("two", "5")))
    assert one[3] == two[3] == "60"
    assert one[4].value == pytest.approx(100 / 3)
    assert [one[i].value for i in (5, 7, 8)] == pytest.approx([50, 100 / 6, 100 / 3])
    assert [two[i].value for i in (7, 8)] == pytest.approx([100 / 3, -100 / 3])
    assert one[8].low > 0 and two[8].high < 0


def test_every_control_answers(shown):
    _, against, _ = shown.tables
    one = lines(against)["one", "4"]
    assert one[2] is None and one[3] is None, "no measured guidance here"
    assert [one[i].value for i in (4, 6, 8, 10)] == pytest.approx([100 / 6, 100 / 6, 250 / 6, 50 / 6])
    assert one[5] == one[7] == one[9] == "yes"
    statuses = {verdict.claim: verdict.status for verdict in shown.verdicts}
    assert statuses[f"one, T = 4: {QUESTIONS['rest'][2]}"] == "holds"
    assert statuses[f"two, T = 5: {QUESTIONS['rest'][2]}"] == "contradicted"
    assert statuses[f"two, T = 5: {QUESTIONS['gain'][2]}"] == "undecided", "as many are right"
    assert statuses["three: more than guidance"] == "not run"
    assert len(shown.verdicts) == 2 * (len(QUESTIONS) - 1) + 1


def test_the_sentence_names_them(shown):
    more = "Zigzag is more than the guidance that it amounts to on one, T = 4, less on two, T = 5. It is worth its"
    assert shown.claim.startswith(more)
    assert "undecided on 1 of 2" in shown.claim


def test_a_model_at_another_precision_is_named(shown):
    assert shown.notes[-1] == "networks at precision bf16: one; the others in float32"


def test_the_other_methods_stand_beside_it_with_their_cost(shown):
    *_, methods = shown.tables
    assert methods.columns[2:] == ("standard", "zigzag", HALF, "resampling")
    assert methods.lines[0][5].startswith("66.7 [") and methods.lines[0][5].endswith(", 14")


def test_the_picture_is_drawn(shown, tmp_path):
    from PIL import Image

    (figure,) = shown.figures
    figure.draw(tmp_path / "a.png")
    assert np.asarray(Image.open(tmp_path / "a.png").convert("L")).std() > 10


def test_every_model_has_its_recommended_guidance_and_its_class():
    from tests.parity.test_zoo import described

    lines = zoo.cells()
    for name, subject in zoo.MODELS.items():
        own, gamma1 = subject.T, subject.gamma1
        assert described(name).gamma1 == gamma1
        mine = [line for line in lines if f" model={name} " in line]
        assert {line.split(" | ")[1] for line in mine} == {"4", "10", "20", str(own)}
        assert all(("limit=200" in line) != (f" steps={own} " in line) for line in mine)
        assert any(f"gamma1={gamma1 / 2:g} " in line for line in mine) == (gamma1 > 1)


def test_a_model_of_clips_has_its_own_scorers(monkeypatch):
    clips = Subject("clips", 20, 4.0, Column("clips", "motion_correct"), Column("frames", "motion_frames"))
    monkeypatch.setattr(zoo, "MODELS", {"shapes": Subject("U-Net", 20, 4.0), "clips": clips})
    theirs = {line.split()[0].split("'")[1]: " scorers=[motion_correct,motion_frames]" in line for line in zoo.cells()}
    assert theirs == {"shapes": False, "clips": True}
