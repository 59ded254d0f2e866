"""What each guidance says of itself, on a network small enough to read, which has an attention to reach into."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import zz
from tests.make import recipe
from zz.diffusion.cost import cost
from zz.diffusion.guidance.attention.blur import blur
from zz.diffusion.guidance.attention.pag import PAG
from zz.diffusion.guidance.attention.sag import SAG
from zz.diffusion.guidance.attention.scfg import SCFG, rates
from zz.diffusion.guidance.attention.seg import SEG
from zz.diffusion.guidance.attention.tap import Attention, Tapped
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp
from zz.diffusion.guidance.interval import GuidanceInterval
from zz.diffusion.leg import Leg
from zz.diffusion.levels import discrete
from zz.diffusion.network import Guided
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import from_eps, per_picture
from zz.diffusion.prefix_cache import PrefixCache
from zz.diffusion.probes.meter import Meter
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.timesteps import Timesteps
from zz.diffusion.solvers.ddim import DDIM

T, SEEDS, SHAPE = 8, (0, 1), (4, 8, 5)
VP = Timesteps("leading", 1).nodes(discrete(), T)
NODE = VP[3]
X = starting_noise(SEEDS, SHAPE).double()
HEADS = 2


class Net:
    """Attends from place to place, then to five tokens; a condition is a number. Counts the rows it is asked for."""

    def __init__(self):
        self.rows, self.seen = 0, []

    def __call__(self, x, node, *conds):
        self.rows += len(conds)
        self.seen.append([(type(c) is Tapped, x) for c in conds])
        return tuple(from_eps(x, node, self.eps(x, node, c)) for c in conds)

    def eps(self, x, node, cond):
        tapped = cond if isinstance(cond, Tapped) else Tapped(cond, lambda attention: None)
        B, C, h, w = x.shape
        places = (x * (1 + tapped.cond)).flatten(2).mT.unflatten(2, (HEADS, -1)).transpose(1, 2)
        words = torch.linspace(-2, 2, 5, dtype=x.dtype)[:, None] * (1 + tapped.cond)
        words = torch.sin(words * torch.arange(1, 1 + C // HEADS)).expand(B, HEADS, 5, -1)
        for to, keys in (("self", places), ("text", words)):
            attention = Attention(to, (h, w), places, keys, keys.roll(1, -1), None, None)
            said = tapped.tap(attention) if to in tapped.to else None
            places = places + (attention.out(attention.query) if said is None else said)
        out = places.transpose(1, 2).flatten(2).mT.unflatten(2, (h, w))
        return torch.tanh(out) + 0.1 * math.sin(node.time / 50)


COND, UNCOND = 0.5, 0.0
ALL = [
    CFG(),
    CFG(rescale=0.5),
    CFGpp(),
    *(kind(zag=zag) for kind in (SEG, PAG, SAG) for zag in (False, True)),
    *(SCFG(1, zag=zag) for zag in (False, True)),
    *(kind(scale=0.0) for kind in (SEG, PAG, SAG)),
    GuidanceInterval(CFG(), 0.5, 3.0),
    GuidanceInterval(SEG(), 0.5, 3.0),
    GuidanceInterval(CFGpp(), 0.5, 3.0),
]


def said(guidance, gamma, leg=Leg.ZIG, node=NODE, x=X):
    return guidance.bind(Net(), COND, UNCOND)(x, node, gamma, leg)


def run(guidance, sampler, probe=lambda step: None, memory=None, net=None):
    guided = guidance.bind(net or Net(), COND, UNCOND)
    guided = memory.of(guided) if memory else guided
    return sampler.sample(guided, X, VP, DDIM(), KeyedNoise(SEEDS, SHAPE), probe)


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_rows_are_those_that_the_network_is_asked_for(guidance):
    for gamma in (0.0, 0.5, 1.0):
        for leg in (Leg.ZIG, Leg.ZAG):
            for node in VP[:-1]:
                net = Net()
                guidance.bind(net, COND, UNCOND)(X, node, gamma, leg)
                assert net.rows == guidance.evals(gamma, node, leg), (gamma, leg, node.r)


# by hand for T = 8, lambda = 7: 15 zigs at gamma1 and 7 zags at 0, each prediction's rows
@pytest.mark.parametrize(
    ("guidance", "rows"),
    [
        (CFG(), 15 * 2 + 7),
        (CFGpp(), 15 * 2 + 7),
        (SEG(), 15 * 3 + 7),
        (SEG(zag=True), 15 * 3 + 7 * 2),
        (SEG(scale=0.0), 15 * 2 + 7),
        (PAG(), 15 * 3 + 7),
        (SAG(), 15 * 3 + 7),
        (SAG(zag=True), 15 * 3 + 7 * 2),
        (SCFG(1), 15 * 2 + 7),
        (GuidanceInterval(SEG(), 0.0, 1e9), 15 * 3 + 7),
        (GuidanceInterval(SEG(), 0.0, 1e-9), 15 + 7),
    ],
    ids=repr,
)
def test_counted_cost_of_a_zigzag(guidance, rows):
    net, meter = Net(), Meter(guidance.evals)
    run(guidance, Zigzag(0.6, 0.0), meter, net=net)
    assert net.rows == meter.evals == rows
    assert cost(Zigzag(0.6, 0.0), guidance, VP) == (22, rows)


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_affine_is_said_of_those_that_are(guidance):
    at = [said(guidance, gamma).eps for gamma in (0.0, 1.0, 3.0)]
    assert torch.allclose(at[0] + 3 * (at[1] - at[0]), at[2], rtol=0, atol=1e-12) >= guidance.affine
    assert guidance.affine == (guidance in (CFG(), SEG(scale=0.0), PAG(scale=0.0), SAG(scale=0.0)))


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_a_walk_that_is_remembered_is_the_same_walk(guidance):
    """Legs say different things; what one sweep over lambda shares moves no bit."""
    memory = PrefixCache(guidance.evals)
    for lambda_ in (7, 5, 2, 0):
        sampler = Zigzag(0.6, 0.3, lambda_)
        assert torch.equal(run(guidance, sampler, memory=memory), run(guidance, sampler)), lambda_
    # three a step that both reflect, and the branching step's first
    assert memory.predictions == (3 * 5 + 1) + (3 * 2 + 1) + 1


@pytest.mark.parametrize("leg", [Leg.ZIG, Leg.ZAG])
@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_a_scale_for_each_picture_is_that_pictures_own(guidance, leg):
    apart = said(guidance, 0.3, leg).at(VP[4]) - said(guidance, 0.8, leg).at(VP[4])
    assert apart.abs().max() > 1e-3  # scales do matter
    for node in VP[:-1]:
        many = said(guidance, torch.tensor([0.3, 0.8], dtype=torch.float64), leg, node)
        for b, gamma in enumerate((0.3, 0.8)):
            for made, alone in zip(many, said(guidance, gamma, leg, node), strict=True):
                assert torch.allclose(made[b], alone[b], rtol=0, atol=1e-12)


@pytest.mark.parametrize("guidance", [CFG(), CFGpp()], ids=repr)
def test_a_scale_for_each_picture_may_be_that_of_one_branch(guidance):
    many = said(guidance, torch.tensor([0.0, 1.0], dtype=torch.float64))
    for b, gamma in enumerate((0.0, 1.0)):
        for made, alone in zip(many, said(guidance, gamma), strict=True):
            assert torch.allclose(made[b], alone[b], rtol=0, atol=1e-12)
    assert guidance.evals(torch.tensor([0.0, 0.0]), NODE, Leg.ZIG) == 2  # both branches, whatever the scales are


def test_scales_for_each_picture_are_remembered_by_value():
    asked = []

    def network(x, node, gamma, leg):
        asked.append(gamma)
        return from_eps(x, node, x * per_picture(gamma, x))

    def scales(*values):
        return torch.tensor(values)

    walks = [
        ([scales(1.0, 2.0), scales(3.0, 4.0), 2.0], 0),  # recorded
        ([scales(1.0, 2.0), scales(3.0, 4.0), 2.0], 3),  # equal values in other tensors
        ([scales(1.0, 2.0), scales(3.0, 4.0), scales(2.0, 2.0)], 2),  # a number is no tensor of it
        ([scales(1.0, 2.0), scales(3.0, 4.5), 2.0], 1),  # one picture differs
    ]
    for gammas, answered in walks:
        memory = PrefixCache(lambda gamma, node, leg: 2)
        for walk in (walks[0][0], gammas):
            before, guided = len(asked), memory.of(network)
            for node, gamma in zip(VP, walk, strict=False):
                found = guided(X, node, gamma, Leg.ZIG)
                assert torch.equal(found.eps, X * per_picture(gamma, X))
        if gammas is not walks[0][0]:
            assert (memory.predictions, memory.evals) == (answered, 2 * answered)
            assert len(asked) - before == 3 - answered


def test_a_look_asks_the_network_once_for_both_branches():
    net = Net()
    seen = CFG().bind(net, COND, UNCOND).look(X, NODE, Leg.ZIG)
    assert (len(net.seen), net.rows) == (1, 2)
    for branch, gamma in zip(seen, (0.0, 1.0), strict=True):
        assert torch.equal(branch.eps, said(CFG(), gamma).eps) and torch.equal(branch.x0, said(CFG(), gamma).x0)
    for gamma in (-1.0, 0.0, 1.0, 4.0, torch.tensor([0.5, 4.0], dtype=torch.float64)):
        assert torch.equal(seen.at(gamma).eps, said(CFG(), gamma).eps)
    plain = Net()
    Guided(CFG().bind(plain, COND, UNCOND)).look(X, NODE, Leg.ZIG)  # a plain function has no such way
    assert (len(plain.seen), plain.rows) == (2, 2)
    whole, sampler = Net(), ImplicitZigzag(4.0)
    run(CFG(), sampler, net=whole)
    assert (len(whole.seen), whole.rows) == (sampler.nfe(T), 2 * sampler.nfe(T))


@pytest.mark.parametrize("guidance", [SEG(), PAG(), SAG(), SCFG(1)], ids=repr)
def test_the_zag_is_plain_guidance_unless_asked(guidance):
    plain = said(CFG(), 2.0, Leg.ZAG)
    assert torch.equal(said(guidance, 2.0, Leg.ZAG).eps, plain.eps)
    assert not torch.allclose(said(guidance, 2.0).eps, said(CFG(), 2.0).eps, atol=1e-3)
    everywhere = replace(guidance, zag=True)
    assert torch.equal(said(everywhere, 2.0, Leg.ZAG).eps, said(guidance, 2.0).eps)


@pytest.mark.parametrize("kind", [SEG, PAG, SAG])
def test_without_scale_it_is_plain_guidance_bitwise(kind):
    for sampler in (Standard(4.0), Zigzag(4.0, 1.5)):
        assert torch.equal(run(kind(scale=0.0, zag=True), sampler), run(CFG(), sampler))


def test_equal_pictures_have_equal_cells():
    for kind in (SEG, PAG, SAG):
        assert recipe(guidance=kind(scale=0.0)).resolved().cell == recipe(guidance=CFG()).resolved().cell
        assert recipe(guidance=GuidanceInterval(kind(scale=0.0))).resolved().guidance == GuidanceInterval()
    cells = {
        recipe(guidance=g).resolved().cell.key for g in (CFG(), GuidanceInterval(), GuidanceInterval(CFG(rescale=0.5)))
    }
    assert len(cells) == 3


def spoilt(tap, x=X, cond=COND):
    """eps with the self-attention's output put in by hand."""
    return from_eps(x, NODE, Net().eps(x, NODE, Tapped(cond, tap))).eps


