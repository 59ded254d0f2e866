"""The placebo of "Guidance Matters": its formula by hand, what its weak prompt lacks, and who draws it."""

import math

import pytest
import torch

import zz
from tests.parity import tiny
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.interval import GuidanceInterval
from zz.diffusion.guidance.tdg import TDG
from zz.diffusion.leg import Leg
from zz.diffusion.levels import discrete
from zz.diffusion.noise import starting_noise
from zz.diffusion.prediction import from_eps
from zz.diffusion.schedules.timesteps import Timesteps
from zz.models.pretrained.pipeline import Text

SEEDS, TOKENS, WIDTH = (3, 5), 9, 6
NODE = Timesteps("leading", 1).nodes(discrete(), 8)[3]
X = starting_noise(SEEDS, (4, 8, 5)).double()
COND, NULL = torch.rand(2, TOKENS, WIDTH, dtype=torch.float64) + 1, torch.zeros(2, TOKENS, WIDTH, dtype=torch.float64)
PROMPTS = ["a photo of a red star", "a photo of three circles"]


class Net:
    """Its eps is of a prompt's mean and first moment over tokens. Keeps the conditions that it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, x, node, *conds):
        self.asked = conds
        return tuple(from_eps(x, node, self.eps(x, c)) for c in conds)

    def eps(self, x, cond):
        mean = cond.mean((1, 2)).view(-1, 1, 1, 1)
        first = (cond.mean(2) * torch.arange(TOKENS)).mean(1).view(-1, 1, 1, 1)
        return torch.sin(x * (1 + mean)) + torch.cos(x) * first


@pytest.mark.parametrize("gamma", [-1.0, 0.3, 5.5, torch.tensor([2.0, 7.0], dtype=torch.float64)])
def test_it_is_the_authors_formula(gamma):
    """As `forward_v3` has it, one picture at a time."""
    net = Net()
    found = TDG(1.8, 2.6).for_seeds(SEEDS).bind(net, COND, NULL)(X, NODE, gamma, Leg.ZIG)
    for b in range(2):
        u, c, m = (net.eps(X, cond)[b] for cond in net.asked)
        w = 1.8 * (gamma if isinstance(gamma, float) else gamma[b])
        middle = (c - m) * ((c - u).norm() / (c - m).norm())
        expected = middle * (w / 3.6) + (c - u) * (w * 2.6 / 3.6) + (m + u) / 2
        assert torch.allclose(found.eps[b], expected, rtol=0, atol=1e-12)
    assert torch.allclose(found.at(NODE), X, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("nulls", "axis", "half"), [("tokens", 1, 4), ("components", 2, 3)])
def test_half_of_the_prompt_is_nulled(nulls, axis, half):
    net = Net()
    TDG(nulls=nulls).for_seeds(SEEDS).bind(net, COND, NULL)(X, NODE, 2.0, Leg.ZIG)
    weak = net.asked[2]
    gone = (weak == 0).all(3 - axis)  # whole tokens, or the same components of all
    assert gone.sum(1).tolist() == [half, half] and (weak == 0).sum() == gone.sum() * COND.shape[3 - axis]
    assert torch.equal(weak[weak != 0], COND[weak != 0])
    assert not torch.equal(gone[0], gone[1]), "each picture its own"


def test_a_pooled_vector_loses_half_of_its_components():
    seen, pooled = [], torch.ones(2, 8)

    def net(x, node, *conds):
        seen.append(conds)
        return tuple(from_eps(x, node, x * float(c.pooled.mean())) for c in conds)

    TDG().for_seeds(SEEDS).bind(net, Text(COND, pooled), Text(NULL, 0 * pooled))(X, NODE, 2.0, Leg.ZIG)
    weak = seen[0][2]
    assert isinstance(weak, Text) and (weak.pooled == 0).sum(1).tolist() == [4, 4]
    assert ((weak.tokens == 0).all(2)).sum(1).tolist() == [4, 4]


def test_seeds_draw_and_neighbours_do_not():
    guidances = (TDG().for_seeds(SEEDS), GuidanceInterval(TDG(), 0.0, 1e9).for_seeds(SEEDS))
    both = [guidance.bind(Net(), COND, NULL)(X, NODE, 2.0, Leg.ZIG).eps for guidance in guidances]
    assert torch.equal(*both)
    for b, seed in enumerate(SEEDS):
        part = slice(b, b + 1)
        alone = TDG().for_seeds([seed]).bind(Net(), COND[part], NULL[part])(X[part], NODE, 2.0, Leg.ZIG).eps
        assert torch.allclose(alone, both[0][part], rtol=0, atol=1e-12)


def test_at_no_and_at_the_prompt_and_in_the_zag_it_is_plain_guidance():
    def said(guidance, gamma, leg=Leg.ZIG):
        return guidance.bind(Net(), COND, NULL)(X, NODE, gamma, leg).eps

    for gamma, leg in ((0.0, Leg.ZIG), (1.0, Leg.ZIG), (3.0, Leg.ZAG)):
        assert torch.equal(said(TDG(), gamma, leg), said(CFG(), gamma, leg))
        assert TDG().evals(gamma, NODE, leg) == CFG().evals(gamma, NODE, leg)
    assert torch.equal(said(TDG(zag=True), 3.0, Leg.ZAG), said(TDG(), 3.0))
    assert TDG().evals(3.0, NODE, Leg.ZIG) == TDG(zag=True).evals(3.0, NODE, Leg.ZAG) == 3
    assert not TDG().affine and math.isclose(TDG().share, 0.5)
    whole = TDG(share=0.0)  # the weak prompt is the prompt: nothing to be told from
    u, c = (Net().eps(X, cond) for cond in (NULL, COND))
    assert torch.allclose(said(whole, 2.0), (u + c) / 2 + 2.0 * 1.8 * 2.6 / 3.6 * (c - u), rtol=0, atol=1e-12)


def test_a_look_is_at_the_branches_themselves():
    for guidance in (TDG(), GuidanceInterval(TDG(), 0.0, 1e9)):
        seen = guidance.bind(Net(), COND, NULL).look(X, NODE, Leg.ZIG)
        assert torch.equal(seen.u.eps, Net().eps(X, NULL)) and torch.equal(seen.c.eps, Net().eps(X, COND))


@pytest.mark.parametrize("nulls", ["tokens", "components"])
def test_pictures_of_the_embedded_model_are_their_own(nulls):
    def made(guidance, some=PROMPTS, seeds=SEEDS):
        how = {"sampler": zz.Standard(2.0), "steps": 4, "output": "latent", "size": 32}
        return zz.sample(zz.shapes(), some, guidance=guidance, seeds=seeds, **how)

    both, plain = made(TDG(nulls=nulls)), made(CFG())
    assert (both - plain).abs().max() > 0.1
    alone = torch.cat([made(TDG(nulls=nulls), [text], [seed]) for text, seed in zip(PROMPTS, SEEDS, strict=True)])
    tiny.close(alone, both)


@pytest.mark.parametrize("make", [tiny.sd, tiny.sdxl, tiny.sd3])
def test_pipelines_of_diffusers(make):
    made = [
        zz.sample(
            tiny.ready(make()),
            ["a red star", "three rings"],
            sampler=zz.Zigzag(2.0),
            guidance=guidance,
            steps=3,
            size=32,
            output="latent",
        )
        for guidance in (TDG(), CFG())
    ]
    assert made[0].isfinite().all() and (made[0] - made[1]).abs().max() > 1e-3 * made[1].abs().max()


def test_a_model_without_tokens_refuses_it():
    with pytest.raises(ValueError, match="guidance=TDG changes tokens of an encoded prompt, which model=mix"):
        zz.sample(zz.Mixture(), "a red star", guidance=TDG(), steps=2)
    with pytest.raises(ValueError, match=r"guidance\.share=2"):
        TDG(share=2.0)
