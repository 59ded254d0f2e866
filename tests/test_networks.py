"""Weak-to-strong reflection: zigzag as its special case, and other networks by guidance, prompt and weights."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from PIL import Image

import zz
from tests import make
from zz.diffusion.guidance.embedded import Embedded
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Flow
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.probes.reflections import Reflections
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.fixed_point import FixedPoint
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.reflection import Reflection
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.log_uniform import LogUniform
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.solvers.euler_ancestral import EulerAncestral, EulerAncestralStored
from zz.models.base import Can
from zz.models.compatible import check_guidance
from zz.models.mixture import Mixture, points
from zz.models.networks import PerLeg, Side
from zz.worlds.scenes import Compass

PLANE = points(std=0.3)
BLUNT = replace(PLANE, std=0.6)  # the same world, seen less sharply
ONE = {"prompts": ["north", "south east"], "steps": 8, "size": (1, 1), "output": "latent"}


def latents(model, sampler, **more):
    return zz.sample(model, sampler=sampler, **(ONE | more))


@pytest.mark.parametrize("solver", [DDIM(), EulerAncestral(), EulerAncestralStored()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("gamma2", [0.0, 1.0, 2.0])
def test_zigzag_is_the_reflection_of_one_network_to_the_bit(gamma2, solver):
    for rounds in (1, 2):
        reflection, zigzag = Reflection(3.0, 3.0, gamma2, rounds=rounds), Zigzag(3.0, gamma2, rounds=rounds)
        assert torch.equal(latents(PLANE, reflection, solver=solver), latents(PLANE, zigzag, solver=solver))
    assert not torch.equal(latents(PLANE, Reflection(3.0, 2.0, gamma2)), latents(PLANE, Zigzag(3.0, gamma2)))


def by_hand(own, strong, weak, gammas, sampler_steps=8, prompt="north", others=(None, None)):
    """One picture by the formula, with each network asked directly: (model, prompt) for steps, strong and weak."""
    with own.open() as a, strong.open() as b, weak.open() as c:
        nodes = a.schedule.nodes(a.levels, sampler_steps)
        nets = []
        for pipeline, text in ((a, prompt), (b, others[0] or prompt), (c, others[1] or prompt)):
            cond, uncond = pipeline.encode([text], [None])
            nets.append((pipeline, cond, uncond))

        def eps(which, x, node, gamma):
            pipeline, cond, uncond = nets[which]
            u, c = pipeline(x, node, uncond, cond)
            return u.eps + gamma * (c.eps - u.eps)

        x = starting_noise([0], (2, 1, 1))
        for i, (t, s) in enumerate(pairwise(nodes)):
            if i < sampler_steps - 1:
                h = t.r - s.r
                e = eps(1, x, t, gammas[1])
                y = s.alpha * (x - t.sigma * e) / t.alpha + s.sigma * e
                x = x + t.alpha * h * (eps(2, y, s.with_time(t.time), gammas[2]) - e)
            e = eps(0, x, t, gammas[0])
            x = s.alpha * (x - t.sigma * e) / t.alpha + s.sigma * e
        return x


@pytest.mark.parametrize(
    ("strong", "weak", "others"),
    [
        (Side(), Side(), (None, None)),
        (Side(), Side(model=BLUNT), (None, None)),
        (Side(model=BLUNT), Side(), (None, None)),
        (Side(), Side(prompt="south"), (None, "south")),
        (Side(prompt="{prompt} east"), Side(model=BLUNT, prompt="south"), ("north east", "south")),
    ],
    ids=["guidance", "weak weights", "strong weights", "weak prompt", "both"],
)
def test_each_leg_asks_its_own_network(strong, weak, others):
    gammas = (2.0, 3.0, 1.5)
    ours = latents(PerLeg(PLANE, strong, weak), Reflection(*gammas), prompts=["north"])
    theirs = by_hand(PLANE, strong.model or PLANE, weak.model or PLANE, gammas, others=others)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-4)
    if strong != weak:
        assert (ours - latents(PLANE, Reflection(*gammas), prompts=["north"])).abs().max() > 1e-2


def test_a_weak_negative_prompt_is_what_an_unconditional_way_up_reads():
    weak = PerLeg(PLANE, weak=Side(negative_prompt="south"))
    asked = latents(weak, Zigzag(2.0, 0.0))
    assert torch.equal(asked, latents(PerLeg(PLANE, weak=Side(prompt="south")), Zigzag(2.0, 1.0)))
    assert not torch.equal(asked, latents(PLANE, Zigzag(2.0, 0.0)))


def test_a_reflection_moves_along_the_difference_of_the_scores():
    """x~ - x = alpha_t h_t (eps_weak - eps_strong)(x_t) + O(h^2), eps = -sigma * score: slope 2 in the step."""
    off = []
    for T in (256, 512, 1024):
        model, steps = PerLeg(PLANE, weak=Side(model=BLUNT)), []
        latents(
            model,
            Reflection(1.0, 1.0, 1.0),
            steps=T,
            probe=steps.append,
            schedule=LogUniform(),
        )
        zig = next(s for s in steps if s.leg is Leg.STRONG and s.i == T // 2)
        zag = next(s for s in steps if s.leg is Leg.ZAG and s.i == T // 2)
        t, s = zig.source, zig.target
        scores = -torch.stack([zag.denoise(zig.x, t, 1.0, leg).eps for leg in (Leg.STRONG, Leg.ZAG)]) / t.sigma
        moved = t.alpha * (t.r - s.r) * t.sigma * (scores[0] - scores[1])
        assert moved.norm() > 1e-4
        off.append((zag.y - zig.x - moved).double().norm().item())
    assert torch.tensor(off[-2] / off[-1]).log2().item() == pytest.approx(2, abs=0.2)


def test_theorem_2_holds_with_a_network_for_each_leg():
    probe = Reflections()
    latents(PerLeg(PLANE, weak=Side(model=BLUNT)), Reflection(2.0, 3.0, 0.5), probe=probe)
    assert len(probe.legs) == 7
    assert torch.allclose(probe.delta, torch.stack([leg.gain for leg in probe.legs]).sum(0), rtol=1e-4)


def job(sampler, model, **more):
    return make.job(("a red circle",), sampler=sampler, model=model, steps=8, **more)


def test_cells_hold_what_each_leg_asks_and_no_more():
    plain, weaker = Mixture(), PerLeg(Mixture(), weak=Side(model=Mixture(std=0.2)))
    key = lambda *args: job(*args).cell.key  # noqa: E731
    assert key(Standard(), weaker) == key(Standard(), plain)  # it never goes up
    assert key(Reflection(2.0), plain) == key(Zigzag(2.0), plain)  # one network: zigzag
    assert key(Reflection(2.0), weaker) == key(Zigzag(2.0), weaker) != key(Zigzag(2.0), plain)
    assert key(Reflection(2.0, 3.0), plain) not in (key(Zigzag(2.0), plain), key(Zigzag(3.0), plain))
    stronger = PerLeg(Mixture(), strong=Side(prompt="a photo of {prompt}"))
    assert key(Zigzag(2.0), stronger) == key(Zigzag(2.0), plain)  # only a reflection asks the strong one
    assert key(Reflection(2.0), stronger) != key(Zigzag(2.0), plain)
    same = PerLeg(Mixture(), Side(prompt="{prompt}"), Side(model=Mixture()))
    assert same.asked(tuple(Leg)) == plain
    keys = [
        key(Reflection(2.0), PerLeg(Mixture(), weak=weak))
        for weak in (Side(prompt=""), Side(prompt="blue"), Side(negative_prompt=""), Side(Mixture(std=0.3)))
    ]
    assert len(set(keys)) == 4
    for sampler in (EndToEnd(2.0), FixedPoint(2.0)):
        assert key(sampler, weaker) != key(sampler, plain)


def test_the_guidance_matched_control_is_for_one_network():
    weaker = PerLeg(Mixture(), weak=Side(model=Mixture(std=0.2)))
    kinds = {type(control.recipe.sampler) for control in job(Zigzag(2.0), weaker).controls().values()}
    assert kinds == {Standard}
    assert job(Zigzag(2.0), weaker).controls()["standard"].model == Mixture()
    assert GuidanceMatched in {type(c.recipe.sampler) for c in job(Reflection(2.0), Mixture()).controls().values()}


def test_networks_that_do_not_go_together_are_refused():
    flow = replace(PLANE, levels=Flow())
    with pytest.raises(ValueError, match=r"weak\.model=points has other noise levels than points"):
        latents(PerLeg(PLANE, weak=Side(model=flow)), Reflection())
    with pytest.raises(ValueError, match=r"strong\.model has latents"):
        PerLeg(Mixture(), strong=Side(model=PLANE)).open().__enter__().shape((32, 32))
    with pytest.raises(ValueError, match=r"weak\.prompt=3 must be a text"):
        PerLeg(PLANE, weak=Side(prompt=3))
    with pytest.raises(ValueError, match="nowhere"):
        latents(PerLeg(PLANE, weak=Side(prompt="nowhere")), Reflection())


def test_several_networks_make_what_the_steps_network_makes():
    """Clips stay clips, and guidance that is told to the network is told to each."""

    @dataclass(frozen=True)
    class Clips(Mixture):
        frames: int = 4
        fps: int = 12

        @property
        def can(self):
            return Can(scaled=True)

    clips = Clips(world=Compass(), std=0.2, size=(1, 1))
    pair = PerLeg(clips, weak=Side(prompt="south"))
    assert (pair.frames, pair.fps, pair.can) == (4, 12, Can(scaled=True, weak=True))
    assert not PerLeg(clips, weak=Side(model=BLUNT)).can.scaled
    check_guidance(Embedded(), pair)
    with pytest.raises(ValueError, match="negative_prompt has no part in guidance=embedded"):
        check_guidance(Embedded(), PerLeg(clips, weak=Side(negative_prompt="south")))


def test_inverting_asks_the_weak_network():
    picture = Image.new("RGB", (16, 16), "red")
    pair = PerLeg(Mixture(size=(16, 16)), weak=Side(model=Mixture(std=0.3, size=(16, 16))))
    up = [zz.invert(model, picture, "a red circle", steps=4) for model in (pair, pair.weak.model, pair.own)]
    assert torch.equal(up[0], up[1]) and not torch.equal(up[0], up[2])


def test_a_batch_is_its_pictures_alone():
    model = PerLeg(PLANE, weak=Side(prompt="{prompt} west"))
    both = latents(model, Reflection(2.0, 3.0, 1.0), prompts=["north", "south"], seeds=[4, 5])
    alone = latents(model, Reflection(2.0, 3.0, 1.0), prompts=["south"], seeds=[5])
    assert torch.allclose(both[1:], alone, atol=1e-6)
    noise = KeyedNoise((4,), (2, 1, 1))
    assert torch.equal(noise(1, "zig", 0), noise(1, Leg.ZIG, 0))


def test_other_weights_of_a_real_unet(tmp_path):
    """Two tiny Stable Diffusions that share all but the U-Net: the weak one is asked on the way up, and only there."""
    from .parity import tiny

    tiny.sd().save_pretrained(tmp_path / "own")
    tiny.unet(seed=1).save_pretrained(tmp_path / "weak")
    own = zz.StableDiffusion(str(tmp_path / "own"), size=(16, 16))
    pair = PerLeg(own, weak=Side(model=replace(own, unet=str(tmp_path / "weak"))))
    ask = {"prompts": ["a b"], "steps": 3, "output": "latent", "device": "cpu"}
    with pair.open() as opened, own.open() as alone, replace(own, unet=str(tmp_path / "weak")).open() as weak:
        asked = []
        for name, pipeline in (("own", opened.own), ("weak", opened.sides[Leg.ZAG][1])):
            pipeline.parts.unet.register_forward_hook(lambda *_, name=name: asked.append(name))
        found = zz.sample(opened, sampler=Reflection(2.0, 2.0, 1.0), size=(16, 16), **ask)
        assert asked == ["own", "weak", "own"] * 2 + ["own"]
        assert not torch.equal(found, zz.sample(alone, sampler=Zigzag(2.0, 1.0), size=(16, 16), **ask))
        assert not torch.equal(found, zz.sample(weak, sampler=Zigzag(2.0, 1.0), size=(16, 16), **ask))
    a, b = (job(Zigzag(2.0), model, size=(16, 16)).cell.ledger["model"] for model in (own, pair))
    assert b["weights"] == a["weights"] != b["weak"]["model"]["weights"]
