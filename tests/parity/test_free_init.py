"""FreeInit's filter and mixture against diffusers' own, and what they must keep; the whole is in test_animatediff."""

import pytest
import torch
from diffusers.pipelines.free_init_utils import FreeInitMixin

import zz
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.samplers.free_init import low_pass

PROMPTS, SEEDS, T = ["a red circle", "a blue star"], (3, 1), 4


def theirs(shape, order, spatial, temporal):
    return FreeInitMixin()._get_free_init_freq_filter((1, 1, *shape), "cpu", "butterworth", order, spatial, temporal)


@pytest.mark.parametrize("shape", [(16, 8, 12), (4, 6, 6), (2, 16, 4)])
@pytest.mark.parametrize(("order", "spatial", "temporal"), [(4, 0.25, 0.25), (1, 0.25, 0.5), (6, 0.7, 0.2)])
def test_the_filter_is_that_of_diffusers(shape, order, spatial, temporal):
    """At even lengths; theirs is in float32, its mean in the middle, and holds both halves of the spectrum."""
    ours = low_pass(shape, (temporal, spatial, spatial), order)
    whole = torch.fft.ifftshift(theirs(shape, order, spatial, temporal)[0, 0])
    assert (ours - whole[..., : shape[-1] // 2 + 1]).abs().max() < 1e-6


@pytest.mark.parametrize("shape", [(16, 8, 12), (4, 6, 6)])
def test_the_mixture_is_that_of_diffusers(shape):
    low, high = torch.randn(2, 3, 4, *shape, generator=torch.Generator().manual_seed(0))
    expected = FreeInitMixin()._apply_freq_filter(low, high, theirs(shape, 4, 0.25, 0.5))
    assert (zz.FreeInit(temporal=0.5)._mixed(low, high) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("shape", [(16, 8, 12), (5, 7, 9), (8, 8), (7, 5)])
def test_below_the_cut_off_is_one_and_above_it_the_other(shape):
    """A filter of high order is all or nothing: energy within half the cut-off, and beyond twice, kept to 1e-6."""
    sampler = zz.FreeInit(order=12, spatial=0.4, temporal=0.4)
    low, high = torch.randn(2, 2, 3, *shape, generator=torch.Generator().manual_seed(0))
    d = sum(
        (2 * torch.fft.fftfreq(n) / 0.4).square().view([-1 if i == axis else 1 for i in range(len(shape))])
        for axis, n in enumerate(shape)
    ).sqrt()
    axes = tuple(range(2, 2 + len(shape)))
    found, of_low, of_high = (torch.fft.fftn(x, dim=axes) for x in (sampler._mixed(low, high), low, high))
    for where, wanted in ((d <= 0.5, of_low), (d >= 2, of_high)):
        assert where.any()
        energy = wanted[..., where].abs().square().sum()
        assert (found - wanted)[..., where].abs().square().sum() <= 1e-6 * energy
        assert found[..., where].abs().square().sum() == pytest.approx(energy.item(), rel=1e-6)


@pytest.mark.parametrize("shape", [(16, 8, 12), (5, 7, 9), (8, 8), (1, 1), (1, 4, 4)])
def test_the_mean_is_handed_on_whole(shape):
    assert low_pass(shape, (0.25,) * len(shape), 4).flatten()[0] == 1
    low, high = torch.full((1, 2, *shape), 3.0), torch.randn(1, 2, *shape)
    mixed = zz.FreeInit()._mixed(low, high)
    axes = tuple(range(2, mixed.ndim))
    assert mixed.mean(axes).sub(3).abs().max() < 1e-5


def sample(sampler, solver=None, **fields):
    more = {"steps": T, "seeds": SEEDS, "output": "latent", **fields}
    return zz.sample(zz.Mixture(), PROMPTS, sampler=sampler, solver=solver, **more)


@pytest.mark.parametrize("inner", [zz.Standard(2.0), zz.Zigzag(2.0, 0.0), zz.Resampling(2.0), zz.GuidanceMatched(2.0)])
def test_one_iteration_is_the_inner_sampler(inner):
    one = zz.FreeInit(inner, 1)
    assert one.resolve(T) == inner.resolve(T)
    assert torch.equal(sample(one, zz.EulerAncestral()), sample(inner, zz.EulerAncestral()))
    thrice = zz.FreeInit(inner, 3)
    assert thrice.nfe(T) == 3 * inner.nfe(T)
    told = ("standard_gamma", "legs")  # what others want to know of a sampler
    assert all(getattr(thrice, name) == getattr(inner, name) for name in told)
    assert zz.FreeInit(zz.Zigzag(2.0, lambda_=0), 3).resolve(T) == zz.FreeInit(zz.Standard(2.0), 3)


@pytest.mark.parametrize("diffuse", ["last", "node"])
def test_an_iteration_begins_with_the_low_frequencies_of_the_last(diffuse):
    """The loop, written out: what is noised is the last result, with the noise of the very first start.

    Leading spacing begins at 751 of 1000 timesteps; the authors noise to the last of them.
    """
    sampler, steps = zz.FreeInit(zz.Standard(2.0), 3, diffuse=diffuse), []
    final = sample(sampler, probe=steps.append)
    starts, ends = [s.x for s in steps if s.i == 0], [s.y for s in steps if s.i == T - 1]
    assert len(starts) == len(ends) == 3 and torch.equal(ends[-1], final)
    assert torch.equal(starts[0], starting_noise(SEEDS, starts[0].shape[1:]))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - betas, 0)[999 if diffuse == "last" else 751].item()
    assert steps[0].source.time == 751
    for k in (1, 2):
        fresh = KeyedNoise(SEEDS, starts[0].shape[1:])(0, "free_init", k)
        low = abar**0.5 * ends[k - 1] + (1 - abar) ** 0.5 * starts[0]
        means = low.mean((2, 3))
        assert (starts[k].mean((2, 3)) - means).abs().max() < 1e-5
        assert torch.allclose(starts[k], sampler._mixed(low, fresh), rtol=0, atol=1e-5)
        assert not torch.allclose(starts[k], starts[k - 1], atol=0.1)


def test_no_noise_is_drawn_twice():
    keys, shape = [], (3, 32, 32)

    def noise(*key):
        keys.append(key)
        return KeyedNoise(SEEDS, shape)(*key)

    with zz.Mixture().open() as pipeline:
        guided = zz.CFG().bind(pipeline, *pipeline.encode(PROMPTS, [None] * 2))
        schedule = pipeline.schedule.nodes(pipeline.levels, T)
        sampler = zz.FreeInit(zz.Resampling(2.0), 3)
        sampler.sample(guided, starting_noise(SEEDS, shape), schedule, zz.DDIM(), noise)
    assert len(keys) == len(set(keys)) == 3 * (T - 1) + 2  # what resampling draws, and two fresh starts


def test_a_multistep_solver_begins_anew():
    """Its history does not reach from one iteration into the next."""
    steps = []
    sample(zz.FreeInit(zz.Standard(2.0), 2), zz.DPMpp2M(), probe=steps.append)
    second = [s.x for s in steps if s.i == 0][1]
    alone = sample(zz.Standard(2.0), zz.DPMpp2M(), initial_latents=second)
    assert torch.equal(alone, steps[-1].y)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inner": "zigzag"}, "inner='zigzag' must be a sampler other than FreeInit"),
        ({"inner": zz.FreeInit()}, "must be a sampler other than FreeInit"),
        ({"iterations": 0}, "iterations=0 must be a whole number of at least 1"),
        ({"order": 0.5}, "order=0.5 must be a whole number of at least 1"),
        ({"spatial": 0}, "spatial=0 lies outside 0.001..1"),
        ({"temporal": 1.5}, "temporal=1.5 lies outside"),
        ({"diffuse": "first"}, "diffuse='first' is not known; known are last, node"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        zz.FreeInit(**fields)


def test_a_control_that_needs_linear_guidance_is_found_inside():
    with pytest.raises(ValueError, match="affine in gamma"):
        sample(zz.FreeInit(zz.GuidanceMatched()), guidance=zz.CFG(rescale=0.5))
