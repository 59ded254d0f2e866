"""Guidances that make other branches: their authors' formulas by hand, diffusers' guiders, and their limits."""

import importlib
from dataclasses import replace

import pytest
import torch

import zz
from tests.make import job
from zz.diffusion.guidance.apg import APG
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.fdg import FDG, low_frequencies
from zz.diffusion.guidance.mambo import MAMBO
from zz.diffusion.guidance.tcfg import TCFG
from zz.diffusion.guidance.zero_star import CFGZeroStar
from zz.diffusion.leg import Leg
from zz.diffusion.levels import discrete
from zz.diffusion.noise import starting_noise
from zz.diffusion.outputs import from_output, output
from zz.diffusion.prediction import from_eps
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedule import Node
from zz.diffusion.schedules.timesteps import Timesteps
from zz.lab.sharing import family
from zz.models.mixture import Mixture

NODES = Timesteps("leading", 1).nodes(discrete(), 8)
NODE, FLOW = NODES[3], Node(0.3, 0.7, 700.0)
X = starting_noise((0, 1, 2), (4, 8, 6)).double()
KINDS = ("eps", "x0", "v", "velocity")
ALL = [
    *(make(output=kind) for make in (APG, CFGZeroStar, TCFG, MAMBO, FDG) for kind in KINDS),
    APG(momentum=0.0),
    APG(norm=0.5, momentum=0.0),
    APG(eta=0.3, norm=0.0),
    FDG(low=0.2, levels=2),
]


class Net:
    """Says noise that is not linear in its condition, a number; counts its rows."""

    def __init__(self):
        self.rows = 0

    def __call__(self, x, node, *conds):
        self.rows += len(conds)
        return tuple(from_eps(x, node, torch.sin(x * (1 + cond)) + cond * x.roll(1, -1)) for cond in conds)


def said(guidance, gamma, x=X, node=NODE, leg=Leg.ZIG, cond=0.7, uncond=0.0):
    return guidance.bind(Net(), cond, uncond)(x, node, gamma, leg)


def branches(kind, x=X, node=NODE):
    return [output(one, node, kind) for one in Net()(x, node, 0.0, 0.7)]


