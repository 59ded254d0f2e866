"""A cell's key: what the pictures are of, and nothing else."""

import itertools
from dataclasses import replace

import pytest

from tests.make import job, recipe
from zz.diffusion.guidance.attention.pag import PAG
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp
from zz.diffusion.guidance.embedded import Embedded
from zz.diffusion.levels import discrete
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.ays import AYS
from zz.diffusion.schedules.base import ModelSchedule
from zz.diffusion.schedules.explicit import Explicit
from zz.diffusion.schedules.karras import Karras
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.schedules.uniform import UniformInTime
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.diffusion.solvers.noisy_inversion import NoisyInversion
from zz.lab.cell import Cell, to_json
from zz.lab.measurements.effective_guidance import EffectiveGuidance
from zz.lab.plan import merged
from zz.lab.scale import MeasuredScale
from zz.models.mixture import Mixture

EQUAL = {
    "whole floats are ints": (job(sampler=Zigzag(2, 0)), job(sampler=Zigzag(2.0, 0.0))),
    "lambda null is T - k": (job(), job(sampler=Zigzag(2.0, 0.0, 9))),
    "lambda 0 is standard": (job(sampler=Zigzag(2.0, 1.0, 0)), job(sampler=Standard(2.0))),
    "k 0 is standard": (job(sampler=Zigzag(2.0, 1.0, k=0)), job(sampler=Standard(2.0))),
    "limit is not identity": (job(limit=1), job(limit=3)),
    "the dataset's name is not identity": (job(name="inline"), job(name="text")),
    "recommendations are not identity": (job(model=Mixture(gamma1=9.0, steps=3, batch_size=1)), job()),
    "an error of 0 is none": (job(solver=NoisyInversion(error=0.0)), job()),
    "eta 0 is DDIM": (job(solver=EulerAncestral(eta=0.0)), job()),
    "the model's own nodes, spelled out": (job(schedule=Timesteps("leading", 1)), job()),
    "the model's own nodes, listed": (job(schedule=Explicit(tuple(range(901, 0, -100)))), job()),
    "the model's own nodes, spread over as many": (job(schedule=UniformInTime(ModelSchedule(), 10)), job()),
    "standard never inverts": (job(sampler=Standard(2.0), solver=NoisyInversion()), job(sampler=Standard(2.0))),
}

DIFFERENT = {
    "gamma1": job(sampler=Zigzag(3.0, 0.0)),
    "gamma2": job(sampler=Zigzag(2.0, 0.5)),
    "lambda": job(sampler=Zigzag(2.0, 0.0, 8)),
    "k": job(sampler=Zigzag(2.0, 0.0, 8, k=2)),
    "rounds": job(sampler=Zigzag(2.0, 0.0, rounds=2)),
    "inversion": job(sampler=Zigzag(2.0, 0.0, inversion="ref_0_22")),
    "network_time": job(sampler=Zigzag(2.0, 0.0, network_time="s")),
    "v_at": job(sampler=Zigzag(2.0, 0.0, v_at="s")),
    "sampler": job(sampler=EndToEnd(2.0, 0.0)),
    "solver": job(solver=DPMpp2M()),
    "injected error": job(solver=NoisyInversion(error=0.1)),
    "guidance": job(guidance=CFG(rescale=0.5)),
    "schedule": job(schedule=Timesteps("trailing", 0)),
    "final node": job(schedule=Timesteps("leading", 1, "clean")),
    "offset": job(schedule=Timesteps("leading", 2)),
    "ays": job(schedule=AYS()),
    "table": job(schedule=AYS("sdxl")),
    "karras": job(schedule=Karras()),
    "steps": job(steps=11),
    "size": job(size=(32, 48)),
    "negative prompt": job(negative_prompt="red"),
    "empty negative prompt": job(negative_prompt=""),
    "model": job(model=Mixture(std=0.2)),
    "prediction": job(model=Mixture(prediction="v")),
}


@pytest.mark.parametrize("why", EQUAL)
def test_equal_pictures_have_one_cell(why):
    one, other = EQUAL[why]
    assert one.cell.key == other.cell.key and len(merged([one, other])) == 1


@pytest.mark.parametrize("other", [job(seed=1), job(("a red circle",)), job(("a blue star", "a red circle"))])
def test_another_seed_or_text_is_another_row_of_one_cell(other):
    """Pictures are known by cell, seed and text; a ledger holds neither."""
    assert other.cell.key == job().cell.key and other.id != job().id
    assert len(merged([job(), other])) == 2
    assert not {"seed", "dataset", "prompts", "limit"} & {
        part for name in job().cell.flat() for part in name.split(".")
    }


def test_a_spacing_may_fit_where_the_models_own_does_not():
    """1000 leading steps with offset 1 ask for timestep 1000."""
    trailing = Timesteps("trailing", 0, "clean")
    assert job(schedule=trailing, steps=1000).recipe.schedule == trailing
    with pytest.raises(ValueError, match="asks for timestep 1000"):
        job(steps=1000)


def test_whatever_moves_numbers_moves_the_key():
    half = replace(job().recipe, precision="bf16")
    scales = [MeasuredScale(one.cell, EffectiveGuidance(), "omega_e") for one in (job(), job(steps=11))]
    scaled = [recipe(sampler=Standard(2.0), scale=scale).resolved().cell.key for scale in scales]
    keys = [job().cell.key, half.cell.key, *scaled] + [one.cell.key for one in DIFFERENT.values()]
    assert len(set(keys)) == len(keys)


