"""Intervals and winning rates against numbers worked out elsewhere."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from zz.experiments.beyond.coverage import cells, covered
from zz.lab.stats import TIE, holm, jackknife, mean, proportion, score_test, share, student, winning
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


def test_a_proportion_of_nothing_is_anything_and_one_of_too_many_is_refused():
    assert math.isnan(proportion(0, 0).value) and proportion(0, 0)[1:] == (0, 1)
    for wrong in (-1, 6, math.nan):
        with pytest.raises(ValueError, match="of n=5: must be from 0 to n"):
            proportion(wrong, 5)


def pairs(win, tie, loss):
    """Scores of ours and theirs with so many wins, ties and losses."""
    return dict(enumerate([2.0] * win + [1.0] * tie + [0.0] * loss)), dict.fromkeys(range(win + tie + loss), 1.0)


def tango(win, loss, n):
    """Tango (1998), equations 6 to 8: the ends of the score interval of (win - loss) / n."""

    def z(delta):
        b = -win - loss + (2 * n - win + loss) * delta
        q = (math.sqrt(b * b + 8 * n * loss * delta * (1 - delta)) - b) / (4 * n)  # the constrained P(loss)
        return (win - loss - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))

    middle, edge = (win - loss) / n, 1 - 1e-12
    return (
        scipy.optimize.brentq(lambda x: z(x) - 1.959964, -edge, middle),
        scipy.optimize.brentq(lambda x: z(x) + 1.959964, middle, edge),
    )


@pytest.mark.parametrize(
    ("win", "tie", "loss"), [(29, 159, 12), (61, 0, 39), (3, 90, 7), (1, 500, 2), (300, 100, 153), (2, 1, 1)]
)
def test_the_interval_of_a_winning_rate_is_tangos_and_its_test_mcnemars(win, tie, loss):
    found, n = winning(*pairs(win, tie, loss)), win + tie + loss
    assert (found.n, found.win, found.tie, found.loss) == (n, win, tie, loss)
    assert found.rate.value == pytest.approx((win + tie / 2) / n, abs=1e-12)
    assert found.rate[1:] == pytest.approx([(1 + x) / 2 for x in tango(win, loss, n)], abs=1e-7)
    assert found.p == pytest.approx(math.erfc(abs(win - loss) / math.sqrt(2 * (win + loss))), rel=1e-6)


def test_ties_vary_less_than_coin_throws_and_without_them_it_is_wilsons():
    assert winning(*pairs(29, 159, 12)).rate == pytest.approx((0.5425, 0.5116, 0.5747), abs=1e-4)
    assert proportion(29 + 159 / 2, 200)[1:] == pytest.approx((0.47, 0.61), abs=5e-3)
    for win, loss in ((61, 39), (20, 0), (0, 7), (1, 0)):
        assert winning(*pairs(win, 0, loss)).rate == proportion(win, win + loss)


@pytest.mark.parametrize("n", [1, 2, 20, 553])
def test_nothing_but_ties_is_one_half_as_sure_as_their_number(n):
    """No pair moved: z^2 / (n + z^2) is the largest |win - loss| / n that is not rejected."""
    found, half = winning(*pairs(0, n, 0)), 1.959964**2 / (n + 1.959964**2) / 2
    assert found.rate == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=1e-6)
    assert found.p == 1 and found.difference.value == 0


def test_of_no_pair_or_one_there_is_a_value():
    none = winning({0: 1.0}, {1: 1.0})
    assert none[:4] == (0, 0, 0, 0) and math.isnan(none.rate.value) and none.rate[1:] == (0, 1) and none.p == 1
    one = winning(*pairs(1, 0, 0))
    assert one.rate.value == 1 and one.rate.low < 0.5 and one.p > 0.3 and one.difference.low == -math.inf


def test_zero_or_one_on_all_prompts_alike_is_no_certainty():
    """Student's interval of four equal differences would be a point."""
    ours, theirs = dict.fromkeys(range(4), 1.0), dict.fromkeys(range(4), 0.0)
    assert winning(ours, theirs).difference == pytest.approx((1, 2 * 0.51011 - 1, 1), abs=1e-4)
    assert winning(theirs, ours, higher_is_better=False).difference == pytest.approx(
        (-1, -1, 1 - 2 * 0.51011), abs=1e-4
    )
    assert winning(ours, ours).difference == pytest.approx((0, -0.48990, 0.48990), abs=1e-4)


