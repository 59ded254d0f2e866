"""Counted cost: guided predictions and network rows, against what every sampler and guidance states."""

import pytest
import torch

from zz.diffusion.compute_matched import compute_matched
from zz.diffusion.cost import Cost, cost
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.levels import discrete
from zz.diffusion.noise import KeyedNoise
from zz.diffusion.prediction import from_eps
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.fixed_point import FixedPoint
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.reflection import Reflection
from zz.diffusion.samplers.repaint import RePaint
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM

T = 10
SCHEDULE = Timesteps("leading", 1).nodes(discrete(), T)


class Net:
    """Counts the rows that it is really asked for."""

    def __init__(self):
        self.rows = 0

    def __call__(self, x, node, *conds):
        self.rows += len(conds)
        return tuple(from_eps(x, node, torch.tanh(x + c)) for c in conds)


# sampler, predictions and rows written out by hand for T = 10: gammas 0 and 1 need one row, others two
CASES = [
    (Standard(5.5), 10, 20),
    (Standard(1.0), 10, 10),
    (Standard(0.0), 10, 10),
    (Zigzag(5.5, 0.0), 10 + 2 * 9, 2 * 10 + 3 * 9),
    (Zigzag(5.5, 1.0, 4), 10 + 2 * 4, 2 * 10 + 3 * 4),
    (Zigzag(5.5, 2.0, 4), 10 + 2 * 4, 2 * 10 + 4 * 4),
    (Zigzag(1.0, 0.0), 10 + 2 * 9, 10 + 2 * 9),
    (Zigzag(5.5, 0.0, 4, k=3), 10 + 2 * 3 * 4, 2 * 10 + 3 * 3 * 4),
    (Zigzag(5.5, 0.0, 4, rounds=3), 10 + 2 * 3 * 4, 2 * 10 + 3 * 3 * 4),
    (Zigzag(5.5, 0.0, 10), 10 + 2 * 10, 2 * 10 + 3 * 10),
    (Zigzag(5.5, 0.0, 9, inversion="ref_0_22"), 10 + 2 * 9, 2 * 10 + 3 * 9),
    (EndToEnd(5.5, 0.0), 30, 2 * 20 + 10),
    (Resampling(5.5), 10 + 9, 2 * 19),
    (Resampling(5.5, 5, 2), 10 + 10, 2 * 20),
    (ImplicitZigzag(5.5, 0.0), 10 + 9, 2 * 19),
    (ImplicitZigzag(1.0, 0.0, 4), 10 + 4, 10 + 2 * 4),  # a look takes both branches, the step at 1 takes one
    (ImplicitZigzag(5.5, 0.0, 4, rounds=3), 10 + 3 * 4, 2 * (10 + 3 * 4)),
    (ImplicitZigzag(5.5, 0.0, gap="last"), 10 + 1, 2 * 11),
    (ImplicitZigzag(5.5, 0.0, 4, rounds=3, gap="last"), 10 + 1, 2 * 11),
    (ImplicitZigzag(1.0, 0.0, 4, gap="last"), 10 + 1, 2 * 4 + 7),  # a look for each reflection, then steps of one row
    (ImplicitZigzag(5.5, 5.5), 10, 20),  # nothing to reflect
    (FixedPoint(5.5, 0.0, iterations=4), 10 + 6 * 9, 2 * 10 + (2 + 1 + 4) * 9),
    (FixedPoint(5.5, 2.0, 4, rounds=2, iterations=1), 10 + 3 * 2 * 4, 2 * (10 + 3 * 2 * 4)),
    (Reflection(5.5, None, 1.0), 10 + 2 * 9, 2 * 10 + 3 * 9),
    (Reflection(5.5, 1.0, 0.0, 4, rounds=2), 10 + 2 * 2 * 4, 2 * 10 + 2 * 2 * 4),
    (RePaint(5.5, 3, 4), 10 + 3 * 3 * 3, 2 * (10 + 27)),  # nodes 9, 6 and 3 are jumped back from, 3 times 3 nodes each
    (RePaint(1.0, 10, 10), 10, 10),
    (GuidanceMatched(5.5, 0.0), 10, 20),
    (GuidanceMatched(0.5, 0.0, 4), 10, 4 * 1 + 6 * 2),  # 2 * .5 - 0 = 1 asks for one row
]


