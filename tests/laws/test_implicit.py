"""The implicit zigzag against the explicit one, of which it is the limit without approximation error."""

import itertools

import pytest
import torch

from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.network import Branches
from zz.diffusion.prediction import Prediction
from zz.diffusion.prefix_cache import PrefixCache
from zz.diffusion.probes.reflections import Reflections
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.models.compatible import check_pair

from .test_identities import FLOW, VP, X, run, wild, wild_u
from .test_order import TS, last_slope, rms


def without_tau2(network):
    """The same network, but in the zag it says what it would have said where the zig began."""
    seen = []

    def denoise(x, node, gamma, leg):
        if leg is Leg.ZIG:
            seen[:] = [x, node]
            return network(x, node, gamma, leg)
        eps = network(*seen, gamma, leg).eps
        return Prediction((x - node.sigma * eps) / node.alpha, eps)

    return denoise


@pytest.mark.parametrize(
    ("network", "schedule", "gamma1", "gamma2", "rounds"),
    [
        (wild, VP, 3.0, 0.0, 1),
        (wild, VP, 1.0, -0.5, 2),
        (wild, VP, 0.0, 2.0, 1),
        (wild_u, FLOW, 1.0, 0.0, 2),  # from alpha = 0; its guidance is not linear, but these are the branches
    ],
)
def test_implicit_is_explicit_with_tau2_taken_away(network, schedule, gamma1, gamma2, rounds):
    fields = {"gamma1": gamma1, "gamma2": gamma2, "lambda_": schedule.T, "rounds": rounds}
    implicit = run(ImplicitZigzag(**fields), network, schedule)
    explicit = run(Zigzag(**fields), without_tau2(network), schedule)
    assert torch.isfinite(implicit).all()
    assert (implicit - explicit).abs().max() < 1e-11 * explicit.abs().max()
    assert not torch.allclose(implicit, run(Zigzag(**fields), network, schedule))


def test_one_reflection_differs_from_the_explicit_one_by_the_approximation_error():
    """x~ explicit - x~ implicit = alpha_t * h_t * (eps_gamma2(x_s) - eps_gamma2(x_t)), whose square is tau2."""
    probe, zags, looks = Reflections(), [], []
    run(Zigzag(3.0, 0.5, 1), wild, probe=lambda s: (probe(s), zags.append(s)))
    run(ImplicitZigzag(3.0, 0.5, 1), wild, probe=looks.append)
    apart = (zags[1].y - looks[0].y).flatten(1).square().sum(1)
    t, s = VP[0], VP[1]
    assert torch.allclose(apart, (t.sigma - t.alpha * s.r) ** 2 * probe.legs[0].tau2, rtol=1e-9)
    assert [look.leg for look in looks[:2]] == [Leg.STAY, Leg.ZIG] and looks[0].y is looks[1].x


@pytest.mark.slow
@pytest.mark.parametrize("gap", ["own", "last"])
def test_implicit_tends_to_explicit_and_to_its_control(plane, gap):
    fields = {"gamma1": 1.5, "gamma2": 0.5}
    for other in (Zigzag(**fields), GuidanceMatched(**fields)):
        apart = [rms(plane(ImplicitZigzag(**fields, gap=gap), T) - plane(other, T)) for T in TS]
        assert last_slope(apart) == pytest.approx(1, abs=0.1)
        assert apart[-1] < 0.1 * rms(plane(other, TS[-1]) - plane(Standard(gamma1=1.5), TS[-1]))


def test_the_last_gap_is_that_of_the_step_before():
    """Written out by hand for three steps, two of them reflected."""
    schedule = type(VP)(VP[:4])
    ours = run(ImplicitZigzag(3.0, 0.5, 2, gap="last"), wild, schedule)
    x, gap = X, None
    for i, (t, s) in enumerate(itertools.pairwise(schedule)):
        if i < 2:
            gap = wild(x, t, 1.0, None).eps - wild(x, t, 0.0, None).eps if gap is None else gap
            x = x - t.alpha * (t.r - s.r) * 2.5 * gap
        gap = wild(x, t, 1.0, None).eps - wild(x, t, 0.0, None).eps
        x = wild(x, t, 3.0, None).at(s)
    assert (ours - x).abs().max() < 1e-12 * x.abs().max()


@pytest.mark.parametrize("gap", ["own", "last"])
@pytest.mark.parametrize("solver", [DPMpp2M(), EulerAncestral()], ids=lambda s: type(s).__name__)
def test_nothing_to_reflect_is_bitwise_standard(gap, solver):
    for none in (ImplicitZigzag(lambda_=0, gap=gap), ImplicitZigzag(rounds=0, gap=gap), ImplicitZigzag(2.0, 2.0)):
        standard = Standard(none.gamma1)
        assert torch.equal(run(none, wild, solver=solver), run(standard, wild, solver=solver))
        assert none.resolve(VP.T) == standard and none.nfe(VP.T) == VP.T


def test_a_look_reads_every_scale_off_to_the_bit():
    u, c = torch.randn(2, 2, 3, 4, 4)

    def network(x, node, *conds):
        return tuple(Prediction(cond, -cond) for cond in conds)

    guided = CFG().bind(network, c, u)
    seen = Branches(*(guided(u, VP[0], gamma, Leg.ZIG) for gamma in (0.0, 1.0)))
    for gamma in (-1.0, 0.0, 0.3, 1, 5.5):
        assert torch.equal(seen.at(gamma).eps, guided(u, VP[0], gamma, Leg.ZIG).eps)
        assert torch.equal(seen.at(gamma).x0, guided(u, VP[0], gamma, Leg.ZIG).x0)


def test_a_remembered_look_is_one_prediction_of_two_rows():
    memory = PrefixCache(CFG().evals)
    for lambda_ in (6, 4):
        run(ImplicitZigzag(3.0, 0.5, lambda_), memory.of(wild))
    assert (memory.predictions, memory.evals) == (2 * 4, 4 * 4)


def test_a_guidance_that_is_not_affine_is_refused():
    check_pair(ImplicitZigzag(), CFG(), None)
    for sampler, name in ((ImplicitZigzag(), "implicit_zigzag"), (GuidanceMatched(), "guidance_matched")):
        with pytest.raises(ValueError, match=f"sampler={name}.*affine"):
            check_pair(sampler, CFG(rescale=0.5), None)
