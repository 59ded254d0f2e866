"""What the paper's experiments take, without weights or prompts: they compose at every scale and can be counted."""

import math
from dataclasses import replace
from functools import cache
from itertools import islice

import pytest
from hydra.utils import get_object

import zz.plan
import zz.run
from zz.cli.compose import composed
from zz.cli.costing import costs, lacking, networks, rows
from zz.cli.experiment import PAPER, cells_of, find, known, stands_for
from zz.cli.request import request
from zz.data.parti import HUNDRED
from zz.experiments.speed.flops import NETWORKS
from zz.lab.costing import Tally, bill

SCALED = tuple(name for name in known() if find(name).scales)
SMALL = ("figure_23", "table_02", "table_13")  # composed apart, for tests that are not slow
LAMBDA, T = 49, 50  # of Table 2


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@cache
def every(scale, names=SCALED):
    """The configs of each experiment at a scale, all composed at once, which is where the time goes."""
    words = {name: cells_of(name, [f"scale={scale}", "store=nowhere"]) for name in names}
    found = iter(list(composed([cell for cells in words.values() for cell in cells], "plan")))
    return {name: list(islice(found, len(cells))) for name, cells in words.items()}


@cache
def counted(*names):
    """The bill of some experiments at the paper's scale."""
    found = every("paper", SMALL if {*names} <= {*SMALL} else SCALED)
    return bill({name: [job for some in rows(found[name]) for job in some] for name in names}, networks())


def same(one, other):
    """Whether two tallies agree, operations to rounding."""
    return replace(one, tflops=0) == replace(other, tflops=0) and one.tflops == pytest.approx(other.tflops, abs=1e-6)


@pytest.mark.parametrize("scale", ["smoke", pytest.param("mini", marks=pytest.mark.ci)])
def test_every_experiment_of_the_paper_can_be_made_on_what_is_embedded(scale, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, found in every(scale).items():
        if found:
            asked = request(found)
            assert len(asked.jobs) == len(found) and asked.manifest.scale == scale, name
            assert asked.plan.images == sum(job.wanted for job in asked.plan.jobs) > 0, name


@pytest.mark.ci
def test_every_experiment_of_the_paper_can_be_counted():
    for name in SCALED:
        found = counted(name)
        assert (found.once.cells > 0) == bool(find(name).cells) and math.isfinite(found.once.tflops), name
        assert found.merged == Tally() and same(found.each - found.shared, found.once), name


def test_table_2_by_hand():
    """Standard sampling, resampling once and twice, zigzag twice; its controls, of which standard is there."""
    predictions = T + (T + LAMBDA) + (T + 2 * LAMBDA) + 2 * (T + 2 * LAMBDA)  # what is asked for
    evals = 2 * (T + (T + LAMBDA) + (T + 2 * LAMBDA)) + 2 * (2 * (T + LAMBDA) + LAMBDA)  # gamma2 = 0 is one branch
    steps = (T, T + 2 * LAMBDA, round((2 * (T + LAMBDA) + LAMBDA) / 2))  # guidance matched, and at equal compute
    predictions, evals = predictions + sum(steps), evals + 2 * sum(steps)
    found = counted("table_02").each
    assert (found.cells, found.images) == (8, 8 * 553)
    assert (found.predictions, found.evals) == (553 * predictions, 553 * evals)
    assert found.hours(125) == pytest.approx(553 * (evals * 6.7612 + 8 * 10.4704) / 125 / 3600)


def test_the_same_pictures_are_made_once():
    """Figure 23 shows the pictures of Table 13; Table 2 shares none with it."""
    alone, other = counted("table_13"), counted("table_02")
    both = counted("figure_23", "table_02", "table_13")
    assert same(both.merged, alone.each) and same(both.shared, alone.shared + other.shared)
    assert same(both.once, alone.once + other.once) and same(both.each - both.merged - both.shared, both.once)


def test_what_is_known_of_prompt_sets_is_what_they_have():
    known_sets = costs()["prompts"]
    found = composed([[f"dataset={name}"] for name in known_sets])
    sets = {name: config.dataset for name, config in zip(known_sets, found, strict=True)}
    assert sets["pickapic"].first == known_sets["pickapic"]
    assert sets["parti"].hundred and len(HUNDRED) == known_sets["parti"]
    for name in set(sets) - {"pickapic", "pickapic_500", "parti"}:
        assert get_object(sets[name]._target_).count == known_sets[name]


@pytest.mark.ci
@pytest.mark.parametrize("name", NETWORKS)
def test_operations_are_counted_anew(name):
    said, network = networks()[name], NETWORKS[name]
    assert (said.size, said.frames) == ((network.side, network.side), network.frames)
    assert (said.evaluation, said.decoding) == (network.evaluation, network.decoding)


def test_models_that_are_counted_are_those_in_the_file():
    assert networks().keys() == NETWORKS.keys()


def test_a_plan_of_the_paper_needs_nothing(cli):
    code, out, err = cli("experiment=table_02", "scale=paper", "tflops=50", command=zz.plan)
    assert code == 0, err
    assert "counted without sdxl, geneval, not on this machine" in out
    assert "5 cells asked for, 3 controls beside them; 4,424 images to make, 0 there already" in out
    assert "Zigzag gamma1=5.5 gamma2=0 lambda=49 T=50 [sdxl, geneval]" in out and "at tflops=50 a second" in out
    assert lacking(every("smoke", SMALL)["table_02"]) == []


def test_evaluations_in_an_interval_are_said_to_be_approximate(cli):
    _, out, _ = cli("experiment=figure_19", "scale=paper", "guidance=interval", "limit=1", command=zz.plan)
    assert "guidance=interval are approximate" in out


@pytest.mark.ci
def test_all_of_the_paper_at_once(cli, store_path):
    code, out, err = cli(f"experiment={PAPER}", "scale=smoke", command=zz.plan)
    assert code == 0, err
    heads = [line.split("┃")[0].split("│")[0].strip() for line in out.splitlines()]
    assert [head for head in heads if head in SCALED] == [*SCALED] == stands_for(PAPER)
    assert {"each alone", "cells of several, made once", "trajectories that begin alike"} <= set(heads)
    assert "no GPU hours: experiments/costs.yaml does not say what they take: shapes" in out
    assert not store_path.exists()


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (zz.plan, ["experiment=table_02", "tflops=0"], "tflops=0 must be above 0: what one GPU sustains, in TFLOP/s"),
        (zz.plan, ["experiment=table_02", "tflops=many"], "tflops='many' must be a finite number"),
        (zz.plan, ["experiment=table_02", "dataset=hpdv2"], "experiments/costs.yaml does not say how many prompts"),
        (zz.plan, ["experiment=table_02", "dataset.where.tag=counting"], "asks what geneval says of its prompts"),
        (zz.plan, ["experiment=papr"], "experiment=papr is not known (did you mean paper?)"),
        (zz.plan, ["experiment=paper", "scale=papr"], "scale=papr is not known (did you mean paper?)"),
        (zz.run, ["tflops=5"], "tflops is not known"),
    ],
)
def test_what_is_refused(cli, command, words, said):
    code, out, err = cli(*words, command=command)
    assert code == 2 and said in err and err.count("\n") == 1 and not out
