"""Sharing between trajectories that begin alike: the same files, fewer predictions."""

import pytest

from tests.make import files, many, run
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.lab.plan import merged, plan
from zz.lab.sharing import families, savings
from zz.lab.store.store import Store

LAMBDAS = range(0, 51, 5)


def sweep(**fields):
    prompts = {"prompts": ("a red circle", "a blue star", "a green square")}
    return [many(steps=50, sampler=Zigzag(2.0, 0.0, n), **(prompts | fields)) for n in LAMBDAS]


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    [
        pytest.param(None, id="ddim"),
        pytest.param(EulerAncestral(), id="euler_ancestral", marks=pytest.mark.ci),
        pytest.param(DPMpp2M(), id="dpmpp_2m", marks=pytest.mark.ci),
    ],
)
def test_a_sweep_over_lambda_shares_its_beginnings_and_moves_no_bit(store_path, tmp_path, solver):
    jobs = sweep(**({"solver": solver} if solver else {}))
    alone, together = Store(store_path), Store(tmp_path / "together")
    _, apart = run(alone, *jobs, reuse=False)
    _, done = run(together, *jobs, reuse=True)
    for job in jobs:
        assert files(alone, job.cell) == files(together, job.cell)

    def asked(slots):
        predictions = sum(d.predictions - d.shared_predictions for d in slots)
        return predictions, sum(d.evals - d.shared_evals for d in slots)

    assert asked(apart) == (1100, 1925)
    # 425 and 800 where states are shared; ten branches share the branching step's first prediction as well
    assert asked(done) == (415, 780)


def test_the_plan_knows_what_will_be_shared(store_path):
    jobs = sweep()
    found = plan(jobs, len(jobs), Store(store_path))
    assert (found.predictions, found.evals) == (3 * 415, 3 * 780)
    assert (found.saved.predictions, found.saved.evals) == (3 * 685, 3 * 1145)
    assert len(families(merged(jobs))) == 1
    whole, spared = [3 * job.recipe.cost.evals for job in found.jobs], [cost.evals for cost in found.shared]
    assert [cost.evals for cost in found.costs] == [a - b for a, b in zip(whole, spared, strict=True)]
    alone = plan(jobs, len(jobs), Store(store_path), share=False)
    assert (alone.predictions, alone.evals, alone.saved) == (3 * 1100, 3 * 1925, (0, 0))


@pytest.mark.ci
def test_several_workers_share_too(store_path, tmp_path):
    jobs = [many(steps=10, sampler=Zigzag(2.0, 0.0, n)) for n in (0, 3, 9)]
    one, two = Store(store_path), Store(tmp_path / "two")
    run(one, *jobs, batch_size=4)
    assert run(two, *jobs, batch_size=4, devices=2)[0] == 0
    for job in jobs:
        assert files(one, job.cell) == files(two, job.cell)


def test_a_grid_of_gamma2_and_lambda_shares_over_lambda(store_path, tmp_path):
    grid = [many(steps=10, sampler=Zigzag(2.0, g, n), limit=3) for n in (2, 6, 9) for g in (0.0, 0.5, 1.5)]
    jobs = [*grid, many(steps=10, sampler=EndToEnd(2.0), limit=3), many(steps=10, sampler=Standard(2.0), limit=3)]
    alone, together = Store(store_path), Store(tmp_path / "together")
    run(alone, *jobs, reuse=False)
    _, done = run(together, *jobs)
    for job in jobs:
        assert files(alone, job.cell) == files(together, job.cell)
    counted = sum(d.shared_predictions for d in done)
    # by hand: each gamma2 shares 3 * 2 + 1 and 3 * 6 + 1 with its own lambda = 9, and the later two gammas their first
    # zig with the trunk before; end_to_end likewise; standard is end_to_end's first way down
    assert counted == 3 * (7 + 19) + 2 + 1 + 10
    assert plan(jobs, len(jobs), Store(tmp_path / "none")).saved.predictions == 3 * counted


def test_only_what_begins_alike_is_shared():
    end_to_end, standard = many(sampler=EndToEnd(2.0)), many(sampler=Standard(2.0))
    assert savings([end_to_end, standard])[1].predictions == standard.recipe.cost.predictions  # its first way down
    assert savings([many(sampler=Zigzag(2.0, 0.0)), many(sampler=Zigzag(2.0, 1.0))])[1] == (1, 2)  # the first zig
    assert savings([many(sampler=Zigzag(2.0, 0.0)), many(sampler=Zigzag(3.0, 0.0))])[1] == (0, 0)
    assert savings([many(sampler=Resampling(2.0, 3, 2)), many(sampler=Resampling(2.0, 3, 1))])[1] == (2, 4)
    assert len(families([standard, many(sampler=Standard(2.0), seed=1)])) == 2
    assert len(families([standard, end_to_end, many(sampler=Standard(2.0), limit=3)])) == 1
    assert len(families([standard, many(sampler=Standard(2.0), prompts=("a red circle",))])) == 2
