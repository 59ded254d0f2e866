"""Intervals and winning rates against numbers worked out elsewhere."""

import math

import numpy as np
import pytest
import scipy.linalg

from zz.lab.stats import TIE, holm, jackknife, mean, proportion, student, winning
from zz.scorers.diversity import spread
from zz.scorers.frechet import frechet, moments


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [  # Wilson's interval for a hundred pairs, as published tables of winning rates would need it
        (61, 100, 0.5120, 0.6998),
        (75, 100, 0.6569, 0.8246),
        (94, 100, 0.8752, 0.9722),
        (0, 56, 0.0, 0.0642),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_wilson(wins, n, low, high):
    found = proportion(wins, n)
    assert found.value == wins / n
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_student():
    """By hand: mean 2.5, s = 1.29099, t(.975, 3) = 3.18245, half = t s / 2."""
    found = mean([1, 2, 3, 4])
    assert found.value == 2.5
    assert found.high - found.value == pytest.approx(3.18245 * 1.290994 / 2, abs=1e-4)
    assert math.isnan(mean([]).value) and mean([7.0]) == (7.0, -math.inf, math.inf)


def test_ties_count_one_half_and_pairs_are_matched_by_prompt():
    ours = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 9: 100.0}
    theirs = {0: 0.0, 1: 2.0 + TIE / 2, 2: 5.0, 3: 3.0, 8: -100.0}
    found = winning(ours, theirs)
    assert (found.n, found.win, found.tie, found.loss) == (4, 2, 1, 1)
    assert found.rate.value == 2.5 / 4
    assert found.difference.value == pytest.approx((1 + 0 - 2 + 1) / 4, abs=1e-6)
    assert found.p == 1.0  # two of three, both sides


def test_the_sign_test_leaves_ties_out():
    """Ten wins, no loss: 2 / 2^10, however many ties there are."""
    ours = {i: float(i < 10) for i in range(30)}
    assert winning(ours, dict.fromkeys(range(30), 0.0)).p == pytest.approx(2 / 2**10)


def test_lower_may_be_better():
    found = winning({0: 1.0, 1: 1.0}, {0: 2.0, 1: 3.0}, higher_is_better=False)
    assert (found.win, found.loss, found.rate.value) == (2, 0, 1.0)
    assert found.difference.value == -1.5  # as the scores are, ours less theirs


def test_nothing_moved_is_one_half():
    """The paper's Figure 9 has 50 % at lambda = 0, where both pictures are one."""
    scores = {i: i / 7 for i in range(20)}
    found = winning(scores, dict(scores))
    assert found.rate.value == 0.5 and found.tie == 20 and found.p == 1.0


def test_frechet_is_the_formula_of_normal_distributions():
    """Against the matrix root itself, and by hand: equal covariances leave the means' squared distance."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 6)), 0.5 + rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6))
    s1, s2 = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * root)
    assert frechet(moments(a), moments(b)) == pytest.approx(wanted, rel=1e-9)
    assert frechet(moments(a), moments(a + 2)) == pytest.approx(6 * 4)
    assert frechet(moments(a), moments(a)) == pytest.approx(0, abs=1e-9)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(1).normal(size=20)
    found, wanted = jackknife(lambda kept: float(x[kept].mean()), 20), mean(x)
    assert found.value == wanted.value and found.high == pytest.approx(wanted.high)


def test_spread_is_within_a_group_only():
    features = np.array([[0.0], [3.0], [100.0], [101.0], [103.0], [9.0]])
    found = spread(features, ["a", "a", "b", "b", "b", "alone"])
    assert found.value == pytest.approx((3 + (1 + 3 + 2) / 3) / 2)


def test_holm_by_hand():
    """Sorted .005 .01 .03 .04 times 4 3 2 1 are .02 .03 .06 .04, and none may be below the one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_student_agrees_with_the_interval_of_the_mean():
    """By hand: mean 2.5, standard error .6455, t = 3.873 on 3 degrees of freedom, between the tables' .05 and .02."""
    assert student([1, 2, 3, 4]) == pytest.approx(0.0305, abs=1e-4)
    for seed in range(20):
        x = np.random.default_rng(seed).normal(0.5, size=12)
        low, high = mean(x)[1:]
        assert (student(x) < 0.05) == (low > 0 or high < 0)
    assert student([0, 0, 0]) == 1.0 and student([1, 1, 1]) == 0.0 and student([5.0]) == 1.0
