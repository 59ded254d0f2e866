"""Laws that hold exactly, whatever the network says."""

import math
from itertools import pairwise

import pytest
import torch

from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Flow, discrete
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import Prediction, from_eps, from_v, from_velocity, from_x0
from zz.diffusion.probes.reflections import Reflections
from zz.diffusion.probes.step import no_op
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.fixed_point import FixedPoint
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedule import Node
from zz.diffusion.schedules.log_uniform import LogUniform
from zz.diffusion.schedules.shifted import Shifted
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.solvers.dpmpp_2m import DPMpp2M
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.diffusion.solvers.noisy_inversion import NoisyInversion

VP = Timesteps("leading", 1).nodes(discrete(), 12)
FLOW = Shifted(3.0).nodes(Flow(), 12)  # starts at alpha = 0
NOISE = KeyedNoise((0, 1, 2), (4, 8, 8))
X = starting_noise((0, 1, 2), (4, 8, 8)).double()


def wild(x, node, gamma, leg):
    """A network that is neither constant nor kind, with guidance affine in gamma. It speaks eps."""
    u, c = torch.tanh(0.7 * x) + 0.1 * math.sin(node.time / 50), torch.tanh(0.9 * x.roll(1, -1))
    return from_eps(x, node, u + gamma * (c - u))


def wild_v(x, node, gamma, leg):
    return from_v(x, node, torch.tanh(x + 0.3 * gamma) + 0.2 * math.cos(node.time / 80))


def wild_u(x, node, gamma, leg):
    return from_velocity(x, node, torch.tanh(x - 0.2 * gamma) + 0.2 * math.cos(node.time / 80))


def constant(x, node, gamma, leg):
    """The one prediction that never changes: eps is what it is, and x0 follows from where the latent is."""
    eps = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape)
    return Prediction((x - node.sigma * eps) / node.alpha, eps) if node.alpha else Prediction(eps.flip(0), eps)


def run(sampler, denoise, schedule=VP, solver=None, probe=no_op, x=X):
    return sampler.sample(denoise, x, schedule, solver or DDIM(), NOISE, probe)