@pytest.mark.parametrize(("sampler", "predictions", "rows"), CASES, ids=[repr(c[0]) for c in CASES])
def test_counted_cost(sampler, predictions, rows):
    net, steps = Net(), []
    guided = CFG().bind(net, 0.5, 0.0)
    sampler.sample(guided, torch.zeros(2, 1, 2, 2), SCHEDULE, DDIM(), KeyedNoise((0, 1), (1, 2, 2)), steps.append)
    assert len(steps) == sampler.nfe(T) == predictions
    assert net.rows == rows
    assert cost(sampler, CFG(), SCHEDULE) == (predictions, rows)


def test_compute_matched_rounds_rows_up_to_whole_steps():
    total = cost(Zigzag(5.5, 0.0), CFG(), SCHEDULE)
    assert total == (28, 47)
    for gamma, steps in ((5.5, 24), (1.0, 47)):
        assert compute_matched(
            total, lambda n, g=gamma: cost(Standard(g), CFG(), Timesteps("leading", 1).nodes(discrete(), n))
        ) == (28, steps)


def test_compute_matched_searches_where_steps_do_not_cost_the_same():
    """Two rows in the first half of the steps, one after: 47 rows take 32 steps (16 * 2 + 16 = 48), not 31 (46)."""
    found = compute_matched(Cost(28, 47), lambda n: Cost(n, 2 * (n // 2) + n - n // 2))
    assert found == (28, 32)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_one_branch_is_just_that_branch(gamma):
    x = torch.randn(2, 1, 2, 2)
    node = SCHEDULE[3]
    only = CFG().bind(Net(), 0.5, 0.0)(x, node, gamma, Leg.ZIG)
    assert torch.equal(only.eps, torch.tanh(x + 0.5 * gamma))


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Zigzag(lambda_=12), "lambda=12.*steps=10.*0..10"),
        (Zigzag(lambda_=10, inversion="ref_0_22"), "lambda=10.*ref_0_22.*0..9"),
        (Zigzag(lambda_=9, k=3), "lambda=9.*k=3.*0..8"),
        (Zigzag(k=11), "k=11.*steps=10"),
        (GuidanceMatched(lambda_=11), "lambda=11"),
        (Resampling(lambda_=11), "lambda=11"),
        (ImplicitZigzag(lambda_=11), "lambda=11.*0..10"),
        (FixedPoint(lambda_=11), "lambda=11.*0..10"),
        (Reflection(lambda_=11), "lambda=11.*0..10"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused_with_its_bounds(sampler, message):
    with pytest.raises(ValueError, match=message):
        sampler.nfe(T)
    with pytest.raises(ValueError, match=message):
        sampler.sample(lambda x, n, g, leg: None, torch.zeros(1, 1, 1, 1), SCHEDULE, DDIM(), None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Zigzag(lambda_=-1), "lambda=-1"),
        (lambda: Zigzag(k=-1), "k=-1"),
        (lambda: Zigzag(rounds=1.5), "rounds=1.5"),
        (lambda: Zigzag(gamma1=float("nan")), "gamma1=nan"),
        (lambda: Zigzag(gamma2=float("inf")), "gamma2=inf"),
        (lambda: Zigzag(inversion="wrong"), "inversion='wrong'.*exact, ref_0_22"),
        (lambda: Zigzag(network_time="u"), "network_time='u'"),
        (lambda: Zigzag(v_at="u"), "v_at='u'"),
        (lambda: EndToEnd(gamma2="zero"), "gamma2='zero'"),
        (lambda: Resampling(resamples=-2), "resamples=-2"),
        (lambda: ImplicitZigzag(gap="next"), "sampler.gap='next'.*own, last"),
        (lambda: ImplicitZigzag(rounds=-1), "rounds=-1"),
        (lambda: Reflection(gamma_strong="much"), "sampler.gamma_strong='much'"),
        (lambda: FixedPoint(iterations=0.5), "iterations=0.5"),
        (lambda: CFG(rescale=2), "guidance.rescale=2"),
        (lambda: CFG(rescale_on="y"), "guidance.rescale_on='y'"),
    ],
)
def test_impossible_fields_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