def test_ties_count_one_half_and_pairs_are_matched_by_prompt():
    ours = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 9: 100.0}
    theirs = {0: 0.0, 1: 2.0 + TIE / 2, 2: 5.0, 3: 3.0, 8: -100.0}
    found = winning(ours, theirs)
    assert (found.n, found.win, found.tie, found.loss) == (4, 2, 1, 1)
    assert found.rate.value == 2.5 / 4
    assert found.difference.value == pytest.approx((1 + 0 - 2 + 1) / 4, abs=1e-6)
    assert found.p == pytest.approx(math.erfc(1 / math.sqrt(2 * 3)))


def test_prompts_are_the_units_however_many_seeds_they_have():
    ours, theirs = pairs(29, 159, 12)
    one = winning(ours, theirs)
    four = winning({i: (x,) * 4 for i, x in ours.items()}, {i: (x,) * 4 for i, x in theirs.items()})
    assert (four.n, four.win, four.tie, four.loss) == (200, 116, 636, 48), "pairs of pictures"
    assert (four.rate, four.difference, four.p) == (one.rate, one.difference, one.p), (
        "seeds that agree say nothing more"
    )


def test_the_wins_of_a_prompt_are_averaged_over_the_seeds_that_both_have():
    """5/6, 1/2 and 1: two wins and a tie, one of each, three wins. The fourth seed of ours has no pair."""
    ours = {0: (1, 1, 0, 9), 1: (-1, 1, 0, 9), 2: (1, 1, 1, -9)}
    theirs = {0: (0, 0, 0), 1: (0, 0, 0), 2: (0, 0, 0)}
    found = winning(ours, theirs)
    assert (found.n, found.win, found.tie, found.loss) == (3, 6, 2, 1)
    assert found.rate.value == pytest.approx((5 / 6 + 1 / 2 + 1) / 3)
    assert found.rate == pytest.approx(share([5 / 6, 1 / 2, 1]))
    assert found.p == pytest.approx(score_test([5 / 6, 1 / 2, 1]))
    assert found.difference == pytest.approx(mean([2 / 3, 0, 1]))


@pytest.mark.parametrize("x", [[0, 0.25, 0.25, 0.75, 1, 1], [0.5] * 9 + [0.75], [0.2, 0.4, 0.9], [1.0] * 5])
def test_an_end_of_a_share_is_where_its_likeliest_distribution_is_just_rejected(x):
    """The likeliest distribution of a given mean, found by a general optimizer."""
    values, n = sorted({*x, 0, 1}), len(x)
    counts = np.array([x.count(v) for v in values])
    found = share(x)
    for end in {found.low, found.high} - {0.0, 1.0}:
        best = scipy.optimize.minimize(
            lambda p: -(counts * np.log(p + 1e-300)).sum(),
            np.full(len(values), 1 / len(values)),
            bounds=[(0, 1)] * len(values),
            constraints=[
                {"type": "eq", "fun": lambda p: p.sum() - 1},
                {"type": "eq", "fun": lambda p, end=end: p @ values - end},
            ],
            options={"ftol": 1e-13, "maxiter": 1000},
        )
        variance = best.x @ (np.array(values) - end) ** 2
        assert abs(found.value - end) == pytest.approx(1.959964 * math.sqrt(variance / n), rel=2e-3)