@pytest.mark.parametrize("schedule", [VP, FLOW], ids=["vp", "flow"])
@pytest.mark.parametrize("network_time", ["t", "s"])
@pytest.mark.parametrize(("k", "rounds"), [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_constant_eps_makes_zigzag_the_identity(schedule, k, rounds, network_time):
    zigzag = Zigzag(k=k, rounds=rounds, network_time=network_time, lambda_=schedule.T - k + 1)
    ours, plain = run(zigzag, constant, schedule), run(Standard(), constant, schedule)
    assert (ours - plain).abs().max() <= 1e-12 * plain.abs().max()
    assert torch.allclose(run(EndToEnd(), constant, schedule), plain, rtol=0, atol=1e-12 * plain.abs().max())


@pytest.mark.parametrize("solver", [DDIM(), DPMpp2M(), EulerAncestral()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "sampler",
    [
        Zigzag(lambda_=0),
        Zigzag(k=0),
        Zigzag(rounds=0),
        Zigzag(lambda_=0, inversion="ref_0_22"),
        GuidanceMatched(lambda_=0),
        Resampling(lambda_=0),
        Resampling(resamples=0),
    ],
    ids=repr,
)
def test_nothing_to_reflect_is_bitwise_standard(sampler, solver):
    x = X.float()
    assert torch.equal(run(sampler, wild, solver=solver, x=x), run(Standard(), wild, solver=solver, x=x))
    assert sampler.resolve(VP.T) == Standard()


def test_the_reflection_moves_by_the_step_times_the_change_of_eps():
    """x~_t = x_t + sqrt(a_t) * h_t * (eps_inv - eps_den), with the sign that Eq. 22 should have."""
    steps = []
    run(Zigzag(), wild, probe=steps.append)
    seen = 0
    for zig, zag, again in zip(steps, steps[1:], steps[2:], strict=False):
        if zag.leg is Leg.ZAG:
            t, s = zig.source, zig.target
            h = t.sigma / t.alpha - s.sigma / s.alpha
            assert h > 0
            expected = zig.x + t.alpha * h * (zag.prediction.eps - zig.prediction.eps)
            assert (again.x - expected).abs().max() < 1e-12
            seen += 1
    assert seen == VP.T - 1


@pytest.mark.parametrize("schedule", [VP, FLOW], ids=["vp", "flow"])
def test_prediction_types_agree_on_the_line_they_describe(schedule):
    x0, eps = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    for node in schedule[1:-1]:
        x = node.alpha * x0 + node.sigma * eps
        made = [from_eps(x, node, eps), from_x0(x, node, x0)]
        if schedule is VP:
            made.append(from_v(x, node, node.alpha * eps - node.sigma * x0))
        else:
            made.append(from_velocity(x, node, eps - x0))
        for prediction in made:
            assert torch.allclose(prediction.x0, x0, atol=1e-9) and torch.allclose(prediction.eps, eps, atol=1e-9)
            assert torch.allclose(prediction.at(node), x)


def test_predictions_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="alpha = 0"):
        from_eps(X, Node(0.0, 1.0, 999), X)
    with pytest.raises(ValueError, match="sigma = 0"):
        from_x0(X, Node(1.0, 0.0, 0), X)
    assert torch.isfinite(from_v(X, Node(0.0, 1.0, 999), X).x0).all()


def test_v_at_says_at_which_level_a_v_prediction_is_read():
    t, s = VP[3], VP[4]
    v = torch.randn_like(X)
    at_t, at_s = from_v(X, s.with_time(t.time, v_at=t), v), from_v(X, s.with_time(t.time), v)
    assert torch.equal(at_t.eps, t.sigma * X + t.alpha * v)
    assert torch.allclose(at_t.x0, (X - s.sigma * at_t.eps) / s.alpha)
    assert torch.allclose(at_t.at(s), X) and torch.allclose(at_s.at(s), X)
    assert (at_t.eps - at_s.eps).abs().max() > 1e-3


def test_v_at_moves_v_networks_and_no_others():
    assert torch.equal(run(Zigzag(v_at="t"), wild), run(Zigzag(v_at="s"), wild))
    assert torch.equal(run(Zigzag(v_at="t"), wild_u, FLOW), run(Zigzag(v_at="s"), wild_u, FLOW))
    assert not torch.allclose(run(Zigzag(v_at="t"), wild_v), run(Zigzag(v_at="s"), wild_v))


@pytest.mark.parametrize("network_time", ["t", "s"])
def test_the_zag_tells_the_network_the_time_that_it_is_asked_to(network_time):
    told = []

    def listens(x, node, gamma, leg):
        told.append((node.time, node.r, gamma))
        return wild(x, node, gamma, leg)

    run(Zigzag(gamma1=5.0, gamma2=0.5, network_time=network_time), listens)
    zags = [(time, r) for time, r, gamma in told if gamma == 0.5]
    nodes = VP
    expected = [nodes[i].time if network_time == "t" else nodes[i + 1].time for i in range(VP.T - 1)]
    assert [time for time, _ in zags] == expected
    assert [r for _, r in zags] == [nodes[i + 1].r for i in range(VP.T - 1)]  # the latent lies at s either way


def test_ref_0_22_moves_by_the_coefficients_of_the_step_below():
    steps = []
    run(Zigzag(inversion="ref_0_22", lambda_=VP.T - 1), wild, probe=steps.append)
    for i, zag in enumerate(s for s in steps if s.leg is Leg.ZAG):
        assert (zag.source.r, zag.target.r) == (VP[i + 2].r, VP[i + 1].r)
        assert zag.source.time == VP[i].time
    assert not torch.allclose(run(Zigzag(inversion="ref_0_22"), wild), run(Zigzag(), wild))


@pytest.mark.parametrize(
    ("T", "first", "last", "beyond_one_percent"), [(50, -0.34, -62.2, 4), (10, -6.93, -84.6, 9), (4, -25.4, -92.3, 3)]
)
def test_ref_0_22_misses_the_noise_level_by_as_much_as_the_readme_says(T, first, last, beyond_one_percent):
    """From a prediction that never changes, read off where the zag lands: percent of sigma / alpha. The expected
    values were first computed by hand from the levels, with the target of diffusers >= 0.22's DDIMInverse."""
    schedule = Timesteps("leading", 1).nodes(discrete(), T)
    x0, eps = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    misses = []

    def certain(x, node, gamma, leg):
        return from_eps(x, node, eps.reshape(1, 1, 1, 2))

    for i in range(T - 1):  # each reflection from where it should start
        t, s = schedule[i], schedule[i + 1]
        walk = Walk(certain, schedule, DDIM(), NOISE, no_op)
        y = walk.up((s.alpha * x0 + s.sigma * eps).reshape(1, 1, 1, 2), i, 0.0, inversion="ref_0_22").flatten()
        misses.append(100 * ((y[1] / y[0]).item() / t.r - 1))
    assert misses[0] == pytest.approx(first, abs=0.05) and misses[-1] == pytest.approx(last, abs=0.05)
    assert sum(abs(x) > 1 for x in misses) == beyond_one_percent


@pytest.mark.parametrize("schedule", [VP, FLOW], ids=["vp", "flow"])
def test_renoised_latents_have_the_law_of_the_forward_process(schedule):
    """Renoising x_s ~ q(x_s | x_0) gives mean alpha_t x_0 and variance sigma_t^2, within 5 standard errors."""
    n, i, x0 = 200_000, 5, 0.7
    seeds = (7,)
    noise = KeyedNoise(seeds, (n, 1, 1))
    walk = Walk(wild, schedule, DDIM(), noise, no_op)
    t, s = schedule[i], schedule[i + 1]
    x_s = s.alpha * x0 + s.sigma * starting_noise((3,), (n, 1, 1))
    x_t = walk.renoise(x_s, i).double()
    assert abs(x_t.mean() - t.alpha * x0) < 5 * t.sigma / math.sqrt(n)
    assert abs(x_t.var() - t.sigma**2) < 5 * t.sigma**2 * math.sqrt(2 / n)
    fresh = (x_t - t.alpha / s.alpha * x_s.double()).flatten()
    assert abs((fresh * x_s.flatten()).mean()) < 5 * fresh.std() * x_s.std() / math.sqrt(n) + 1e-3


def test_euler_ancestral_keeps_the_marginal_law():
    """From an exact prediction of a fixed x_0, a step down lands on q(x_s | x_0)."""
    n, x0 = 200_000, 0.7
    t, s = VP[4], VP[5]
    eps = starting_noise((3,), (n,))
    z = starting_noise((4,), (n,))
    for eta in (0.0, 0.5, 1.0):
        x_s = EulerAncestral(eta).down(Prediction(torch.full((1, n), x0), eps), t, s, None, lambda: z).double()
        assert abs(x_s.mean() - s.alpha * x0) < 5 * s.sigma / math.sqrt(n)
        assert abs(x_s.var() - s.sigma**2) < 5 * s.sigma**2 * math.sqrt(2 / n)
    assert torch.equal(
        EulerAncestral(0.0).down(Prediction(X, X), t, s, None, lambda: X),
        DDIM().down(Prediction(X, X), t, s, None, None),
    )


def test_injected_error_has_the_norm_it_is_asked_for_and_none_is_plain():
    steps, plain = [], []
    run(Zigzag(), wild, solver=NoisyInversion(error=0.5), probe=steps.append)
    for zig, zag in pairwise(steps):
        if zag.leg is Leg.ZAG:
            t, s = zag.target, zag.source
            injected = (zag.y - zag.prediction.at(t)) / (t.sigma - t.alpha * s.r)
            ratio = injected.flatten(1).norm(dim=1) / zig.prediction.eps.flatten(1).norm(dim=1)
            assert torch.allclose(ratio, torch.full_like(ratio, 0.5), atol=1e-6)
            plain.append(injected)
    assert len(plain) == VP.T - 1
    assert torch.equal(run(Zigzag(), wild, solver=NoisyInversion(error=0.0)), run(Zigzag(), wild))


def test_history_is_that_of_the_last_way_down():
    """2M inside a zigzag: each way down from node i sees the prediction made on the last way down at i - 1."""
    made, wrong = {}, []  # by step index: the last prediction made there on a way down

    class Spy(DPMpp2M):
        def down(self, prediction, source, target, past, z):
            i = [node.time for node in VP].index(source.time)
            wanted = made.get(i - 1) if 0 < i < VP.T - 1 else None
            if (None if past is None else past.prediction) is not wanted:
                wrong.append(("down", i))
            return super().down(prediction, source, target, past, z)

        def up(self, prediction, source, target, past, z):
            i = [node.time for node in VP].index(target.time)
            if past is None or past.prediction is not made[i]:
                wrong.append(("up", i))
            return super().up(prediction, source, target, past, z)

    def probe(step):
        if step.leg is Leg.ZIG:
            made[step.i] = step.prediction

    for sampler in (Zigzag(lambda_=3, k=2), Zigzag(lambda_=3, rounds=3), EndToEnd()):
        made.clear()
        run(sampler, wild, solver=Spy(), probe=probe)
    assert wrong == []


@pytest.mark.parametrize(
    "sampler",
    [Standard(), Zigzag(rounds=3), Zigzag(k=3), EndToEnd(), Resampling(resamples=4), FixedPoint(iterations=2)],
    ids=repr,
)
def test_no_noise_is_ever_used_twice(sampler):
    """A stochastic solver, disturbed on its way up: every move draws under a key of its own."""
    keys = []

    def noise(step, leg, round):
        keys.append((step, leg, round))
        return NOISE(step, leg, round)

    solver = NoisyInversion(EulerAncestral(), 0.1)
    sampler.sample(wild, X, VP, solver, noise)
    assert len(keys) == len(set(keys)) >= VP.T - 1


def test_the_inversion_of_a_stochastic_solver_draws_nothing():
    t, s = VP[4], VP[5]
    prediction = wild(X, s, 1.0, Leg.ZIG)
    assert torch.equal(EulerAncestral().up(prediction, s, t, None, None), prediction.at(t))


def test_end_to_end_heeds_network_time_and_v_at():
    assert not torch.allclose(run(EndToEnd(network_time="t"), wild), run(EndToEnd(network_time="s"), wild))
    assert not torch.allclose(run(EndToEnd(v_at="t"), wild_v), run(EndToEnd(v_at="s"), wild_v))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_lambda_null_is_T_less_k(k):
    """The exact inversion would admit one more; the default is what both inversions admit."""
    assert Zigzag(k=k).resolve(VP.T).lambda_ == VP.T - k == GuidanceMatched(k=k).resolve(VP.T).lambda_
    assert Zigzag(k=k).nfe(VP.T) == VP.T + 2 * k * (VP.T - k)
    assert Resampling(lambda_=VP.T).nfe(VP.T) == 2 * VP.T


def test_levels_and_times_are_each_others_inverse():
    for levels in (discrete(), discrete(zero_terminal_snr=True), Flow()):
        for time in (0.0, 0.25, 3.5, 500.75, 997.5, 998.25, 998.75):
            node = levels.node(time)
            assert levels.time(node.r) == pytest.approx(time, abs=1e-6)
        rs = [levels.node(990 + i / 8).r for i in range(72)]
        assert rs == sorted(rs)


def test_fixed_endpoints_are_kept_on_every_curve():
    for levels in (discrete(), Flow()):
        for T in (1, 7, 64):
            nodes = LogUniform(14.0, 0.03).nodes(levels, T)
            assert nodes[0].r == pytest.approx(14.0) and nodes[-1].r == pytest.approx(0.03)
            for node in nodes:
                level = levels.node(node.time)
                assert (level.alpha, level.sigma) == (pytest.approx(node.alpha), pytest.approx(node.sigma))


def test_rescaling_reads_where_the_latent_is():
    """Guidance rescale in a zag with a v-network: mixed and cond are on the latent's own line already."""
    t, s = VP[3], VP[4]
    node = s.with_time(t.time, v_at=t)
    u, c = torch.randn(2, *X.shape, dtype=torch.float64)
    guided = CFG(0.7, "v").bind(lambda x, n, *conds: tuple(from_v(x, n, o) for o in conds), c, u)
    prediction = guided(X, node, 4.0, Leg.ZIG)
    assert torch.allclose(prediction.at(s), X)


def test_a_probe_measures_one_batch():
    probe = Reflections()
    run(Zigzag(), wild, probe=probe)
    with pytest.raises(ValueError, match="one batch"):
        run(Zigzag(), wild_v, probe=probe)


def test_reflections_measure_what_theorem_2_predicts():
    probe = Reflections()
    steps = []
    run(Zigzag(gamma1=3.0, gamma2=1.0), wild, probe=lambda s: (probe(s), steps.append(s)))
    assert len(probe.legs) == VP.T - 1
    gain = torch.stack([leg.gain for leg in probe.legs]).sum(0)
    assert torch.allclose(probe.delta, gain, rtol=1e-10)
    assert torch.allclose(probe.sum_of_squares, gain, rtol=1e-10)
    moved = [
        again.x - zig.x for zig, zag, again in zip(steps, steps[1:], steps[2:], strict=False) if zag.leg is Leg.ZAG
    ]
    assert torch.allclose(probe.square_of_sum, sum(moved).flatten(1).square().sum(1), rtol=1e-9)
    # Theorem 3: tau1 is the gap times the difference of the branches
    first = steps[0]
    gap = 2.0 * (wild(first.x, first.source, 1.0, Leg.ZAG).eps - wild(first.x, first.source, 0.0, Leg.ZAG).eps)
    assert torch.allclose(probe.legs[0].tau1, gap.flatten(1).square().sum(1))


def test_reflections_measure_end_to_end_as_theorem_1_has_it():
    probe, steps = Reflections(), []
    run(EndToEnd(gamma1=3.0, gamma2=1.0), wild, probe=lambda s: (probe(s), steps.append(s)))
    measured = (steps[0].x - steps[2 * VP.T].x).flatten(1).square().sum(1)
    assert torch.allclose(probe.delta, measured, rtol=1e-10)
    assert torch.allclose(probe.square_of_sum, measured, rtol=1e-9)  # Eq. 9 as an identity
    assert not torch.allclose(probe.sum_of_squares, measured, rtol=1e-2)


def test_the_inequality_after_theorem_2_is_false_in_general():
    """A network whose tau always points the same way: the square of the sum exceeds the sum of squares."""
    one_way = Reflections()
    run(
        EndToEnd(gamma1=3.0, gamma2=1.0),
        lambda x, node, g, leg: from_eps(x, node, torch.full_like(x, g)),
        probe=one_way,
    )
    assert (one_way.square_of_sum > 2 * one_way.sum_of_squares).all()


def test_the_probes_extra_calls_are_not_counted():
    calls = []

    def counted(x, node, gamma, leg):
        calls.append(gamma)
        return wild(x, node, gamma, leg)

    steps = []
    probe = Reflections()
    run(Zigzag(), counted, probe=lambda s: (probe(s), steps.append(s)))
    assert len(steps) == Zigzag().nfe(VP.T)
    assert len(calls) == len(steps) + VP.T - 1
