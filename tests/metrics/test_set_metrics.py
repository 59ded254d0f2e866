"""Set metrics: each formula computed a second way in float64, and what they refuse.

Beside torch-fidelity 0.4.0 they were compared in an environment of its own; docs/set_metrics.md has the figures.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

from tests.metrics.sets import AGAINST, INCEPTION, OF, RNG, D, drawn, prompts
from zz.scorers.cmmd import CMMD
from zz.scorers.fid import FrechetDistance
from zz.scorers.frechet import frechet, moments, tally
from zz.scorers.inception_score import InceptionScore
from zz.scorers.kid import KernelDistance
from zz.scorers.precision_recall import Precision, Recall


def by_definition(x, y):
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) by a matrix root."""
    (m1, s1), (m2, s2) = ((z.mean(0), np.cov(z, rowvar=False)) for z in (x, y))
    return ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(linalg.sqrtm(s1 @ s2)))


def test_frechet_distance_is_its_definition_with_the_jackknifes_interval():
    x, y = drawn(300), drawn(400, 0.4, 1)
    ps, reference = prompts(300, repeats=3), moments(y)._asdict()
    found = FrechetDistance(OF, AGAINST).measure(x, ps, reference)
    assert found.value == pytest.approx(by_definition(x, y), rel=1e-9)
    group = np.tile(np.arange(100), 3) % 20  # the three pictures of a prompt are left out together
    without = np.array([by_definition(x[group != g], y) for g in range(20)])
    half = 2.093024054408263 * math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())  # Student's, 19 degrees
    assert found.high - found.value == pytest.approx(half, rel=1e-6)
    assert found.value - found.low == pytest.approx(half, rel=1e-6)


def test_of_fewer_pictures_than_dimensions_the_root_is_exact():
    """Of two pictures the covariance is d d^T / 2, and the trace of the root sqrt(d^T S d / 2)."""
    x, y = drawn(2), drawn(400, 0.4, 1)
    mean, covariance = moments(y)
    d = x[0] - x[1]
    wanted = ((x.mean(0) - mean) ** 2).sum() + d @ d / 2 + np.trace(covariance) - 2 * math.sqrt(d @ covariance @ d / 2)
    assert frechet(moments(x), moments(y)) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("cut", [1, 150, 299])
def test_merged_parts_are_the_whole(cut):
    x = drawn(300) + 1e4  # a large mean, where sums of squares would lose it
    parts, whole = tally(x[:cut]).merged(tally(x[cut:], chunk=7)), moments(x)
    assert parts.n == 300
    assert parts.moments.mean == pytest.approx(whole.mean, rel=1e-12)
    assert parts.moments.covariance == pytest.approx(whole.covariance, rel=1e-10, abs=1e-10)
    assert tally(x, chunk=11).moments.covariance == pytest.approx(whole.covariance, rel=1e-10, abs=1e-10)


def test_one_picture_has_no_covariance():
    with pytest.raises(ValueError, match="1 pictures: a covariance needs two or more"):
        _ = tally(drawn(1)).moments
    assert math.isinf(FrechetDistance(OF, AGAINST).measure(drawn(2), prompts(2), moments(drawn(9))._asdict()).high)


def explicit_mmd(x, y):
    """Bińkowski et al., 2018, equation 4, pair by pair."""

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / D + 1) ** 3

    m, n = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (m * n)


def test_kid_is_the_mean_of_explicit_double_sums_over_the_drawn_subsets():
    x, y = drawn(40), drawn(30, 0.5, 1)
    metric = KernelDistance(OF, AGAINST, subsets=4, subset_size=9)
    found = metric.measure(x, prompts(40), {"features": y})
    rng = np.random.RandomState(2020)
    each = []
    for _ in range(4):  # of each subset first ours, then theirs
        ours, theirs = rng.choice(40, 9, replace=False), rng.choice(30, 9, replace=False)
        each.append(explicit_mmd(x[ours], y[theirs]))
    assert found.value == pytest.approx(np.mean(each), rel=1e-11)
    half = 3.182446305284263 * np.std(each, ddof=1) * math.sqrt(9 / 30 + 1 / 4)  # Student's, 3 degrees
    assert found.high - found.value == pytest.approx(half, rel=1e-9)
    blocks = replace(metric, order="prompt").measure(x, prompts(40), {"features": y})
    wanted = np.mean([explicit_mmd(x[i : i + 9], y[i : i + 9]) for i in (0, 9, 18)])
    assert blocks.value == pytest.approx(wanted, rel=1e-11)


