"""Foresight guidance: its formula by hand, as its authors' code runs, what it costs, and the family that it is of."""

import pytest
import torch

import zz
from tests.make import job
from zz.diffusion.cost import cost
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp
from zz.diffusion.leg import Leg
from zz.diffusion.levels import discrete
from zz.diffusion.network import Guided
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import Prediction, from_eps
from zz.diffusion.probes.step import no_op
from zz.diffusion.samplers.fsg import FSG, NFE_50
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM
from zz.models.mixture import Mixture

T = 8
NODES = Timesteps("leading", 1).nodes(discrete(), T)
X = starting_noise((0, 1), (3, 4, 4)).double()
NOISE = KeyedNoise((0, 1), (3, 4, 4))


def eps(x, time, cond):
    return torch.tanh(x * (1 + cond)) + cond * time / 1000


def net(x, node, *conds):
    return tuple(from_eps(x, node, eps(x, node.time, cond)) for cond in conds)


def sampled(sampler, guidance=None):
    return sampler.sample((guidance or CFG()).bind(net, 0.6, 0.0), X, NODES, DDIM(), NOISE)


def guided(x, time, gamma):
    u, c = eps(x, time, 0.0), eps(x, time, 0.6)
    return u + gamma * (c - u)


def moved(x, noise, source, target):
    return target.alpha * (x - source.sigma * noise) / source.alpha + target.sigma * noise


def by_hand(plan, gamma1, gamma2, scale, final, as_run=False, told="s"):
    x = X
    for i in range(T):
        L, K = plan.get(i, (1, 0))
        t, far = NODES[i], NODES[i + L] if K else None
        for _ in range(K):
            if as_run:
                y = moved(x, guided(x, t.time, gamma1), t, NODES[i + 1])
                x = moved(y, guided(y, far.time, gamma2), NODES[i + L + 1], far)
            else:
                y = moved(x, guided(x, t.time, gamma1), t, far)
                x = moved(y, guided(y, (far if told == "s" else t).time, gamma2), far, t)
        if final == "cfg":
            x = moved(x, guided(x, t.time, gamma1), t, NODES[i + 1])
        else:
            u, mixed = eps(x, t.time, 0.0), guided(x, t.time, scale)
            x = NODES[i + 1].alpha * (x - t.sigma * mixed) / t.alpha + NODES[i + 1].sigma * u
    return x


PLAN = {0: (3, 2), 1: (1, 1), 2: (-1, 1), 4: (4, 1)}
ENTRIES = [[i, *entry] for i, entry in PLAN.items()]


@pytest.mark.parametrize("told", ["s", "t"])
@pytest.mark.parametrize("final", ["cfgpp", "cfg"])
def test_it_is_its_formula(final, told):
    sampler = FSG(3.0, 0.5, 0.7, ENTRIES, final, network_time=told)
    wanted = by_hand(PLAN, 3.0, 0.5, 0.7, final, told=told)
    assert torch.allclose(sampled(sampler), wanted, rtol=0, atol=1e-10)


def test_as_its_authors_code_runs_the_interval_is_not_walked():
    plan = {0: (3, 2), 2: (-1, 1), 4: (3, 1)}
    sampler = FSG(3.0, 0.5, 0.7, [[i, *entry] for i, entry in plan.items()], interval="as_run")
    found = sampled(sampler)
    assert torch.allclose(found, by_hand(plan, 3.0, 0.5, 0.7, "cfgpp", as_run=True), rtol=0, atol=1e-10)
    walked = sampled(FSG(3.0, 0.5, 0.7, [[i, *entry] for i, entry in plan.items()]))
    assert not torch.allclose(found, walked, atol=1e-2)


@pytest.mark.parametrize(
    ("plan", "steps", "predictions"), [("nfe_50", 40, 50), ("nfe_100", 50, 100), ("nfe_150", 50, 146)]
)
def test_its_plans_cost_what_they_are_called_but_the_last(plan, steps, predictions):
    """nfe_150 names two steps twice, and is a dict in the authors' code: 146."""
    sampler, nodes = FSG(5.5, 0.0, plan=plan), Timesteps("leading", 1).nodes(discrete(), steps)
    assert sampler.nfe(steps) == predictions
    found = cost(sampler, CFG(), nodes)
    back = (predictions - steps) // 2
    assert found.predictions == predictions and found.evals == 2 * (predictions - back) + back


