"""CFG x K, CFG++ x K, Rectified-CFG++, reflective flow sampling and autoguidance: by hand, limits, refusals."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import zz
from tests.make import job
from zz.diffusion.cost import cost
from zz.diffusion.guidance.autoguidance import AutoGuidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp
from zz.diffusion.guidance.embedded import Embedded
from zz.diffusion.guidance.text_mix import TextMix, mixed
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Flow, discrete
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import from_eps, from_velocity
from zz.diffusion.samplers.fsg import FSG
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.rectified_cfgpp import RectifiedCFGpp
from zz.diffusion.samplers.reflection import Reflection
from zz.diffusion.samplers.repeated import Repeated
from zz.diffusion.samplers.rf_sampling import RFSampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.shifted import Shifted
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM
from zz.models.mixture import Mixture, points
from zz.models.networks import PerLeg, Side
from zz.models.pretrained.pipeline import Text

T = 6
NODES, FLOW = Timesteps("leading", 1).nodes(discrete(), T), Shifted(3.0).nodes(Flow(), T)
X = starting_noise((0, 1), (3, 4, 4)).double()
NOISE = KeyedNoise((0, 1), (3, 4, 4))


def said(x, time, cond):
    return torch.tanh(x * (1 + cond)) + cond * time / 1000


def net(x, node, *conds):
    return tuple(from_eps(x, node, said(x, node.time, cond)) for cond in conds)


def flow_net(x, node, *conds):
    return tuple(from_velocity(x, node, said(x, node.time, cond)) for cond in conds)


def sampled(sampler, guidance=None, nodes=NODES, ask=net, cond=0.6, uncond=0.0, probe=lambda step: None):
    return sampler.sample((guidance or CFG()).bind(ask, cond, uncond), X, nodes, DDIM(), NOISE, probe)


def close(a, b, tolerance=1e-10):
    return torch.allclose(a, b, rtol=0, atol=tolerance * float(b.abs().max()))


class TestRepeated:
    @pytest.mark.parametrize("times", [1, 2, 3])
    def test_cfg_by_hand(self, times):
        x = X
        for t, s in pairwise(NODES):
            for _ in range(times):
                u = said(x, t.time, 0.0)
                x = x - (t.sigma - t.alpha * s.r) * 4.0 * (said(x, t.time, 0.6) - u)
            x = s.alpha * (x - t.sigma * u) / t.alpha + s.sigma * u
        assert close(sampled(Repeated(4.0, times=times)), x)

    @pytest.mark.parametrize("times", [1, 2, 3])
    def test_cfgpp_by_hand(self, times):
        x = X
        for t, s in pairwise(NODES):
            for _ in range(times):
                u = said(x, t.time, 0.0)
                x = x - t.sigma * 0.7 * (said(x, t.time, 0.6) - u)
            x = s.alpha * (x - t.sigma * u) / t.alpha + s.sigma * u
        assert close(sampled(Repeated(scale=0.7, times=times, final="cfgpp")), x)

    def test_once_is_the_guidance_and_k_times_is_implicit_zigzag(self):
        assert torch.equal(sampled(Repeated(4.0, times=1)), sampled(Standard(4.0)))
        assert torch.equal(sampled(Repeated(scale=0.7, times=1, final="cfgpp")), sampled(Standard(0.7), CFGpp()))
        assert Repeated(4.0, times=3).resolve(T) == ImplicitZigzag(4.0, 0.0, T, 2).resolve(T)
        assert Repeated(4.0, times=1).resolve(T) == Standard(4.0)
        empty = FSG(scale=0.7, plan=[])
        assert torch.equal(sampled(empty), sampled(Repeated(scale=0.7, times=1, final="cfgpp")))

    @pytest.mark.parametrize("final", ["cfg", "cfgpp"])
    def test_it_costs_k_predictions_a_step(self, final):
        sampler, predictions = Repeated(times=3, final=final), []
        sampled(sampler, probe=predictions.append)
        assert sampler.nfe(T) == cost(sampler, CFG(), NODES).predictions == len(predictions) == 3 * T
        assert cost(sampler, CFG(), NODES).evals == 6 * T

    def test_where_it_asks_for_less_it_says_so(self):
        assert Repeated(0.0, times=3).nfe(T) == T
        assert RFSampling(2.0, k=0, inversion="as_run").nfe(T) == T
        as_run = RectifiedCFGpp(power=2.0, reading="as_run")
        assert as_run.resolve(T) == RectifiedCFGpp(reading="as_run").resolve(T)

    def test_a_guidance_that_is_not_of_plain_branches_is_refused(self):
        with pytest.raises(ValueError, match=r"sampler=repeated ends its steps by CFG\+\+"):
            zz.sample(Mixture(), "a star", sampler=Repeated(0.5, final="cfgpp"), guidance=CFGpp(), steps=4)
        with pytest.raises(ValueError, match="needs a guidance that is affine"):
            zz.sample(Mixture(), "a star", sampler=Repeated(), guidance=CFG(rescale=0.5), steps=4)
        with pytest.raises(ValueError, match=r"sampler.times=0 must be a whole number of at least 1"):
            Repeated(times=0)


class TestRectified:
    def test_by_hand(self):
        x = X
        for t, s in pairwise(FLOW):
            c = said(x, t.time, 0.6)
            there, told = x + (s.sigma - t.sigma) / 2 * c, (t.time + s.time) / 2
            v = c + 3.0 * (1 - t.sigma) ** 1.5 * (said(there, told, 0.6) - said(there, told, 0.0))
            x = x + (s.sigma - t.sigma) * v
        assert close(sampled(RectifiedCFGpp(scale=3.0), nodes=FLOW, ask=flow_net), x)

    def test_as_its_code_runs_by_hand(self):
        x = X
        for t, s in pairwise(FLOW):
            c = said(x, t.time, 0.6)
            there, told = x + (s.sigma - t.sigma) * c, t.time + (s.sigma - t.sigma)
            x = x + (s.sigma - t.sigma) * (c + 4.5 * (said(there, told, 0.6) - said(there, told, 0.0)))
        assert close(sampled(RectifiedCFGpp(scale=4.5, reading="as_run"), nodes=FLOW, ask=flow_net), x)

    def test_without_a_scale_it_is_the_conditional_sampling(self):
        found = sampled(RectifiedCFGpp(scale=0.0), nodes=FLOW, ask=flow_net)
        assert close(found, sampled(Standard(1.0), nodes=FLOW, ask=flow_net))

    def test_it_asks_for_three_rows_a_step(self):
        rows = []

        def counted(x, node, *conds):
            rows.extend(conds)
            return flow_net(x, node, *conds)

        sampled(RectifiedCFGpp(), nodes=FLOW, ask=counted)
        assert len(rows) == 3 * T == cost(RectifiedCFGpp(), CFG(), FLOW).evals
        assert cost(RectifiedCFGpp(), CFG(), FLOW).predictions == 2 * T == RectifiedCFGpp().nfe(T)

    def test_other_noise_levels_are_refused_before_anything_is_opened(self):
        with pytest.raises(ValueError, match="sampler=rectified_cfgpp is of rectified flows"):
            _ = job(sampler=RectifiedCFGpp()).recipe.cost
        with pytest.raises(ValueError, match="needs a guidance that is affine"):
            zz.sample(Mixture(), "a star", sampler=RectifiedCFGpp(0.5), guidance=CFGpp(), steps=4)


def texts(seed):
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reading(x, node, *conds):
    """A flow whose velocity depends on all tokens of a text (B, 5, 4)."""
    told = [cond.mean((1, 2)).view(-1, 1, 1, 1) for cond in conds]
    return tuple(from_velocity(x, node, torch.tanh(x * (1 + one)) + one * node.time / 1000) for one in told)


COND, UNCOND = texts(1), texts(2)


class TestReflectiveFlow:
    def velocity(self, x, time, cond, gamma, uncond=UNCOND):
        u, c = (one.mean((1, 2)).view(-1, 1, 1, 1) for one in (uncond, cond))
        u, c = (torch.tanh(x * (1 + one)) + one * time / 1000 for one in (u, c))
        return u + gamma * (c - u)

    @pytest.mark.parametrize("k", [1, 2])
    @pytest.mark.parametrize("inversion", ["exact", "as_run"])
    @pytest.mark.parametrize("empty", ["uncond", "prompt"])
    def test_by_hand(self, k, inversion, empty):
        n = UNCOND if empty == "uncond" else COND
        high, low = ([e + w * ((1 - r) * e + r * n) for e in (COND, UNCOND)] for w, r in ((9.0, 0.3), (-1.0, 0.7)))
        x, s = X, [node.sigma for node in FLOW]
        for i in range(T):
            if i < T - k:
                y = x
                for j in range(i, i + k):
                    y = y + (s[j + 1] - s[j]) * self.velocity(y, FLOW[j].time, high[0], 2.0, high[1])
                for j in reversed(range(i, i + k)):
                    v = self.velocity(y, FLOW[j].time, low[0], 2.0, low[1])
                    y = y + ((s[j] - s[j + 1]) if inversion == "exact" else (s[max(j - 1, 0)] - s[j])) * v
                x = x + 0.5 * (y - x)
            x = x + (s[i + 1] - s[i]) * self.velocity(x, FLOW[i].time, COND, 2.0)
        sampler = RFSampling(2.0, lambda_=T - k, k=k, inversion=inversion)
        found = sampled(sampler, TextMix(empty=empty), FLOW, reading, COND, UNCOND)
        assert close(found, x)

    @pytest.mark.parametrize("inversion", ["exact", "as_run"])
    def test_its_cost_is_counted(self, inversion):
        sampler, steps = RFSampling(2.0, k=2, inversion=inversion), []
        sampled(sampler, TextMix(), FLOW, reading, COND, UNCOND, steps.append)
        assert sampler.nfe(T) == cost(sampler, TextMix(), FLOW).predictions == len(steps)
        assert {step.leg for step in steps} == sampler.legs

    def test_of_equal_texts_and_merged_whole_it_is_a_reflection(self):
        same = TextMix(high=0.0, low=0.0)
        found = sampled(RFSampling(2.0, merge=1.0), same, FLOW, reading, COND, UNCOND)
        assert close(found, sampled(Reflection(2.0, 2.0, 2.0), None, FLOW, reading, COND, UNCOND))

    def test_merged_not_at_all_or_nowhere_it_is_standard(self):
        assert RFSampling(2.0, merge=0.0).resolve(T) == RFSampling(2.0, lambda_=0).resolve(T) == Standard(2.0)

    def test_text_mix_alone_changes_nothing_on_the_way_down(self):
        plain, mix = (sampled(Standard(2.0), g, FLOW, reading, COND, UNCOND) for g in (CFG(), TextMix()))
        assert torch.equal(plain, mix)

    def test_a_pooled_vector_and_the_scale_of_an_embedded_guidance_are_left_alone(self):
        pooled = torch.ones(2, 4)
        tokens, same = mixed(Text(COND, pooled), Text(UNCOND, pooled), 2.0, 0.25)
        assert same is pooled and close(tokens, COND + 2.0 * (0.75 * COND + 0.25 * UNCOND))
        seen = []

        def scaled(x, node, *conds):
            seen.extend((one.gamma, one.cond) for one in conds)
            return reading(x, node, *(one.cond for one in conds))

        bound = TextMix(Embedded(), 3.5, 0.0).bind(scaled, COND, UNCOND)
        for leg in (Leg.ZIG, Leg.STRONG, Leg.ZAG):
            bound(X, FLOW[1], 3.0, leg)
        assert [gamma for gamma, _ in seen] == [3.0] * 3
        assert torch.equal(seen[0][1], COND) and close(seen[2][1], COND)
        assert close(seen[1][1], COND + 3.5 * (0.7 * COND + 0.3 * UNCOND))

    def test_without_two_texts_it_is_refused(self):
        with pytest.raises(ValueError, match=r"sampler=rf_sampling goes down by one text .* guidance=text_mix"):
            zz.sample(Mixture(), "a star", sampler=RFSampling(), steps=4)
        with pytest.raises(ValueError, match=r"guidance=TextMix .*of an encoded prompt"):
            zz.sample(Mixture(), "a star", sampler=RFSampling(), guidance=TextMix(), steps=4)


PLANE = points(std=0.3)
BLUNT = replace(PLANE, std=0.6)  # the same world, seen less sharply


class TestAutoguidance:
    ONE = {"prompts": ["north", "south east"], "steps": 8, "size": (1, 1), "output": "latent"}

    def latents(self, model, sampler, **more):
        return zz.sample(model, sampler=sampler, **(self.ONE | more))

    def test_by_hand(self):
        both = PerLeg(PLANE, weak=Side(BLUNT))
        found = self.latents(both, Standard(2.0), guidance=AutoGuidance())
        with PLANE.open() as own, BLUNT.open() as weak:
            nodes = own.schedule.nodes(own.levels, 8)
            (c, _), (w, _) = (net.encode(self.ONE["prompts"], [None, None]) for net in (own, weak))
            x = starting_noise((0, 1), own.shape((1, 1)))
            for t, s in pairwise(nodes):
                strong, blunt = own(x, t, c)[0], weak(x, t, w)[0]
                x0, eps = (b + 2.0 * (a - b) for a, b in zip(strong, blunt, strict=True))
                x = s.alpha * x0 + s.sigma * eps
        assert torch.allclose(found, x, atol=1e-5)

    def test_with_the_same_network_unprompted_it_is_classifier_free_guidance(self):
        both = PerLeg(PLANE, weak=Side(prompt="north"))  # a side that is not the steps' own
        found = self.latents(both, Standard(3.0), guidance=AutoGuidance(prompted=False))
        assert torch.allclose(found, self.latents(PLANE, Standard(3.0)), atol=1e-5)

    def test_its_zigzag_between_the_two_networks_is_a_reflection_to_the_bit(self):
        """gamma 1 is the network itself and 0 the weak one, as W2SD goes down and up."""
        both = PerLeg(PLANE, weak=Side(BLUNT))
        ours = self.latents(both, Zigzag(1.0, 0.0), guidance=AutoGuidance())
        assert torch.equal(ours, self.latents(both, Reflection(1.0, 1.0, 1.0)))

    def test_its_legs_are_kept_counted_and_have_a_matched_control(self):
        asked = {
            "prompts": ["north"],
            "model": PerLeg(PLANE, weak=Side(BLUNT)),
            "guidance": AutoGuidance(),
            "size": (1, 1),
        }
        found = job(sampler=Standard(2.0), **asked)
        assert isinstance(found.recipe.model, PerLeg), "the weak network is asked on the way down"
        assert found.recipe.cost.evals == 2 * found.recipe.steps
        assert "guidance_matched" in job(**asked).controls()
        assert AutoGuidance().affine and not AutoGuidance().plain

    def test_a_strong_network_has_no_part_in_it(self):
        sides = {"weak": Side(BLUNT)}
        one, two = (
            job(["north"], model=PerLeg(PLANE, **more), sampler=Reflection(1.5), guidance=AutoGuidance(), size=(1, 1))
            for more in (sides, sides | {"strong": Side(prompt="south")})
        )
        assert one.cell == two.cell

    def test_a_network_alone_is_refused(self):
        with pytest.raises(ValueError, match=r"guidance=AutoGuidance guides away from a weak network, and .* set weak"):
            zz.sample(Mixture(), "a star", guidance=AutoGuidance(), steps=4)
        with pytest.raises(ValueError, match=r"set weak.model"):
            job(guidance=AutoGuidance())

    def test_a_negative_prompt_alone_makes_no_weak_network(self):
        """It would be the network itself, c + gamma (c - c): no guidance at the price of two evaluations."""
        with pytest.raises(ValueError, match=r"guides away from a weak network.* set weak.model"):
            job(
                ["north"], model=PerLeg(PLANE, weak=Side(negative_prompt="south")), guidance=AutoGuidance(), size=(1, 1)
            )