def test_kid_of_a_set_with_itself_is_below_zero():
    x = drawn(60)
    assert KernelDistance(OF, AGAINST, subsets=20, subset_size=60).measure(x, prompts(60), {"features": x}).value < 0


def test_kid_refuses_subsets_larger_than_a_set_and_one_subset_has_no_interval():
    said = r"subset_size=1000 is more than there are: 16 pictures, 30 in the reference; make more, or say .*size=16"
    with pytest.raises(ValueError, match=said):
        KernelDistance(OF, AGAINST).measure(drawn(16), prompts(16), {"features": drawn(30)})
    one = KernelDistance(OF, AGAINST, subset_size=16, order="prompt")
    assert math.isinf(one.measure(drawn(16), prompts(16), {"features": drawn(30)}).low)


CLASSIFIER = {"classifier": RNG.normal(size=(5, D))}


def score_by_hand(logits, splits):
    found = []
    for i in range(splits):
        rows = logits[i * len(logits) // splits : (i + 1) * len(logits) // splits]
        p = [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in rows]
        q = [sum(one[c] for one in p) / len(p) for c in range(5)]
        kl = [sum(one[c] * math.log(one[c] / q[c]) for c in range(5)) for one in p]
        found.append(math.exp(sum(kl) / len(kl)))
    return found


def test_inception_score_by_hand_in_each_order():
    x, ps = drawn(43), prompts(43)
    metric = InceptionScore(INCEPTION, splits=4, least=4)
    logits = x @ CLASSIFIER["classifier"].T
    shuffled = logits[np.random.RandomState(2020).permutation(43)]
    assert metric.measure(x, ps, CLASSIFIER).value == pytest.approx(np.mean(score_by_hand(shuffled, 4)), rel=1e-11)
    in_order = replace(metric, order="prompt").measure(x, ps, CLASSIFIER)
    each = score_by_hand(logits, 4)
    assert in_order.value == pytest.approx(np.mean(each), rel=1e-11)
    assert in_order.high - in_order.value == pytest.approx(3.182446305284263 * np.std(each, ddof=1) / 2, rel=1e-9)


def test_the_order_is_worth_naming():
    """Pictures sorted by class: in order each split holds one class, and the score is 1."""
    x = np.repeat(np.eye(D)[:5], 20, axis=0)
    classifier = {"classifier": 50 * np.eye(5, D)}
    metric = InceptionScore(INCEPTION, splits=5, least=5)
    assert metric.measure(x, prompts(100), classifier).value > 4
    assert replace(metric, order="prompt").measure(x, prompts(100), classifier).value == pytest.approx(1)


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (InceptionScore(INCEPTION, splits=4, least=4, order="hash"), CLASSIFIER),
        (KernelDistance(OF, AGAINST, subsets=5, subset_size=10, order="hash"), {"features": drawn(30, 0.5, 1)}),
    ],
    ids=["inception_score", "kid"],
)
def test_hashed_no_order_of_the_pictures_moves_the_number(metric, reference):
    x, ps = drawn(48), prompts(48, repeats=2)
    wanted = metric.measure(x, ps, reference)
    moved = False
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(48)
        shuffled = x[order], [ps[i] for i in order]
        assert metric.measure(*shuffled, reference) == wanted
        moved |= replace(metric, order="torch_fidelity").measure(*shuffled, reference) != wanted
    assert moved, "the default does depend on the order"


def brute_share(points, others, k):
    """The share of points that lie within some other's distance to its k-th nearest neighbour."""
    radius = [sorted(math.dist(a, b) for b in others)[k] for a in others]
    inside = [any(math.dist(p, o) <= r for o, r in zip(others, radius, strict=True)) for p in points]
    return np.mean(inside)