def same(a, b, tolerance=1e-12):
    return torch.allclose(a, b, rtol=0, atol=tolerance * float(b.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("node", [NODE, NODES[0], FLOW], ids=["middle", "noisy", "flow"])
def test_an_output_leads_back_to_its_prediction(kind, node):
    if kind == "v" and node is FLOW:
        pytest.skip("of networks that say v")
    prediction = from_eps(X, node, torch.sin(X))
    back = from_output(X, node, output(prediction, node, kind), kind)
    assert same(back.x0, prediction.x0, 1e-9) and same(back.eps, prediction.eps, 1e-9)


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_it_stays_on_the_line_and_counts_its_rows(guidance):
    for gamma in (0.0, 0.5, 1.0, 3.0, torch.tensor([1.0, 2.0, 3.0])):
        net = Net()
        found = guidance.bind(net, 0.7, 0.0)(X, NODE, gamma, Leg.ZIG)
        assert net.rows == guidance.evals(gamma, NODE, Leg.ZIG)
        assert same(NODE.alpha * found.x0 + NODE.sigma * found.eps, X, 1e-9)


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_it_is_affine_in_gamma_if_it_says_so(guidance):
    zero, two, five = (said(guidance, gamma).eps for gamma in (0.0, 2.0, 5.0))
    assert same(zero + 2.5 * (two - zero), five, 1e-9)
    assert guidance.affine == (not getattr(guidance, "momentum", 0)) and not guidance.plain
    if type(guidance) is not FDG:
        assert torch.equal(said(guidance, 1.0).eps, Net()(X, NODE, 0.7)[0].eps)


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_a_scale_for_each_picture_is_that_pictures_own(guidance):
    together = said(guidance, torch.tensor([1.5, 2.0, 4.0]))
    for row, gamma in enumerate((1.5, 2.0, 4.0)):
        assert same(together.eps[row], said(guidance, gamma, X[row : row + 1]).eps[0], 1e-9)


PLAIN = [
    APG(eta=1.0, norm=0.0, momentum=0.0),
    *(FDG(low=1.0, output=kind, levels=levels) for kind in KINDS for levels in (1, 3)),
    MAMBO(alpha=0.0),
]


@pytest.mark.parametrize("guidance", PLAIN, ids=repr)
def test_in_the_limit_it_is_classifier_free_guidance(guidance):
    assert same(said(guidance, 3.0).eps, said(CFG(), 3.0).eps, 1e-9)


@pytest.mark.parametrize("guidance", ALL, ids=repr)
def test_where_the_prompt_says_nothing_it_says_nothing(guidance):
    found = said(guidance, 4.0, cond=0.0, uncond=0.0)
    assert same(found.eps, Net()(X, NODE, 0.0)[0].eps, 1e-9)


class TestByHand:
    """The authors' formulas, picture by picture, in numpy's way."""

    def test_apg(self):
        found = output(said(APG(eta=0.2, norm=3.0, momentum=0.0), 5.0), NODE, "x0")
        for u, c, got in zip(*branches("x0"), found, strict=True):
            d = (c - u) * min(1.0, 3.0 / float((c - u).norm()))
            direction = c / c.norm()
            along = (d * direction).sum() * direction
            assert same(c + 4.0 * (d - along + 0.2 * along), got, 1e-9)

    def test_momentum_is_of_each_leg_and_begins_anew_with_each_trajectory(self):
        guidance = APG(eta=1.0, norm=0.0, momentum=-0.5)
        bound = guidance.bind(Net(), 0.7, 0.0)
        (u, c), d = branches("x0"), None
        for _ in range(3):
            d = (c - u) if d is None else (c - u) - 0.5 * d
            assert same(output(bound(X, NODE, 3.0, Leg.ZIG), NODE, "x0"), c + 2.0 * d, 1e-9)
        assert same(output(bound(X, NODE, 3.0, Leg.ZAG), NODE, "x0"), c + 2.0 * (c - u), 1e-9)
        assert same(output(said(guidance, 3.0), NODE, "x0"), c + 2.0 * (c - u), 1e-9)

    def test_cfg_zero_star(self):
        u, c = branches("velocity", node=FLOW)
        found = output(said(CFGZeroStar(), 5.0, node=FLOW), FLOW, "velocity")
        for a, b, got in zip(u, c, found, strict=True):
            s = (a * b).sum() / (a * a).sum()
            assert same(s * a + 5.0 * (b - s * a), got, 1e-9)
            assert abs((a * (b - s * a)).sum()) < 1e-9 * (b * b).sum(), "s u is the nearest that u comes to c"

    def test_tcfg(self):
        found = said(TCFG(), 5.0).eps
        for u, c, got in zip(*branches("eps"), found, strict=True):
            _, _, rows = torch.linalg.svd(torch.stack([c.flatten(), u.flatten()]), full_matrices=False)
            kept = ((u.flatten() @ rows[0]) * rows[0]).view_as(u)
            assert same(kept + 5.0 * (c - kept), got, 1e-9)

    def test_mambo(self):
        found = output(said(MAMBO(alpha=2.0), 5.0), NODE, "velocity")
        for u, c, got in zip(*branches("velocity"), found, strict=True):
            w = 1 + 4.0 * torch.exp(-2.0 * (c - u).norm() / u.norm())
            assert same(u + w * (c - u), got, 1e-9)

    def test_fdg(self):
        u, c = branches("x0")
        low = low_frequencies(c - u, 1)
        found = output(said(FDG(low=0.5), 10.0), NODE, "x0")
        assert same(u + 10.0 * (c - u - low) + 5.0 * low, found, 1e-9)


def test_low_frequencies_are_what_changes_slowly():
    flat, line = torch.ones(1, 2, 8, 8), torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    assert torch.allclose(low_frequencies(flat, 3), flat)
    assert (low_frequencies(line, 1) - line)[..., 4:-4].abs().max() < 0.01
    assert low_frequencies(board.expand(1, 1, 8, 8), 1).abs().max() < 0.01
    for shape in ((1, 3, 7, 5), (2, 1, 1, 1), (1, 2, 2, 9)):
        assert low_frequencies(torch.rand(shape), 2).shape == shape
    clip = torch.rand(2, 3, 4, 8, 8)
    assert torch.equal(low_frequencies(clip, 1)[:, :, 2], low_frequencies(clip[:, :, 2], 1))


class TestDiffusers:
    """The guiders' own functions of two predictions, which are the network's raw output."""

    @pytest.fixture
    def guiders(self):
        return importlib.import_module("diffusers.guiders")

    @pytest.mark.parametrize("kind", ["eps", "x0"])
    def test_each_is_its_guiders_forward(self, guiders, kind):
        made = {
            CFGZeroStar(output=kind): guiders.ClassifierFreeZeroStarGuidance(5.0, zero_init_steps=0),
            TCFG(output=kind): guiders.TangentialClassifierFreeGuidance(5.0),
            MAMBO(output=kind): guiders.MagnitudeAwareGuidance(5.0),
        }
        u, c = branches(kind)
        for guidance, guider in made.items():
            guider.set_state(step=3, num_inference_steps=8, timestep=torch.tensor(500))
            # theirs in float32, flat: the norm of its guider of MAMBO-G takes no more dimensions
            wanted = guider.forward(c.flatten(1), u.flatten(1)).pred.view_as(c)
            assert same(output(said(guidance, 5.0), NODE, kind), wanted.double(), 1e-5), guidance

    @pytest.mark.parametrize("momentum", [0.0, -0.5])
    def test_apg_is_theirs_in_the_papers_own_form(self, guiders, momentum):
        """use_original_formulation: c + scale * update, the paper's gamma - 1."""
        theirs = importlib.import_module("diffusers.guiders.adaptive_projected_guidance")
        guidance = APG(eta=0.25, norm=4.0, momentum=momentum, output="x0")
        guider = guiders.AdaptiveProjectedGuidance(4.0, momentum or None, 4.0, eta=0.25, use_original_formulation=True)
        bound, (u, c) = guidance.bind(Net(), 0.7, 0.0), branches("x0")
        for step in range(3):
            guider.set_state(step=step, num_inference_steps=8, timestep=torch.tensor(500))
            if step == 0 and momentum:
                guider.momentum_buffer = theirs.MomentumBuffer(momentum)
            wanted = guider.forward(c, u).pred
            assert same(output(bound(X, NODE, 5.0, Leg.ZIG), NODE, "x0"), wanted, 1e-6)


class TestInSamplers:
    @pytest.mark.parametrize("guidance", [APG(), CFGZeroStar(), TCFG(), MAMBO(), FDG()], ids=repr)
    def test_a_zigzag_is_finite_and_without_lambda_standard(self, guidance):
        settings = {"guidance": guidance, "steps": 6, "output": "latent"}
        plain, none, zigzag = (
            zz.sample(Mixture(), ["a red circle", "a blue star"], sampler=sampler, **settings)
            for sampler in (zz.Standard(2.0), Zigzag(2.0, 0.0, lambda_=0), Zigzag(2.0, 0.0))
        )
        assert torch.equal(plain, none) and zigzag.isfinite().all() and not torch.equal(plain, zigzag)

    @pytest.mark.parametrize("guidance", [CFGZeroStar(), TCFG(), MAMBO(), FDG(), APG(momentum=0.0)], ids=repr)
    def test_the_matched_control_is_there_where_scales_add_up(self, guidance):
        """To first order in the step: the finer the steps, the nearer a zigzag comes to its control."""
        assert "guidance_matched" in job(guidance=guidance).controls()
        apart = []
        for T in (25, 200):
            settings = {"guidance": guidance, "steps": T, "output": "latent", "seed": 3}
            prompts = ["a red circle", "a star"]
            ours, matched, standard = (
                zz.sample(Mixture(), prompts, sampler=sampler, **settings)
                for sampler in (Zigzag(1.5, 0.5, lambda_=3), GuidanceMatched(1.5, 0.5, 3), zz.Standard(1.5))
            )
            apart.append(float((ours - matched).norm() / (ours - standard).norm()))
        assert apart[1] < 0.5 * apart[0]

    def test_where_they_do_not_it_is_refused(self):
        assert "guidance_matched" not in job(guidance=APG()).controls()
        with pytest.raises(ValueError, match="sampler=guidance_matched needs a guidance that is affine in gamma"):
            zz.sample(Mixture(), "a star", sampler=GuidanceMatched(2.0, 0.0), guidance=APG(), steps=4)
        with pytest.raises(ValueError, match=r"implicit_zigzag needs a guidance .* of the network's own branches"):
            zz.sample(Mixture(), "a star", sampler=ImplicitZigzag(2.0), guidance=TCFG(), steps=4)

    def test_trajectories_with_memory_share_no_beginnings(self):
        longer, shorter = (Zigzag(2.0, 0.0, lambda_=n) for n in (4, 2))
        for guidance, shared in ((APG(), False), (APG(momentum=0.0), True), (zz.GuidanceInterval(APG()), False)):
            a, b = (family(job(sampler=sampler, guidance=guidance)) for sampler in (longer, shorter))
            assert (a == b) == shared

    def test_bad_fields_are_named(self):
        for make, message in (
            (lambda: APG(momentum=2.0), "guidance.momentum=2"),
            (lambda: APG(norm=-1.0), "guidance.norm=-1"),
            (lambda: FDG(levels=9), "guidance.levels=9"),
            (lambda: MAMBO(alpha=-1.0), "guidance.alpha=-1"),
            (lambda: replace(TCFG(), output="noise"), "guidance.output='noise' is not known"),
        ):
            with pytest.raises(ValueError, match=message):
                make()