def test_a_version_moves_the_key(monkeypatch):
    before = job().cell.key
    monkeypatch.setattr(Zigzag, "version", 2)
    assert job().cell.key != before


def test_the_key_is_pinned():
    """By hand: printf '{"format":1,"sampler":{"gamma1":2,"is":"Standard"}}' | sha256sum. If this moves, every
    store in the world is orphaned."""
    assert Cell({"format": 1, "sampler": {"is": "Standard", "gamma1": 2}}).key == "bf25ce92474f313f"


def test_a_long_field_is_known_by_all_of_it():
    curves = [discrete(beta_end=0.012), discrete(beta_end=0.0120001)]
    assert curves[0].abar[:8] == pytest.approx(curves[1].abar[:8], abs=1e-9)
    assert len({job(model=Mixture(levels=levels)).cell.key for levels in curves}) == 2
    assert job().cell.ledger["model"]["levels"]["abar"].startswith("sha256:")


def test_every_ledger_bears_its_format():
    assert job().cell.ledger["format"] == 2 == Cell.of(sampler=Standard()).ledger["format"]


def test_merging_keeps_the_most_prompts_asked_for():
    (one,) = merged([job(limit=1), job(limit=3), job(limit=2)])
    assert one.wanted == 3
    (one,) = merged([job(limit=1), job(limit=None), job(limit=2)])
    assert one.limit is None and one.wanted == 3
    (one,) = merged([job(limit=2, repeats=1), job(limit=1, repeats=3)])
    assert (one.limit, one.prompts.repeats, one.wanted) == (2, 3, 6)


def test_controls_are_what_they_are_called():
    controls = job(sampler=Zigzag(2.0, 0.0)).controls()
    assert list(controls) == [
        "standard",
        "guidance_matched",
        "compute_matched_predictions",
        "compute_matched_evals",
    ]
    assert controls["standard"].cell == job(sampler=Standard(2.0)).cell
    ours = job().recipe.cost
    assert controls["compute_matched_predictions"].recipe.cost.predictions == ours.predictions == 28
    assert 0 <= controls["compute_matched_evals"].recipe.cost.evals - ours.evals < 2
    assert job(sampler=Standard(2.0)).controls() == {}
    assert "guidance_matched" not in job(sampler=EndToEnd(2.0)).controls()
    assert "guidance_matched" not in job(guidance=CFG(rescale=0.5)).controls()


def test_e_cfg_is_made_where_it_is_asked_for():
    """Standard sampling for as many predictions, at the scales that were measured on ours."""
    assert "e_cfg" not in job().controls()
    found = job().controls(("standard", "e_cfg", "compute_matched_predictions"))
    assert list(found) == ["standard", "e_cfg", "compute_matched_predictions"]
    costly, control = found["compute_matched_predictions"].recipe, found["e_cfg"].recipe
    assert control.nodes == costly.nodes and control.cost == costly.cost and control.cell != costly.cell
    assert control.cell.ledger["scale"]["source"] == job().cell.key


@pytest.mark.parametrize("sampler", [Standard(2.0), Zigzag(2.0, lambda_=0)], ids=repr)
def test_standard_sampling_is_its_own_e_cfg(sampler):
    one = job(sampler=sampler)
    assert one.controls(("e_cfg",))["e_cfg"] == one


@pytest.mark.parametrize(
    ("guidance", "gamma1", "steps"), [(CFG(rescale=0.5), 2.0, 10), (CFGpp(), 0.6, 10), (PAG(), 2.0, 15)], ids=repr
)
def test_the_e_cfg_of_another_guidance_is_classifier_free_guidance_at_equal_evaluations(guidance, gamma1, steps):
    recipe = replace(job(sampler=Standard(gamma1)).recipe, guidance=guidance)
    found = recipe.e_cfg()
    assert (found.guidance, found.steps, found.cost.evals) == (CFG(), steps, 2 * steps)
    assert found.cell.ledger["scale"]["source"] == recipe.cell.key


def test_one_step_and_a_network_without_branches_have_no_e_cfg():
    recipe = job(sampler=Standard(0.6)).recipe
    assert replace(recipe, guidance=CFGpp(), steps=1).e_cfg() is None
    assert replace(recipe, guidance=Embedded()).e_cfg() is None


def test_compute_matched_stands_on_uniform_times_over_the_same_range():
    ours, control = job().recipe.nodes, job().controls()["compute_matched_predictions"].recipe.nodes
    assert control.T == 28
    assert (control[0], control[-2], control[-1]) == (ours[0], ours[-2], ours[-1])
    gaps = [a.time - b.time for a, b in itertools.pairwise(control[:-1])]
    assert max(gaps) - min(gaps) < 1e-9


def test_a_ledger_holds_plain_values_only():
    with pytest.raises(TypeError, match="plain values"):
        to_json({"a": object()})


def test_jobs_that_cannot_be_are_refused():
    for fields, message in [
        ({"precision": "bf16"}, "runner.precision=bf16"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 2000}, "steps=2000"),
        ({"size": (4, 4)}, "size=4x4"),
        ({"prompts": ("a red dog",)}, "dog"),
        ({"negative_prompt": "ugly"}, "ugly"),
        ({"sampler": Zigzag(2.0, lambda_=12)}, "lambda=12"),
    ]:
        with pytest.raises(ValueError, match=message):
            job(**fields)
    assert job(prompts=("a red circle", "a red dog"), limit=1).cell == job().cell, "only what is asked for is looked at"