def test_precision_and_recall_against_brute_force_with_the_jackknifes_interval():
    x, y, ps = drawn(45), drawn(40, 1.0, 1), prompts(45)
    precision = Precision(OF, AGAINST, least=10).measure(x, ps, {"features": y})
    recall = Recall(OF, AGAINST, least=10).measure(x, ps, {"features": y})
    assert 0 < recall.value < 1
    assert precision.value == pytest.approx(brute_share(x, y, 3), abs=1e-12)
    assert recall.value == pytest.approx(brute_share(y, x, 3), abs=1e-12)
    kept = [np.arange(45) % 20 != g for g in range(20)]
    for found, without in [
        (recall, np.array([brute_share(y, x[there], 3) for there in kept])),
        (precision, np.array([brute_share(x[there], y, 3) for there in kept])),
    ]:
        half = 2.093024054408263 * math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
        assert found.high - found.value == pytest.approx(half, rel=1e-9)


def test_a_set_lies_among_itself_even_far_from_the_origin():
    """In float32 a mean of 10,000 would drown the distances."""
    x = drawn(50) + 1e4
    for metric in (Precision(OF, AGAINST, least=5), Recall(OF, AGAINST, least=5)):
        assert metric.measure(x, prompts(50), {"features": x}).value == 1
        assert metric.measure(x + 1e3, prompts(50), {"features": x}).value == 0


def cmmd_by_formula(x, y):
    """1000 (mean k(x, x) + mean k(y, y) - 2 mean k(x, y)), each picture with itself included."""
    x, y = ([row / math.sqrt(sum(v * v for v in row)) for row in z] for z in (x, y))

    def mean_kernel(a, b):
        return np.mean([math.exp(-sum((p - q) ** 2) / 200) for p in a for q in b])

    return 1000 * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


def test_cmmd_is_its_formula_with_the_jackknifes_interval():
    x, y = drawn(60), drawn(50, 1.0, 1)
    found = CMMD(OF, AGAINST, least=10).measure(x, prompts(60, repeats=2), {"features": y})
    assert found.value == pytest.approx(cmmd_by_formula(x, y), rel=1e-9)
    group = np.tile(np.arange(30), 2) % 20
    without = np.array([cmmd_by_formula(x[group != g], y) for g in range(20)])
    half = 2.093024054408263 * math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    assert found.high - found.value == pytest.approx(half, rel=1e-6)
    assert CMMD(OF, AGAINST, least=10).measure(x, prompts(60), {"features": x}).value == pytest.approx(0, abs=1e-9)


OTHERS = [
    InceptionScore(INCEPTION),
    Precision(OF, AGAINST),
    Recall(OF, AGAINST),
    CMMD(OF, AGAINST),
]


EVERY = [
    FrechetDistance(OF, AGAINST),
    KernelDistance(OF, AGAINST, subset_size=5),
    *(replace(m, least=5) for m in OTHERS),
]


@pytest.mark.parametrize("metric", OTHERS, ids=lambda m: m.name)
def test_too_few_pictures_are_refused_with_the_way_out(metric):
    said = f"16 pictures are too few for {metric.name}, .*: make 1000 or more; scorers.{metric.name}.least=16"
    with pytest.raises(ValueError, match=said):
        metric.measure(drawn(16), prompts(16), {"features": drawn(2000), **CLASSIFIER})
    if metric.name == "cmmd":  # which is defined of two
        return
    with pytest.raises(ValueError, match="too few"):
        replace(metric, least=1).measure(drawn(2), prompts(2), {"features": drawn(2000), **CLASSIFIER})


def test_a_small_reference_is_refused_too():
    for metric in OTHERS[1:]:
        with pytest.raises(ValueError, match="20 pictures are too few"):
            metric.measure(drawn(1200), prompts(1200), {"features": drawn(20)})


@pytest.mark.parametrize("metric", EVERY, ids=lambda m: m.name)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused_by_its_place(metric, bad):
    x = drawn(30)
    x[3, 2] = bad
    reference = {"features": drawn(40), **moments(drawn(40))._asdict(), **CLASSIFIER}
    with pytest.raises(ValueError, match=r"features\[\d+, 2\] is (nan|inf)"):
        metric.measure(x, prompts(30), reference)


@pytest.mark.parametrize("metric", [m for m in EVERY if m.name != "inception_score"], ids=lambda m: m.name)
def test_a_reference_of_another_network_is_refused(metric):
    other = drawn(40)[:, :9]
    with pytest.raises(
        ValueError, match=f"scorers.{metric.name}.against has features of 9 dimensions, the pictures of 12"
    ):
        metric.measure(drawn(30), prompts(30), {"features": other, **moments(other)._asdict()})
