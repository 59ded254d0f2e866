"""A cell's key: what the pictures are of, and nothing else."""

from dataclasses import replace

import pytest

from zz.diffusion.ays import AYS
from zz.diffusion.curve import discrete
from zz.diffusion.guidance import CFG
from zz.diffusion.karras import Karras
from zz.diffusion.samplers import EndToEnd, Standard, Zigzag
from zz.diffusion.solvers import DDIM, DPMpp2M, EulerAncestral, NoisyInversion
from zz.diffusion.spacing import Explicit, Own, Timesteps, Uniform
from zz.lab.cell import Cell, plain
from zz.lab.planner import Job, merged
from zz.models.mixture import Mixture


def job(**fields):
    defaults = {
        "sampler": Zigzag(2.0, 0.0),
        "solver": DDIM(),
        "steps": 10,
        "model": Mixture(),
        "guidance": CFG(),
        "spacing": Own(),
        "size": (32, 32),
        "seed": 0,
        "negative_prompt": None,
        "precision": "32",
        "dataset": "inline",
        "digest": "0",
        "prompts": ("a red circle", "a blue star", "a green square"),
        "wanted": 3,
    }
    return Job(**(defaults | fields)).resolved()


EQUAL = {
    "whole floats are ints": (job(sampler=Zigzag(2, 0)), job(sampler=Zigzag(2.0, 0.0))),
    "lambda null is T - k": (job(), job(sampler=Zigzag(2.0, 0.0, 9))),
    "lambda 0 is standard": (job(sampler=Zigzag(2.0, 1.0, 0)), job(sampler=Standard(2.0))),
    "k 0 is standard": (job(sampler=Zigzag(2.0, 1.0, k=0)), job(sampler=Standard(2.0))),
    "limit is not identity": (job(wanted=1), job(wanted=3)),
    "the dataset's name is not identity": (job(dataset="inline"), job(dataset="text")),
    "recommendations are not identity": (job(model=Mixture(gamma1=9.0, steps=3, batch_size=1)), job()),
    "an error of 0 is none": (job(solver=NoisyInversion(error=0.0)), job()),
    "eta 0 is DDIM": (job(solver=EulerAncestral(eta=0.0)), job()),
    "the model's own nodes, spelled out": (job(spacing=Timesteps("leading", 1)), job()),
    "the model's own nodes, listed": (job(spacing=Explicit(tuple(range(901, 0, -100)))), job()),
    "the model's own nodes, spread over as many": (job(spacing=Uniform(Own(), 10)), job()),
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
    "schedule": job(spacing=Timesteps("trailing", 0)),
    "final node": job(spacing=Timesteps("leading", 1, "clean")),
    "offset": job(spacing=Timesteps("leading", 2)),
    "ays": job(spacing=AYS()),
    "table": job(spacing=AYS("sdxl")),
    "karras": job(spacing=Karras()),
    "steps": job(steps=11),
    "size": job(size=(32, 48)),
    "seed": job(seed=1),
    "negative prompt": job(negative_prompt="red"),
    "empty negative prompt": job(negative_prompt=""),
    "prompts": job(digest="1"),
    "model": job(model=Mixture(std=0.2)),
    "prediction": job(model=Mixture(prediction="v")),
}


@pytest.mark.parametrize("why", EQUAL)
def test_equal_pictures_have_one_cell(why):
    one, other = EQUAL[why]
    assert one.cell.key == other.cell.key and len(merged([one, other])) == 1


def test_a_spacing_may_fit_where_the_models_own_does_not():
    """1000 leading steps with offset 1 ask for timestep 1000."""
    trailing = Timesteps("trailing", 0, "clean")
    assert job(spacing=trailing, steps=1000).spacing == trailing
    with pytest.raises(ValueError, match="asks for timestep 1000"):
        job(steps=1000)


def test_whatever_moves_numbers_moves_the_key():
    half = replace(job(), precision="bf16")
    keys = [job().cell.key, half.cell.key] + [one.cell.key for one in DIFFERENT.values()]
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
    assert len({job(model=Mixture(curve=curve)).cell.key for curve in curves}) == 2
    assert job().cell.ledger["model"]["curve"]["abar"].startswith("sha256:")


def test_every_ledger_bears_its_format():
    assert job().cell.ledger["format"] == 1 == Cell.of(sampler=Standard()).ledger["format"]


def test_merging_keeps_the_most_prompts_asked_for():
    (one,) = merged([job(wanted=1), job(wanted=3), job(wanted=2)])
    assert one.wanted == 3


def test_controls_are_what_they_are_called():
    controls = job(sampler=Zigzag(2.0, 0.0)).controls()
    assert list(controls) == [
        "standard",
        "guidance_matched",
        "compute_matched (predictions)",
        "compute_matched (rows)",
    ]
    assert controls["standard"].cell == job(sampler=Standard(2.0)).cell
    ours = job().cost
    assert controls["compute_matched (predictions)"].cost.predictions == ours.predictions == 28
    assert 0 <= controls["compute_matched (rows)"].cost.rows - ours.rows < 2
    assert job(sampler=Standard(2.0)).controls() == {}
    assert "guidance_matched" not in job(sampler=EndToEnd(2.0)).controls()
    assert "guidance_matched" not in job(guidance=CFG(rescale=0.5)).controls()


def test_compute_matched_stands_on_uniform_times_over_the_same_range():
    ours, control = job().schedule, job().controls()["compute_matched (predictions)"].schedule
    assert control.T == 28
    assert (control.nodes[0], control.nodes[-2], control.nodes[-1]) == (ours.nodes[0], ours.nodes[-2], ours.nodes[-1])
    gaps = [a.time - b.time for a, b in zip(control.nodes, control.nodes[1:-1], strict=False)]
    assert max(gaps) - min(gaps) < 1e-9


def test_a_ledger_holds_plain_values_only():
    with pytest.raises(TypeError, match="plain values"):
        plain({"a": object()})


def test_jobs_that_cannot_be_are_refused():
    for fields, message in [
        ({"precision": "bf16"}, "runner.precision=bf16"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 2000}, "steps=2000"),
        ({"size": (4, 4)}, "size=4x4"),
        ({"prompts": ("a red dog",), "wanted": 1}, "dog"),
        ({"negative_prompt": "ugly"}, "ugly"),
        ({"sampler": Zigzag(2.0, lambda_=12)}, "lambda=12"),
    ]:
        with pytest.raises(ValueError, match=message):
            job(**fields)
    assert replace(job(), wanted=1).cell == job().cell
