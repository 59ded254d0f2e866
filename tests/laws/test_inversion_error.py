"""Inversions that err less than Eq. 4: iterated to a fixed point, and of a stochastic solver whose noise is known."""

from itertools import pairwise

import pytest
import torch

from zz.diffusion.leg import Leg
from zz.diffusion.probes.residuals import Residuals
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.fixed_point import FixedPoint
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.solvers.euler_ancestral import EulerAncestral, EulerAncestralStored
from zz.diffusion.solvers.noisy_inversion import NoisyInversion

from .test_identities import FLOW, VP, X, constant, run, wild, wild_u


@pytest.mark.parametrize("T", [10, 20])
def test_the_residual_falls_below_1e_6_on_the_exact_model(plane, T):
    probe = Residuals()
    plane(FixedPoint(2.0, 0.0, iterations=30), T, probe=probe)
    assert len(probe.last) == T - 1
    assert probe.unsettled(1e-6) == [], [(i, f"{m[-1]:.1e}") for i, m in probe.moved.items()]
    assert min(moved[0] for moved in probe.moved.values()) > 1e-6  # where Eq. 4 lands, no step is below it


def test_what_does_not_converge_is_reported(plane):
    probe = Residuals()
    x = plane(FixedPoint(2.0, 0.0, iterations=30), 4, probe=probe)
    assert probe.unsettled(1e-6) != []
    assert torch.isfinite(x).all()


def test_a_consistent_inversion_is_undone_by_the_step_down(plane):
    """DDIM from x~ with gamma2 comes back to the latent that was inverted: not so from where Eq. 4 lands."""
    steps = []
    plane(FixedPoint(2.0, 0.5, 1, iterations=30), 20, probe=steps.append)
    zag, settled = steps[1], steps[31]
    assert (zag.leg, settled.leg, steps[32].leg) == (Leg.ZAG, Leg.STAY, Leg.ZIG)

    def back(x):
        return plane.denoise(x, zag.target, 0.5, Leg.ZIG).at(steps[0].target)

    assert (back(settled.y) - zag.x).abs().max() < 1e-6
    assert (back(zag.y) - zag.x).abs().max() > 1e-3


def test_without_a_gap_a_consistent_reflection_is_no_reflection(plane):
    standard = plane(Standard(2.0), 20)
    settled = (plane(FixedPoint(2.0, 2.0, iterations=30), 20) - standard).abs().max()
    once = (plane(Zigzag(2.0, 2.0), 20) - standard).abs().max()
    assert settled < 1e-5 < 1e-2 < once


@pytest.mark.parametrize(("network", "schedule"), [(wild, VP), (wild_u, FLOW)], ids=["vp", "flow from alpha = 0"])
def test_no_iteration_is_zigzag_to_the_bit_and_each_reads_eps_where_the_last_one_landed(network, schedule):
    zigzag = Zigzag(1.0, 0.0, 3, rounds=2)
    none = FixedPoint(1.0, 0.0, 3, 2, iterations=0)
    assert torch.equal(run(none, network, schedule), run(zigzag, network, schedule))
    assert none.resolve(schedule.T) == zigzag
    steps = []
    run(FixedPoint(1.0, 0.0, 1, iterations=2), network, schedule, probe=steps.append)
    t, s = schedule[0], schedule[1]
    y, x = steps[0].y, steps[1].y
    for step in steps[2:4]:
        eps = network(x, t, 0.0, Leg.ZAG).eps
        x = t.alpha * (y - s.sigma * eps) / s.alpha + t.sigma * eps
        assert torch.allclose(step.y, x, rtol=0, atol=1e-12)


def moved(solver, network, gamma2=1.0):
    """By how much each reflection without a gap moves the latent, relative to it."""
    steps = []
    run(Zigzag(1.0, gamma2), network, solver=solver, probe=steps.append)
    zags = [(zig, zag) for zig, zag in pairwise(steps) if zag.leg is Leg.ZAG]
    assert len(zags) == VP.T - 1
    return torch.tensor([((zag.y - zig.x).norm() / zig.x.norm()).item() for zig, zag in zags])


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_the_noise_of_a_step_is_undone_only_if_it_is_known(eta):
    """A constant eps: what is left of a reflection is what the inversion does not know of the noise."""
    assert moved(EulerAncestralStored(eta), constant).max() < 1e-6
    assert moved(EulerAncestral(eta), constant).min() > 1e-3  # half of x in the first step, a thousandth in the last
    assert moved(DDIM(), constant).max() < 1e-12


def test_the_plain_inversion_errs_by_the_noise_that_it_takes_for_old():
    """x~ - x = alpha_t * r_s * ((sqrt(1 - f^2) - 1) * eps + f * z), from the formula of the step down."""
    steps = []
    run(Zigzag(1.0, 1.0, 1), constant, solver=EulerAncestral(), probe=steps.append)
    zig, zag = steps[:2]
    t, s = zig.source, zig.target
    added = (zig.y - zig.prediction.at(s)) / s.sigma
    assert torch.allclose(zag.y - zig.x, t.alpha * s.r * added, rtol=0, atol=1e-12)


def test_the_stored_solver_goes_down_as_the_plain_one_and_shares_its_cells():
    for eta in (0.0, 0.5):
        plain, stored = EulerAncestral(eta), EulerAncestralStored(eta)
        assert torch.equal(run(Standard(), wild, solver=plain), run(Standard(), wild, solver=stored))
        assert stored.without_inversion == plain
    assert EulerAncestralStored(0.0).simplest == DDIM()
    assert moved(NoisyInversion(EulerAncestralStored(), 0.0), constant).max() < 1e-6


@pytest.mark.parametrize(
    "sampler", [Zigzag(1.0, 1.0, 4, k=3), Zigzag(1.0, 1.0, 4, rounds=3), EndToEnd(1.0, 1.0)], ids=repr
)
def test_stored_noise_is_that_of_the_last_way_down(sampler):
    """Every way down over a node begins where the first one did: each reflection took back what its own zigs drew."""
    steps = []
    run(sampler, constant, solver=EulerAncestralStored(), probe=steps.append)
    ways_down = [step.x for step in steps if step.leg is Leg.ZIG and step.i == 0]
    assert len(ways_down) == 1 + getattr(sampler, "rounds", 1)
    for x in ways_down:
        assert (x - X).abs().max() < 1e-6 * X.abs().max()
