"""Weak-to-strong reflection: zigzag as its special case, and other networks by guidance, prompt and weights."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from PIL import Image

import zz
from zz.diffusion.curve import Flow
from zz.diffusion.guidance import CFG, Embedded
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.samplers import EndToEnd, FixedPoint, GuidanceMatched, Reflection, Standard, Zigzag
from zz.diffusion.solvers import DDIM, EulerAncestral, EulerAncestralStored
from zz.diffusion.spacing import Own
from zz.diffusion.theorems import Reflections
from zz.diffusion.trajectory import Leg
from zz.lab.planner import Job
from zz.models.mixture import Mixture, points
from zz.models.networks import Network, Networks
from zz.sampling import check_guidance

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
        nodes = a.spacing.schedule(a.curve, sampler_steps).nodes
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
                x = x + t.alpha * h * (eps(2, y, s.told(t.time), gammas[2]) - e)
            e = eps(0, x, t, gammas[0])
            x = s.alpha * (x - t.sigma * e) / t.alpha + s.sigma * e
        return x


@pytest.mark.parametrize(
    ("strong", "weak", "others"),
    [
        (Network(), Network(), (None, None)),
        (Network(), Network(model=BLUNT), (None, None)),
        (Network(model=BLUNT), Network(), (None, None)),
        (Network(), Network(prompt="south"), (None, "south")),
        (Network(prompt="{prompt} east"), Network(model=BLUNT, prompt="south"), ("north east", "south")),
    ],
    ids=["guidance", "weak weights", "strong weights", "weak prompt", "both"],
)
def test_each_leg_asks_its_own_network(strong, weak, others):
    gammas = (2.0, 3.0, 1.5)
    ours = latents(Networks(PLANE, strong, weak), Reflection(*gammas), prompts=["north"])
    theirs = by_hand(PLANE, strong.model or PLANE, weak.model or PLANE, gammas, others=others)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-4)
    if strong != weak:
        assert (ours - latents(PLANE, Reflection(*gammas), prompts=["north"])).abs().max() > 1e-2


def test_a_weak_negative_prompt_is_what_an_unconditional_way_up_reads():
    weak = Networks(PLANE, weak=Network(negative_prompt="south"))
    asked = latents(weak, Zigzag(2.0, 0.0))
    assert torch.equal(asked, latents(Networks(PLANE, weak=Network(prompt="south")), Zigzag(2.0, 1.0)))
    assert not torch.equal(asked, latents(PLANE, Zigzag(2.0, 0.0)))


def test_a_reflection_moves_along_the_difference_of_the_scores():
    """x~ - x = alpha_t h_t (eps_weak - eps_strong)(x_t) + O(h^2), eps = -sigma * score: slope 2 in the step."""
    off = []
    for T in (256, 512, 1024):
        model, steps = Networks(PLANE, weak=Network(model=BLUNT)), []
        latents(
            model, Reflection(1.0, 1.0, 1.0), steps=T, probe=steps.append, schedule=zz.diffusion.spacing.LogUniform()
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
    latents(Networks(PLANE, weak=Network(model=BLUNT)), Reflection(2.0, 3.0, 0.5), probe=probe)
    assert len(probe.legs) == 7
    assert torch.allclose(probe.delta, torch.stack([leg.gain for leg in probe.legs]).sum(0), rtol=1e-4)


def job(sampler, model, **more):
    fields = {"solver": DDIM(), "guidance": CFG(), "spacing": Own(), "steps": 8, "size": (32, 32), "seed": 0}
    fields |= {"negative_prompt": None, "precision": "32", "dataset": "d", "digest": "d", "wanted": 1}
    fields |= {"prompts": ("a red circle",)}
    return Job(model=model, sampler=sampler, **(fields | more)).resolved()


def test_cells_hold_what_each_leg_asks_and_no_more():
    plain, weaker = Mixture(), Networks(Mixture(), weak=Network(model=Mixture(std=0.2)))
    key = lambda *args: job(*args).cell.key  # noqa: E731
    assert key(Standard(), weaker) == key(Standard(), plain)  # it never goes up
    assert key(Reflection(2.0), plain) == key(Zigzag(2.0), plain)  # one network: zigzag
    assert key(Reflection(2.0), weaker) == key(Zigzag(2.0), weaker) != key(Zigzag(2.0), plain)
    assert key(Reflection(2.0, 3.0), plain) not in (key(Zigzag(2.0), plain), key(Zigzag(3.0), plain))
    stronger = Networks(Mixture(), strong=Network(prompt="a photo of {prompt}"))
    assert key(Zigzag(2.0), stronger) == key(Zigzag(2.0), plain)  # only a reflection asks the strong one
    assert key(Reflection(2.0), stronger) != key(Zigzag(2.0), plain)
    same = Networks(Mixture(), Network(prompt="{prompt}"), Network(model=Mixture()))
    assert same.asked(tuple(Leg)) == plain
    keys = [
        key(Reflection(2.0), Networks(Mixture(), weak=weak))
        for weak in (Network(prompt=""), Network(prompt="blue"), Network(negative_prompt=""), Network(Mixture(std=0.3)))
    ]
    assert len(set(keys)) == 4
    for sampler in (EndToEnd(2.0), FixedPoint(2.0)):
        assert key(sampler, weaker) != key(sampler, plain)


def test_the_guidance_matched_control_is_for_one_network():
    weaker = Networks(Mixture(), weak=Network(model=Mixture(std=0.2)))
    kinds = {type(control.sampler) for control in job(Zigzag(2.0), weaker).controls().values()}
    assert kinds == {Standard}
    assert job(Zigzag(2.0), weaker).controls()["standard"].model == Mixture()
    assert GuidanceMatched in {type(c.sampler) for c in job(Reflection(2.0), Mixture()).controls().values()}


def test_networks_that_do_not_go_together_are_refused():
    flow = replace(PLANE, curve=Flow())
    with pytest.raises(ValueError, match=r"weak\.model=points has other noise levels than points"):
        latents(Networks(PLANE, weak=Network(model=flow)), Reflection())
    with pytest.raises(ValueError, match=r"strong\.model has latents"):
        Networks(Mixture(), strong=Network(model=PLANE)).open().__enter__().shape((32, 32))
    with pytest.raises(ValueError, match=r"weak\.prompt=3 must be a text"):
        Networks(PLANE, weak=Network(prompt=3))
    with pytest.raises(ValueError, match="nowhere"):
        latents(Networks(PLANE, weak=Network(prompt="nowhere")), Reflection())


def test_several_networks_make_what_the_steps_network_makes():
    """Clips stay clips, and guidance that is told to the network is told to each."""
    clips = replace(PLANE, std=0.2)
    object.__setattr__(clips, "frames", 4)
    object.__setattr__(clips, "fps", 12)
    object.__setattr__(clips, "embeds_guidance", True)
    pair = Networks(clips, weak=Network(prompt="south"))
    assert (pair.frames, pair.fps, pair.embeds_guidance) == (4, 12, True)
    assert not Networks(clips, weak=Network(model=BLUNT)).embeds_guidance
    check_guidance(Embedded(), pair)
    with pytest.raises(ValueError, match="negative_prompt has no part in guidance=embedded"):
        check_guidance(Embedded(), Networks(clips, weak=Network(negative_prompt="south")))


def test_inverting_asks_the_weak_network():
    picture = Image.new("RGB", (16, 16), "red")
    pair = Networks(Mixture(size=(16, 16)), weak=Network(model=Mixture(std=0.3, size=(16, 16))))
    up = [zz.invert(model, picture, "a red circle", steps=4) for model in (pair, pair.weak.model, pair.own)]
    assert torch.equal(up[0], up[1]) and not torch.equal(up[0], up[2])


def test_a_batch_is_its_pictures_alone():
    model = Networks(PLANE, weak=Network(prompt="{prompt} west"))
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
    pair = Networks(own, weak=Network(model=replace(own, unet=str(tmp_path / "weak"))))
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
