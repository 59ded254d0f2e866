"""Orders of convergence, each fitted at the last doubling of T and required to lie within .1 of its theory."""

import importlib
import inspect
import math
import pkgutil

import pytest
import torch

import zz.diffusion.solvers
from zz.diffusion.leg import Leg
from zz.diffusion.probes.reflections import Reflections
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.log_uniform import LogUniform
from zz.diffusion.solvers.base import Solver

from .conftest import on_the_plane

TS, FINEST = (256, 512, 1024), 16384


def rms(x):
    return x.square().mean().sqrt().item()


def last_slope(errors):
    return math.log2(errors[-2] / errors[-1])


def solvers():
    """Every solver of the package, as its class stands."""
    found = []
    for module in pkgutil.iter_modules(zz.diffusion.solvers.__path__, "zz.diffusion.solvers."):
        kinds = vars(importlib.import_module(module.name)).values()
        found += [k for k in kinds if isinstance(k, type) and issubclass(k, Solver) and k.__module__ == module.name]
    return [kind for kind in found if not inspect.isabstract(kind)]


class Path:
    """The noise of one Brownian motion in (alpha / sigma)^2, the clock of the ancestral noise, for any number of steps.

    With a step halved the same motion is seen in more places, so that a stochastic solver converges picture by picture.
    """

    def __init__(self, start, levels):
        self.clock = [node.r**-2 for node in LogUniform(14, 0.03).nodes(levels, FINEST)]
        spans = torch.tensor(self.clock, dtype=torch.float64).diff().sqrt().view(-1, 1, 1, 1, 1)
        steps = torch.randn(FINEST, *start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.motion, self.drawn = torch.cat([torch.zeros(1, *start.shape), (spans * steps).cumsum(0)]), 0

    def over(self, T):
        def noise(step, leg, round):
            self.drawn += 1
            i, j = (n * FINEST // T for n in (step, step + 1))
            return (self.motion[j] - self.motion[i]) / math.sqrt(self.clock[j] - self.clock[i])

        return noise


@pytest.mark.ci
def test_every_solver_converges_with_the_order_that_it_states():
    """Stochastic ones picture by picture, over the same noise; the others all to one limit."""
    kinds, limits = solvers(), []
    assert len(kinds) >= 5 and {kind.order for kind in kinds} == {1, 2}
    with on_the_plane(range(512)) as plane:
        path = Path(plane.start, plane.levels)
        for kind in kinds:
            path.drawn = 0
            # DDIM's error at FINEST is larger than that of order two at 1024: each is compared with its own limit
            *ends, limit = [plane(Standard(gamma1=2.0), T, kind(), noise=path.over(T)) for T in (*TS, FINEST)]
            errors = [rms(end - limit) for end in ends]
            assert last_slope(errors) == pytest.approx(kind.order, abs=0.1), kind.__name__
            if not path.drawn:
                limits.append(limit)
    assert len(limits) >= 3 and all(rms(limit - limits[0]) < 1e-4 for limit in limits)


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


@pytest.mark.slow
@pytest.mark.parametrize(("k", "rounds"), [(1, 1), (1, 2), (2, 1)])
def test_zigzag_is_its_guidance_matched_control_to_first_order(plane, k, rounds):
    fields = {"gamma1": 1.5, "gamma2": 0.5, "k": k, "rounds": rounds}
    apart = [rms(plane(Zigzag(**fields), T) - plane(GuidanceMatched(**fields), T)) for T in TS]
    assert last_slope(apart) == pytest.approx(1, abs=0.1)
    assert apart[-1] < 0.1 * rms(plane(Zigzag(**fields), TS[-1]) - plane(Standard(gamma1=1.5), TS[-1]))


def test_euler_ancestral_tends_to_the_models_own_distribution(plane):
    from zz.diffusion.solvers.euler_ancestral import EulerAncestral

    x = plane(Standard(gamma1=0.0), 512, solver=EulerAncestral())
    assert torch.isfinite(x).all()
    assert 0.5 < x.flatten(1).norm(dim=1).mean().item() < 1.5  # the ring has radius 1
