"""Orders of convergence, each fitted at the last doubling of T and required to lie within .1 of its theory."""

import math

import pytest
import torch

from zz.diffusion.samplers import GuidanceMatched, Standard, Zigzag
from zz.diffusion.solvers import DPMpp2M
from zz.diffusion.theorems import Reflections
from zz.diffusion.trajectory import Leg

TS = (256, 512, 1024)


def rms(x):
    return x.square().mean().sqrt().item()


def last_slope(errors):
    return math.log2(errors[-2] / errors[-1])


@pytest.fixture(scope="module")
def reference(plane):
    return plane(Standard(gamma1=2.0), 16384)


def test_ddim_converges_with_order_one(plane, reference):
    errors = [rms(plane(Standard(gamma1=2.0), T) - reference) for T in TS]
    assert last_slope(errors) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_dpmpp_2m_converges_with_order_two(plane, reference):
    finer = plane(
        Standard(gamma1=2.0), 16384, solver=DPMpp2M()
    )  # DDIM's own error at 16384 is larger than 2M's at 1024
    errors = [rms(plane(Standard(gamma1=2.0), T, solver=DPMpp2M()) - finer) for T in TS]
    assert last_slope(errors) == pytest.approx(2, abs=0.1)
    assert rms(finer - reference) < 1e-4


def test_without_a_gap_the_inversion_error_has_order_one_and_the_reflection_order_two(plane):
    tau2, moved = [], []
    for T in TS:
        probe, steps = Reflections(), []
        plane(Zigzag(gamma1=2.0, gamma2=2.0), T, probe=lambda step: (probe(step), steps.append(step)))  # noqa: B023
        at = T // 2  # the same noise level at every T
        leg = next(leg for leg in probe.legs if leg.i == at)
        assert leg.tau1.abs().max() == 0
        tau2.append(leg.tau2.mean().sqrt().item())
        zig, zag = (next(s for s in steps if s.i == at and s.leg is leg) for leg in (Leg.ZIG, Leg.ZAG))
        moved.append(rms(zag.y - zig.x))
    assert last_slope(tau2) == pytest.approx(1, abs=0.1)
    assert last_slope(moved) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("k", "rounds"), [(1, 1), (1, 2), (2, 1)])
def test_zigzag_is_its_guidance_matched_control_to_first_order(plane, k, rounds):
    fields = {"gamma1": 1.5, "gamma2": 0.5, "k": k, "rounds": rounds}
    apart = [rms(plane(Zigzag(**fields), T) - plane(GuidanceMatched(**fields), T)) for T in TS]
    assert last_slope(apart) == pytest.approx(1, abs=0.1)
    assert apart[-1] < 0.1 * rms(plane(Zigzag(**fields), TS[-1]) - plane(Standard(gamma1=1.5), TS[-1]))


def test_euler_ancestral_tends_to_the_models_own_distribution(plane):
    from zz.diffusion.solvers import EulerAncestral

    x = plane(Standard(gamma1=0.0), 512, solver=EulerAncestral())
    assert torch.isfinite(x).all()
    assert 0.5 < x.flatten(1).norm(dim=1).mean().item() < 1.5  # the ring has radius 1
