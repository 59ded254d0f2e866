"""CFG++ against what it says of itself, each side computed apart: DDIM by hand, and classifier-free guidance."""

import math
from itertools import pairwise

import pytest
import torch

import zz
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Flow, discrete
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import Prediction, from_eps, from_velocity
from zz.diffusion.probes.reflections import Reflections
from zz.diffusion.probes.step import no_op
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.shifted import Shifted
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM

VP = Timesteps("leading", 1).nodes(discrete(), 12)
FLOW = Shifted(3.0).nodes(Flow(), 12)  # begins at alpha = 0
SEEDS = (0, 1)
NOISE = KeyedNoise(SEEDS, (4, 8, 8))
X = starting_noise(SEEDS, (4, 8, 8)).double()


def net(x, node, *conds):
    """Speaks eps on one kind of schedule, velocity on the other; a condition is a number."""
    said = [torch.tanh((0.7 + c) * x.roll(int(2 * c), -1)) + 0.1 * math.sin(node.time / 50) for c in conds]
    return tuple(from_eps(x, node, o) if node in VP else from_velocity(x, node, o) for o in said)


GUIDED, PLAIN = CFGpp().bind(net, 0.5, 0.0), CFG().bind(net, 0.5, 0.0)


def run(sampler, guided, schedule=VP, probe=no_op):
    return sampler.sample(guided, X, schedule, DDIM(), NOISE, probe)


def test_at_zero_it_is_unconditional_ddim():
    for schedule in (VP, FLOW):
        assert torch.equal(run(Standard(0.0), GUIDED, schedule), run(Standard(0.0), PLAIN, schedule))
    assert torch.equal(run(Zigzag(0.0, 0.0), GUIDED), run(Zigzag(0.0, 0.0), PLAIN))


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_a_step_is_guided_x0_and_unconditional_noise(gamma):
    x = X
    for i, (t, s) in enumerate(pairwise(VP)):
        (u,), (c,) = net(x, t, 0.0), net(x, t, 0.5)
        x0 = (x - t.sigma * ((1 - gamma) * u.eps + gamma * c.eps)) / t.alpha
        y = s.alpha * x0 + s.sigma * u.eps
        assert torch.allclose(GUIDED(x, t, gamma, Leg.ZIG).at(s), y, rtol=0, atol=1e-12 * y.abs().max()), i
        x = y
    assert torch.allclose(run(Standard(gamma), GUIDED), x, rtol=0, atol=1e-9 * x.abs().max())


@pytest.mark.parametrize("schedule", [VP, FLOW], ids=["vp", "flow"])
def test_each_step_is_one_of_classifier_free_guidance_at_its_own_scale(schedule):
    x = X
    for t, s in pairwise(schedule):
        w = 0.6 / (1 - s.r / t.r)
        ours, theirs = GUIDED(x, t, 0.6, Leg.ZIG).at(s), PLAIN(x, t, w, Leg.ZIG).at(s)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-11 * theirs.abs().max())
        x = ours


def test_the_scales_that_its_page_prints():
    def scales(T):
        nodes = Timesteps("leading", 1).nodes(discrete(), T)
        return [0.6 / (1 - s.r / t.r) for t, s in pairwise(nodes)]

    w = scales(50)
    rounded = [f"{value:.1f}" for value in (sum(w) / 50, w[0], max(w), w[-2], w[-1], sum(scales(20)) / 20)]
    assert rounded == ["7.2", "5.5", "9.5", "0.8", "2.0", "3.1"]


@pytest.mark.parametrize("schedule", [VP, FLOW], ids=["vp", "flow"])
@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_up_undoes_down_where_both_branches_say_the_same(schedule, gamma):
    """Two fixed noises, whatever the latent: the way up returns to the start."""
    eps_u, eps_c = torch.randn(2, *X.shape, dtype=torch.float64)

    def fixed(x, node, *conds):
        return tuple(Prediction((x - node.sigma * eps) / node.alpha, eps) for eps in (eps_u, eps_c)[: len(conds)])

    guided = CFGpp().bind(fixed, 0.5, 0.0)
    for t, s in pairwise(schedule[1:]):
        y = guided(X, t, gamma, Leg.ZIG).at(s)
        assert torch.allclose(guided(y, s, gamma, Leg.ZAG).at(t), X, rtol=0, atol=1e-12 * y.abs().max() / s.alpha)


def test_the_probe_of_theorem_2_still_adds_up():
    """delta is read off the latents, the gains off the predictions, which lie off the line."""
    for schedule in (VP, FLOW):
        probe = Reflections()
        run(Zigzag(0.8, 0.3), GUIDED, schedule, probe)
        gain = torch.stack([leg.gain for leg in probe.legs]).sum(0)
        assert len(probe.legs) == schedule.T - 1
        assert torch.allclose(probe.delta, gain, rtol=1e-9)


def test_its_tau1_is_zero_without_a_gap_where_nothing_moves():
    """Without a gap and with noises that stay, neither term is left."""
    eps_u, eps_c = torch.randn(2, *X.shape, dtype=torch.float64)
    guided = CFGpp().bind(lambda x, n, *conds: tuple(from_eps(x, n, e) for e in (eps_u, eps_c)[: len(conds)]), 1, 0)
    probe = Reflections()
    run(Zigzag(0.8, 0.8), guided, VP, probe)
    size = eps_c.square().sum()
    assert all(leg.tau1.max() < 1e-20 * size and leg.tau2.max() < 1e-20 * size for leg in probe.legs)


@pytest.mark.parametrize("sampler", [zz.Standard(4.0), zz.Zigzag(0.6, -0.5), zz.Zigzag(0.6, 1.5)], ids=repr)
def test_another_scale_is_refused_before_a_model_is_opened(sampler):
    class Closed(zz.Mixture):
        def open(self, *_):
            raise AssertionError("opened")

    with pytest.raises(ValueError, match=r"gamma.=.* lies outside 0\.\.1, the scales of guidance=cfgpp"):
        zz.sample(Closed(), "a red circle", sampler=sampler, guidance=zz.CFGpp(), steps=4)


def test_a_fixed_point_of_one_eps_is_no_way_up_here():
    """Settled with one eps, a latent is not where the way down came from; so it is refused, but at gamma2 = 0."""
    eps_u, eps_c = torch.randn(2, *X.shape, dtype=torch.float64)
    guided = CFGpp().bind(lambda x, n, *conds: tuple(from_eps(x, n, e) for e in (eps_u, eps_c)[: len(conds)]), 1, 0)
    t, s = VP[1:3]
    for gamma, returns in ((0.0, True), (0.5, False)):
        y, eps = guided(X, t, gamma, Leg.ZIG).at(s), guided(X, t, gamma, Leg.ZAG).eps
        assert torch.allclose(from_eps(y, s, eps).at(t), X, rtol=0, atol=1e-9) is returns
    asked = {
        "prompts": "a red circle",
        "guidance": zz.GuidanceInterval(zz.CFGpp()),
        "steps": 2,
        "output": "latent",
        "size": 16,
    }
    with pytest.raises(ValueError, match=r"sampler=fixed_point settles one eps.*choose gamma2=0"):
        zz.sample(zz.Mixture(), sampler=zz.FreeInit(zz.FixedPoint(0.6, 0.3)), **asked)
    zz.sample(zz.Mixture(), sampler=zz.FixedPoint(0.6, 0.0, iterations=1), **asked)