@pytest.mark.parametrize("seeds", [1, 4])
def test_the_interval_leaves_a_value_out_where_its_p_is_below_05(seeds):
    rng, seen = np.random.default_rng(0), set()
    for n in (3, 12, 60):
        for _ in range(60):
            x = (rng.choice([0, 0.5, 1], (n, seeds), p=rng.dirichlet((1, 1, 1)))).mean(1)
            null = rng.choice([0.3, 0.5, 0.8])
            low, high = share(x)[1:]
            assert (not low <= null <= high) == (score_test(x, null) < 0.05)
            seen.add(score_test(x, null) < 0.05)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("prompts", "wins", "ties", "seeds"), [(60, 0.5, 0.8, 1), (60, 0.75, 0.4, 4), (200, 0.9, 0.8, 1), (200, 0.5, 0, 4)]
)
def test_coverage_of_a_few_cells(prompts, wins, ties, seeds):
    """Within 4 standard errors of 95 %: ties taken for coin throws have 99.9 %, seeds taken for prompts 88 %."""
    found = covered(prompts, wins, ties, seeds, 500)
    assert 0.95 - 4 * 0.0097 < found.coverage < 0.95 + 4 * 0.0097
    assert found.agreement == 1


@pytest.mark.ci
@pytest.mark.timeout(900)
def test_coverage_in_every_cell():
    found = [covered(*cell, 2000, seed) for seed, cell in enumerate(cells())]
    assert len(found) == 72 and min(x.coverage for x in found) >= 0.93
    assert 0.94 <= np.mean([x.coverage for x in found]) <= 0.965
    assert min(x.agreement for x in found) >= 0.99


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(wrong):
    for statistic in (mean, student, share, score_test):
        with pytest.raises(ValueError, match=r"values\[1\] is (nan|inf), not a number"):
            statistic([0.5, wrong])
    with pytest.raises(ValueError, match="not a number"):
        winning({0: 1.0, 1: wrong}, {0: 1.0, 1: 1.0})
    with pytest.raises(ValueError, match="a share is of values from 0 to 1"):
        share([0.5, 1.5])


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


@pytest.mark.parametrize(("n", "d"), [(300, 6), (10, 64), (2, 128), (5, 1)])
def test_a_set_is_at_no_distance_from_itself(n, d):
    """Also where the covariance is singular: there a root of rounding errors made it negative by 3e-6."""
    rng = np.random.default_rng(n)
    a, b = moments(rng.normal(size=(n, d))), moments(rng.normal(size=(n, d)))
    assert 0 <= frechet(a, a) < 1e-10
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-12) and frechet(a, b) > 1e-3


def test_features_that_have_no_covariance_are_refused():
    for few in (np.ones((1, 4)), np.ones((0, 4)), np.ones(4)):
        with pytest.raises(ValueError, match="a covariance needs"):
            moments(few)
    with pytest.raises(ValueError, match=r"features\[1, 2\] is nan"):
        moments(np.array([[1.0, 2, 3], [1, 2, math.nan]]))


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(1).normal(size=20)
    found, wanted = jackknife(lambda kept: float(x[kept].mean()), 20), mean(x)
    assert found.value == wanted.value and found.high == pytest.approx(wanted.high)


def test_the_jackknife_leaves_out_whole_units_and_has_no_empty_group():
    """Pictures of a prompt are together: the mean over three pictures each is that over prompts. By parts and order."""
    x = np.random.default_rng(2).normal(size=8)
    wanted = mean(x)
    for items, units in ((x, None), (np.repeat(x, 3), np.repeat(np.arange(8), 3)), (np.tile(x, 3), [*range(8)] * 3)):
        found = jackknife(lambda kept, items=items: float(items[kept].mean()), len(items), units=units)
        assert found == pytest.approx(wanted)
    assert jackknife(lambda kept: 1.0, 1)[1:] == (-math.inf, math.inf)
    assert jackknife(lambda kept: 1.0 if len(kept) > 2 else math.nan, 3) == (1.0, -math.inf, math.inf)


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