def uniform(attention):
    """Each head's mean query, one place at a time."""
    q = attention.query
    mean = sum(q[:, :, n] for n in range(q.shape[2])) / q.shape[2]
    weights = (attention.key @ mean[..., None] / q.shape[3] ** 0.5).softmax(2)
    return (weights * attention.value).sum(2, keepdim=True).expand_as(q)


@pytest.mark.parametrize(("guidance", "tap"), [(SEG(2.0), uniform), (PAG(2.0), lambda a: a.value)], ids=["seg", "pag"])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 4.0])
def test_away_from_spoilt_attention(guidance, tap, gamma):
    """eps_u + gamma (eps_c - eps_u) + s (eps_m - eps_spoilt), m unconditional at gamma 0, or else conditional."""
    u, c = (spoilt(lambda attention: None, cond=cond) for cond in (UNCOND, COND))
    m, p = (u, spoilt(tap, cond=UNCOND)) if gamma == 0 else (c, spoilt(tap))
    made = said(guidance, gamma)
    assert torch.allclose(made.eps, u + gamma * (c - u) + 2.0 * (m - p), rtol=0, atol=1e-12)
    assert torch.allclose(made.at(NODE), X, rtol=0, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_queries_are_blurred_as_scipy_blurs(sigma):
    """Mirrored borders; a kernel of three deviations either way, odd, cut to each side of a grid that is no square."""
    h, w = SHAPE[1:]
    size = math.ceil(6 * sigma) + 1 - math.ceil(6 * sigma) % 2
    radius = [0, 0, *((min(size, side + 1 - side % 2) - 1) // 2 for side in (h, w))]

    def tap(attention):
        q = attention.query.mT.unflatten(3, (h, w))  # (B, heads, d, h, w)
        made = gaussian_filter(q.numpy(), [0, 0, 0, sigma, sigma], mode="mirror", radius=[0, *radius])
        return attention.out(torch.from_numpy(made).flatten(3).mT)

    found = said(SEG(1.0, sigma=sigma), 1.0).eps
    c = spoilt(lambda attention: None)
    assert torch.allclose(found, c + (c - spoilt(tap)), rtol=0, atol=1e-10)


def test_more_blur_comes_nearer_to_the_mean():
    far = [(said(SEG(sigma=s), 1.0).eps - said(SEG(), 1.0).eps).norm().item() for s in (0.3, 1.0, 3.0, 30.0)]
    assert far == sorted(far, reverse=True) and far[-1] > 0


def test_a_blur_keeps_constants_and_type():
    maps = torch.ones(2, 3, 5, 2, dtype=torch.float16)
    assert torch.equal(blur(maps, 1.0, 4), maps)
    one = torch.zeros(1, 1, 9, 9)
    one[0, 0, 4, 4] = 1
    kernel = np.exp(-0.5 * (np.arange(-1, 2) / 0.5) ** 2)
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    assert np.allclose(blur(one, 0.5, 1)[0, 0, 3:6, 3:6], kernel, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 4.0])
def test_self_attention_guidance_by_hand(gamma):
    main = COND if gamma == 1 else UNCOND
    net, maps = Net(), []
    (m,) = net(X, NODE, Tapped(main, maps.append))
    (u,), (c,) = net(X, NODE, UNCOND), net(X, NODE, COND)
    q, k = maps[0].query, maps[0].key
    weights = (q @ k.mT / q.shape[3] ** 0.5).softmax(3)
    assert torch.allclose(maps[0].weights(), weights.mean(1).float(), atol=1e-6)
    much = (weights.mean(1).sum(1) > 1).unflatten(1, SHAPE[1:])[:, None]
    assert 0.1 < much.double().mean() < 0.9
    radius = [0, 0, *((min(9, side + 1 - side % 2) - 1) // 2 for side in SHAPE[1:])]
    smooth = torch.from_numpy(gaussian_filter(m.x0.numpy(), [0, 0, 1, 1], mode="mirror", radius=radius))
    degraded = NODE.alpha * torch.where(much, smooth, m.x0) + NODE.sigma * m.eps
    expected = u.eps + gamma * (c.eps - u.eps) + 0.75 * (m.eps - net.eps(degraded, NODE, main))
    assert torch.allclose(said(SAG(), gamma).eps, expected, rtol=0, atol=1e-9)


def test_an_interval_is_its_inner_guidance_inside_and_conditional_outside():
    for inner in (CFG(), SEG(), CFGpp()):
        interval = GuidanceInterval(inner, VP[5].r, VP[2].r)
        for i, node in enumerate(VP[:-1]):
            for leg in (Leg.ZIG, Leg.ZAG):
                made = said(interval, 0.6, leg, node)
                expected = said(inner, 0.6, leg, node) if 2 <= i < 5 else said(CFG(), 1.0, leg, node)
                assert torch.equal(made.eps, expected.eps) and torch.equal(made.x0, expected.x0)
                assert torch.equal(said(interval, 0.0, Leg.ZAG, node).eps, said(CFG(), 0.0, leg, node).eps)
    for sampler in (Standard(4.0), Zigzag(4.0)):
        assert torch.equal(run(GuidanceInterval(CFG(), 0.0, 1e9), sampler), run(CFG(), sampler))


def halves(left, right, size=8):
    out = torch.full((1, size, size), float(left))
    out[..., size // 2 :] = right
    return out


def test_a_region_is_guided_as_strongly_as_the_foreground():
    """Away from the border, which the smoothing crosses: the ratio of means, kept within its bounds."""
    regions, front = halves(0, 3).long(), halves(0, 1) > 0
    for d, gamma, left in (
        ((1.0, 2.0), 5.0, 2.0),
        ((1.0, 2.0), 10.0, 1.5),  # 15 / 10
        ((1.0, 9.0), 2.0, 3.0),
        ((2.0, 1.0), 2.0, 0.8),
    ):
        rate = rates(halves(*d), regions, front, gamma)
        assert rate.shape == (1, 1, 8, 8)
        assert torch.allclose(rate[..., :3], torch.full((1, 1, 8, 3), left))
        assert torch.allclose(rate[..., 5:], torch.ones(1, 1, 8, 3))


def test_rates_are_one_where_nothing_tells_regions_apart_and_bounded_everywhere():
    generator = torch.Generator().manual_seed(0)
    regions = torch.randint(77, (3, 4, 6), generator=generator)
    front = torch.rand(3, 4, 6, generator=generator) > 0.5
    same, wild = torch.full((3, 8, 12), 0.7), torch.rand(3, 8, 12, generator=generator) ** 4
    ones = torch.ones(3, 1, 8, 12)
    assert torch.allclose(rates(same, regions, front, 5.0), ones)
    assert torch.allclose(rates(0 * same, regions, front, 5.0), ones)
    assert torch.allclose(rates(wild, regions, front & False, 5.0), ones)
    for gamma in (-3.0, 2.0, 7.5, 40.0):
        rate = rates(wild, regions, front, gamma)
        assert (rate * abs(gamma) <= 15 * (1 + 1e-6)).all() and rate.max() <= 3 * (1 + 1e-6)
        assert rate.min() >= min(0.8, 15 / abs(gamma)) * (1 - 1e-6)
    assert rates(wild, regions, front, 2.0).std() > 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SEG(scale=math.inf), "guidance.scale=inf"),
        (lambda: SEG(sigma=0), "guidance.sigma=0 must be at least 0.001"),
        (lambda: PAG(blocks="middle"), "guidance.blocks='middle' is not known; known are mid, down, up, all"),
        (lambda: SAG(scale="much"), "guidance.scale='much'"),
        (lambda: SCFG(0), "guidance.reduction=0"),
        (lambda: GuidanceInterval(low=-1), "guidance.low=-1"),
        (lambda: GuidanceInterval(low=3, high=3), "guidance.low=3 must be less than guidance.high=3"),
    ],
)
def test_impossible_fields_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("guidance", [SEG(), PAG(), SAG(), SCFG(), GuidanceInterval(SEG())], ids=repr)
def test_a_model_without_such_an_attention_is_refused_before_it_is_opened(guidance):
    class Closed(zz.Mixture):
        def open(self, *_):
            raise AssertionError("opened")

    with pytest.raises(
        ValueError, match="self-attention, which model=mixture has not; choose guidance=cfg, guidance=cfgpp"
    ):
        zz.sample(Closed(), "a red circle", guidance=guidance, steps=4)
    with zz.Mixture().open() as pipeline, pytest.raises(ValueError, match="which the MixturePipeline has not"):
        zz.sample(pipeline, "a red circle", guidance=guidance, steps=4, size=32)