class TestFamily:
    @pytest.mark.parametrize("rounds", [1, 2])
    @pytest.mark.parametrize("lambda_", [1, 5, T])
    @pytest.mark.parametrize("time", ["t", "s"])
    def test_with_a_step_of_cfg_it_is_zigzag_to_the_bit(self, lambda_, rounds, time):
        plan = [[i, 1, rounds] for i in range(lambda_)]
        ours = FSG(3.0, 0.5, plan=plan, final="cfg", network_time=time, v_at=time)
        zigzag = Zigzag(3.0, 0.5, lambda_, rounds=rounds, network_time=time, v_at=time)
        assert torch.equal(sampled(ours), sampled(zigzag)) and ours.nfe(T) == zigzag.nfe(T)
        assert ours.resolve(T) == zigzag.resolve(T), "it is the same cell"

    @pytest.mark.parametrize("solver", [zz.DPMpp2M(), zz.EulerAncestral()])
    def test_also_with_solvers_that_remember_or_draw(self, solver):
        denoise, plan = CFG().bind(net, 0.6, 0.0), [[i, 1, 1] for i in range(4)]
        ours = FSG(3.0, 0.0, plan=plan, final="cfg", network_time="t", v_at="t")
        found, wanted = (one.sample(denoise, X, NODES, solver, NOISE) for one in (ours, Zigzag(3.0, 0.0, 4)))
        assert torch.equal(found, wanted)

    def test_without_a_plan_it_is_cfgpp_to_the_bit(self):
        ours = FSG(3.0, 0.0, 0.6, [])
        assert torch.equal(sampled(ours), sampled(Standard(0.6), CFGpp())) and ours.nfe(T) == T
        assert FSG(3.0, plan=[], final="cfg").resolve(T) == Standard(3.0)

    def test_resampling_is_the_member_whose_way_up_is_renoising(self):
        walk = Walk(Guided.of(CFG().bind(net, 0.6, 0.0)), NODES, DDIM(), NOISE, no_op)
        sampler, x = Resampling(3.0), X
        for i in range(T):
            for _ in range(sampler.rounds_at(i, T)):
                x = walk.renoise(walk.down(x, i, 3.0), i)
            x = walk.down(x, i, 3.0)
        assert torch.equal(x, sampled(sampler))

    def test_a_leap_of_one_node_is_a_step(self):
        walk = Walk(Guided.of(CFG().bind(net, 0.6, 0.0)), NODES, DDIM(), NOISE, no_op)
        down = walk.down(X, 2, 3.0)
        assert torch.equal(walk.leap(X, 2, 3, 3.0), down)
        for time, told in (("t", 2), ("s", 3)):
            assert torch.equal(walk.leap(down, 3, 2, 0.5, told, time), walk.up(down, 2, 0.5, 1, time, time))


def test_it_draws_on_the_exact_model():
    settings = {"steps": 40, "output": "latent"}
    found = zz.sample(Mixture(), ["a red circle", "a star"], sampler=FSG(2.0, 0.0), **settings)
    assert found.isfinite().all()
    assert "guidance_matched" not in job(sampler=FSG(2.0, plan=[[0, 2, 1]])).controls()
    assert {"standard", "compute_matched_predictions"} <= job(sampler=FSG(2.0, plan=[[0, 2, 1]])).controls().keys()


def test_of_two_entries_of_a_step_the_later_counts():
    assert FSG(plan=[[3, 1, 2], [0, 1, 1], [3, 2, 1]]).plan == ((0, 1, 1), (3, 2, 1))


def test_a_named_plan_is_stretched_over_other_steps():
    own, half, few = (FSG(final="cfg", gamma2=0.5).resolve(T).plan for T in (40, 20, 8))
    assert own == NFE_50
    assert half == ((0, 2, 2), (2, 2, 2), (8, 2, 1)), "to the nearest node, to the even one of two"
    assert few == ((0, 1, 2), (1, 1, 2), (3, 1, 1))
    for plan in ("nfe_50", "nfe_100", "nfe_150"):
        for T in (1, 2, 3, 5, 7, 13, 100):
            for interval in ("walked", "as_run"):
                assert FSG(plan=plan, interval=interval).nfe(T) >= T


def test_bad_plans_are_one_message():
    for plan, message in (
        ("nfe_9", "sampler.plan=nfe_9 is not known; known are nfe_50, nfe_100, nfe_150, or a list"),
        ([[0, 1]], "must be a list of"),
        ([[0, 0, 1]], "L 1 or more or -1"),
        ([[0, 1, 1.5]], "whole numbers"),
        (3, "must be a list of"),
    ):
        with pytest.raises(ValueError, match=message):
            FSG(plan=plan)
    for plan in ([[7, 2, 1]], [[0, -1, 1]], [[9, 1, 1]]):
        with pytest.raises(ValueError, match=r"leaves the nodes 0\.\.8 of steps=8; raise steps"):
            FSG(plan=plan).nfe(T)
    with pytest.raises(ValueError, match=r"leaves the nodes 0\.\.7"):
        FSG(plan=[[7, 1, 1]], interval="as_run").nfe(T)
    with pytest.raises(ValueError, match="sampler=fsg ends its steps by CFG\\+\\+ of the network's own branches"):
        zz.sample(Mixture(), "a star", sampler=FSG(2.0, plan=[]), guidance=zz.TCFG(), steps=4)


def test_probes_see_where_it_leaps():
    seen = []
    walk = Walk(Guided.of(CFG().bind(net, 0.6, 0.0)), NODES, DDIM(), NOISE, seen.append)
    walk.leap(walk.leap(X, 1, 4, 3.0), 4, 1, 0.0, 4)
    assert [(step.leg, step.source.time, step.target.time) for step in seen] == [
        (Leg.ZIG, NODES[1].time, NODES[4].time),
        (Leg.ZAG, NODES[4].time, NODES[1].time),
    ]
    assert isinstance(seen[0].prediction, Prediction)
