"""Any guider of diffusers against its own forward and hooks; skip-layer and token-perturbation guidance by hand."""

import importlib
from dataclasses import replace

import diffusers
import pytest
import torch
from PIL import Image

import zz
from tests.make import job
from tests.parity import tiny
from zz.diffusion.guidance.altered import Altered
from zz.diffusion.guidance.apg import APG
from zz.diffusion.guidance.embedded import Embedded
from zz.diffusion.guidance.slg import SLG
from zz.diffusion.guidance.text_mix import TextMix
from zz.diffusion.guidance.tpg import TPG
from zz.diffusion.leg import Leg
from zz.diffusion.levels import discrete
from zz.diffusion.noise import key, starting_noise
from zz.diffusion.outputs import output
from zz.diffusion.prediction import from_eps
from zz.diffusion.probes.meter import Meter
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.rf_sampling import RFSampling
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.timesteps import Timesteps
from zz.models.guider import Guider, guiders
from zz.models.mixture import Mixture
from zz.models.pretrained.borrowed import adapted

NODES = Timesteps("leading", 1).nodes(discrete(), 8)
X = starting_noise((0, 1), (4, 8, 6))
EVERYWHERE = {"start": 0.0, "stop": 1.0}
PURE = {  # whose arithmetic is all there is to them
    "AdaptiveProjectedGuidance": {"eta": 0.5, "adaptive_projected_guidance_rescale": 4.0},
    "AdaptiveProjectedMixGuidance": {},
    "ClassifierFreeGuidance": {"guidance_rescale": 0.3},
    "ClassifierFreeZeroStarGuidance": {"zero_init_steps": 2},
    "LTX2Guidance": {"guidance_rescale": 0.5},
    "MagnitudeAwareGuidance": {},
    "TangentialClassifierFreeGuidance": {"start": 0.25, "stop": 0.75},
}
SKIP = {"indices": [0], "skip_attention": False}  # its feed-forward
HOOKED = {
    "SkipLayerGuidance": {"skip_layer_config": SKIP, "skip_layer_guidance_stop": 1.0},
    "AutoGuidance": {"auto_guidance_config": {**SKIP, "dropout": 1.0}},
}


class Net:
    """Says noise that is not linear in its condition, a number; counts its rows."""

    def __init__(self):
        self.rows = 0

    def __call__(self, x, node, *conds):
        self.rows += len(conds)
        return tuple(from_eps(x, node, torch.sin(x * (1 + cond)) + cond * x.roll(1, -1)) for cond in conds)


def made(name, scale, step, options):
    guider = getattr(importlib.import_module("diffusers.guiders"), name)(guidance_scale=scale, **options)
    guider.set_state(step, NODES.T, torch.tensor(NODES[step].time))
    return guider


def test_every_guider_of_this_diffusers_is_known_here():
    """A new one is to be looked at: has it hooks, or predictions of its own?"""
    elsewhere = {"FrequencyDecoupledGuidance", "PerturbedAttentionGuidance", "SmoothedEnergyGuidance"}
    assert set(guiders()) == {*PURE, *HOOKED, *elsewhere}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_guider_is_its_own_forward_at_every_step(name):
    """Clips of one frame: the norm of its guider of MAMBO-G takes no four dimensions, nor any other five."""
    x = X.flatten(1) if name == "MagnitudeAwareGuidance" else X
    guidance = Guider(name, PURE[name], output="x0").for_nodes(NODES)
    net = Net()
    bound = guidance.bind(net, 0.7, 0.0)
    theirs = made(name, 5.0, 0, PURE[name])
    for step in range(NODES.T):
        node, before = NODES[step], net.rows
        found = output(bound(x, node, 5.0, Leg.ZIG), node, "x0")
        theirs.set_state(step, NODES.T, torch.tensor(node.time))
        wanted = theirs.prepare_inputs({"condition": (0.7, 0.0)})
        for batch in wanted:
            batch.noise_pred = output(Net()(x, node, batch.condition)[0], node, "x0")
        assert torch.allclose(found, theirs(wanted).pred, rtol=1e-5, atol=1e-5), step
        assert net.rows - before == guidance.evals(5.0, node, Leg.ZIG) == theirs.num_conditions


def test_it_is_our_guidance_of_the_same_formula():
    """diffusers' form around u at scale g is the paper's around c at g + 1."""
    options = {"eta": 1.0, "adaptive_projected_guidance_rescale": 0.0, "adaptive_projected_guidance_momentum": None}
    theirs = Guider("AdaptiveProjectedGuidance", options, output="x0").for_nodes(NODES).bind(Net(), 0.7, 0.0)
    ours = APG(eta=1.0, norm=0.0, momentum=0.0).bind(Net(), 0.7, 0.0)
    for gamma in (0.0, 1.0, 3.0):
        found, wanted = (bound(X, NODES[2], gamma, Leg.ZIG).x0 for bound in (theirs, ours))
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_each_leg_and_trajectory_has_a_memory_of_its_own():
    guidance = Guider("AdaptiveProjectedGuidance", {"adaptive_projected_guidance_momentum": -0.5}, "x0")
    placed = guidance.for_nodes(NODES)
    bound = placed.bind(Net(), 0.7, 0.0)
    first, again = (bound(X, NODES[i], 3.0, Leg.ZIG).x0 for i in (0, 0))
    assert torch.equal(first, again), "it begins anew at the first step"
    bound(X, NODES[1], 3.0, Leg.ZIG)
    second = bound(X, NODES[1], 3.0, Leg.ZIG).x0
    fresh = placed.bind(Net(), 0.7, 0.0)
    assert torch.equal(fresh(X, NODES[0], 3.0, Leg.ZIG).x0, first)
    assert torch.equal(bound(X, NODES[1], 3.0, Leg.ZAG).x0, fresh(X, NODES[1], 3.0, Leg.ZAG).x0)
    assert not torch.equal(second, bound(X, NODES[1], 3.0, Leg.ZIG).x0)
    assert guidance.remembers and not guidance.affine


def test_a_zigzag_under_a_guider_is_finite_and_without_lambda_standard():
    settings = {"guidance": Guider("AdaptiveProjectedGuidance"), "steps": 6, "output": "latent"}
    plain, none, zigzag = (
        zz.sample(Mixture(), ["a red circle", "a blue star"], sampler=sampler, **settings)
        for sampler in (zz.Standard(2.0), Zigzag(2.0, 0.0, lambda_=0), Zigzag(2.0, 0.0))
    )
    assert torch.equal(plain, none) and zigzag.isfinite().all() and not torch.equal(plain, zigzag)
    off = Guider("AdaptiveProjectedGuidance", zag=False)
    one = zz.sample(Mixture(), "a star", sampler=Zigzag(2.0, 1.5), **settings)
    two = zz.sample(Mixture(), "a star", sampler=Zigzag(2.0, 1.5), **{**settings, "guidance": off})
    assert not torch.equal(one, two), "its way up is plain"


@pytest.fixture(scope="module")
def flow():
    with adapted(tiny.sd3(transformer=tiny.sd3_transformer(num_layers=4))) as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def unet():
    with adapted(tiny.sd()) as pipeline:
        yield pipeline


class TestHooks:
    @pytest.mark.parametrize("name", HOOKED)
    def test_its_hooks_are_there_for_its_prediction_only(self, flow, name):
        from diffusers.hooks import LayerSkipConfig, apply_layer_skip
        from diffusers.hooks.hooks import HookRegistry
        from diffusers.hooks.layer_skip import _LAYER_SKIP_HOOK

        nodes = flow.schedule.nodes(flow.levels, 4)
        cond, uncond = flow.encode(["a red star", "a ring"], [None, None])
        x = starting_noise((0, 1), flow.shape((64, 64)))
        guidance = Guider(name, HOOKED[name], "velocity").for_nodes(nodes)
        bound = flow.bind(guidance, cond, uncond)
        found = output(bound(x, nodes[1], 4.0, Leg.ZIG), nodes[1], "velocity")
        u, c = (output(one, nodes[1], "velocity") for one in flow(x, nodes[1], uncond, cond))
        apply_layer_skip(flow.net, LayerSkipConfig(**SKIP))
        bare_u, bare_c = (output(one, nodes[1], "velocity") for one in flow(x, nodes[1], uncond, cond))
        HookRegistry.check_if_exists_or_initialize(flow.net).remove_hook(_LAYER_SKIP_HOOK, recurse=True)
        wanted = u + 4 * (c - u) + 2.8 * (c - bare_c) if name == "SkipLayerGuidance" else bare_u + 4 * (c - bare_u)
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(c, bare_c, atol=1e-3)
        assert torch.equal(c, output(flow(x, nodes[1], uncond, cond)[1], nodes[1], "velocity")), "and gone after"

    def test_what_does_not_fit_is_one_message(self, flow, unet):
        whole = {"skip_layer_config": {"indices": [1]}, "skip_layer_guidance_stop": 1.0}
        blur = {"seg_guidance_config": {"indices": [0]}, "seg_blur_sigma": 1.0}
        for pipeline, guidance, message in (
            (flow, Guider("SkipLayerGuidance", whole, "velocity"), "does not fit its network .* choose guidance=slg"),
            (flow, Guider("SmoothedEnergyGuidance", blur, "velocity"), "does not count .* choose guidance=seg"),
            (unet, Guider("SkipLayerGuidance", whole), "SkipLayerGuidance in a UNet2DConditionModel: Could not find"),
            (flow, Guider("ClassifierFreeGuidance"), "guidance.output=eps .* choose guidance.output=velocity"),
        ):
            size = (64, 64) if pipeline is flow else (32, 32)
            with pytest.raises(ValueError, match=message):
                zz.sample(pipeline, "a star", sampler=zz.Standard(3.0), guidance=guidance, steps=4, size=size)

    def test_a_model_that_cannot_be_changed_refuses_it(self):
        with pytest.raises(ValueError, match=r"guidance=Guider changes the network .* choose guidance=cfg"):
            zz.sample(Mixture(), "a star", guidance=Guider("AutoGuidance", HOOKED["AutoGuidance"]), steps=4)


def test_bad_options_are_named():
    for arguments, message in (
        (("Nothing",), "guidance.guider=Nothing is not in the installed diffusers: Adaptive"),
        (("AutoGuidance",), "guidance.options={} of guidance.guider=AutoGuidance: Either"),
        (("ClassifierFreeGuidance", {"eta": 1}), "guidance.options.eta: ClassifierFreeGuidance has no such option"),
        (("ClassifierFreeGuidance", {"guidance_scale": 1}), "guidance.options.guidance_scale: .* has no such option"),
        (("ClassifierFreeGuidance", 3), "guidance.options=3 must be a mapping"),
        (("LTX2Guidance", {"stg_scale": 1.0}), "predictions that only its own pipeline can make; leave them out"),
    ):
        with pytest.raises(ValueError, match=message):
            Guider(*arguments)
    with pytest.raises(ValueError, match="guidance=guider has one scale for all pictures"):
        Guider().bind(Net(), 0.7, 0.0)(X, NODES[1], torch.tensor([1.0, 2.0]), Leg.ZIG)
    with pytest.raises(ValueError, match="needs a guidance that is affine"):
        zz.sample(Mixture(), "a star", sampler=GuidanceMatched(2.0, 0.0), guidance=Guider(), steps=4)
    assert "guidance_matched" not in job(guidance=Guider()).controls()


def test_what_a_guider_cannot_mix_or_be_given_is_one_line():
    with pytest.raises(ValueError, match=r"MagnitudeAwareGuidance cannot mix predictions of shape \(1, .*another"):
        zz.sample(Mixture(), "a star", sampler=zz.Standard(3.0), guidance=Guider("MagnitudeAwareGuidance"), steps=3)
    with pytest.raises(ValueError, match="has no single scale for gamma; choose guidance=fdg"):
        Guider("FrequencyDecoupledGuidance")
    bound = Guider().bind(Net(), 0.7, 0.0)
    bound(X, NODES[1], 3.0, Leg.ZIG)
    with pytest.raises(ValueError, match="one scale for all pictures"):
        bound(X, NODES[1], torch.tensor([1.0, 2.0]), Leg.ZIG)


class TestSkippedLayers:
    @pytest.mark.parametrize("layers", [(0,), (1, 3)])
    def test_it_is_the_pipelines_own(self, layers):
        """StableDiffusion3Pipeline's skip_guidance_layers, at its defaults of 1 % and 20 % of the steps and others."""
        pipe = tiny.ready(tiny.sd3(transformer=tiny.sd3_transformer(num_layers=4)))
        x = starting_noise((3, 1), (16, 8, 12))
        for scale, start, stop in ((2.8, 0.01, 0.2), (1.5, 0.0, 0.7)):
            theirs = pipe(
                ["a red star", "three blue rings"],
                **{"height": 64, "width": 96, "guidance_scale": 3.0, "num_inference_steps": 10},
                **{"skip_guidance_layers": list(layers), "skip_layer_guidance_scale": scale},
                **{"skip_layer_guidance_start": start, "skip_layer_guidance_stop": stop},
                **{"latents": x, "output_type": "latent"},
            ).images
            ours = zz.sample(
                pipe,
                ["a red star", "three blue rings"],
                sampler=zz.Standard(3.0),
                guidance=SLG(scale, layers, start, stop),
                **{"steps": 10, "size": (64, 96), "initial_latents": x, "output": "latent"},
            )
            assert tiny.close(ours, theirs)

    @pytest.mark.parametrize("kind", ["hunyuan", "flux"])
    def test_a_network_of_other_blocks_answers_without_them(self, kind):
        """And nothing in the block is run."""
        with adapted(getattr(tiny, kind)()) as pipeline:
            size = (64, 64)
            cond, _ = pipeline.encode(["a red star"], [None])
            x = starting_noise((0,), pipeline.shape(size))
            nodes = pipeline.schedule.sized(size).nodes(pipeline.levels, 4)
            full, without = (
                pipeline(x, nodes[1], one)[0].x0 for one in (cond, Altered(cond, lambda inside: inside.skipping((1,))))
            )
            blocks = [*getattr(pipeline.net, "blocks", []), *getattr(pipeline.net, "transformer_blocks", [])]
            blocks += [*getattr(pipeline.net, "single_transformer_blocks", [])]
            calls = []
            inner = next(one for one in blocks[1].modules() if isinstance(one, torch.nn.Linear))
            handle = inner.register_forward_hook(lambda *_: calls.append(1))
            pipeline(x, nodes[1], Altered(cond, lambda inside: inside.skipping((1,))))
            assert not calls and torch.equal(pipeline(x, nodes[1], cond)[0].x0, full) and calls
            handle.remove()
            assert not torch.allclose(full, without, atol=1e-4)

    def test_its_steps_and_legs_are_counted(self, flow):
        guidance = SLG(layers=(1,), start=0.2, stop=0.6).for_nodes(NODES)
        assert [guidance.evals(3.0, node, Leg.ZIG) for node in NODES[:-1]] == [2, 2, 3, 3, 3, 2, 2, 2]
        assert all(guidance.evals(3.0, node, Leg.ZAG) == 2 for node in NODES)
        up = SLG(layers=(1,), start=0.2, stop=0.6, zag=True).for_nodes(NODES)
        assert [up.evals(3.0, node, Leg.ZAG) for node in NODES[1:]] == [2, 2, 3, 3, 3, 2, 2, 2]
        assert job(guidance=SLG(layers=(1,), scale=0.0)).recipe.guidance == zz.CFG()

    def test_what_a_run_counts_is_what_was_planned(self):
        """Also where it acts in some steps only."""
        for guidance in (SLG(layers=(1,), start=0.0, stop=0.5), Guider(options={"stop": 0.5})):
            recipe = replace(job(steps=8).recipe, guidance=guidance)
            zero = torch.zeros(1, 1, 1, 1)
            meter, nothing = Meter(recipe.evals), from_eps(zero, NODES[2], zero)
            walked = (recipe.nodes, recipe.solver, lambda *_, zero=zero: zero, meter)
            recipe.sampler.sample(lambda *_, nothing=nothing: nothing, zero, *walked)
            assert meter.evals == recipe.cost.evals

    def test_bad_layers_are_named(self, flow, unet):
        for fields, message in (
            ({"layers": ()}, "guidance.layers=.. must name blocks"),
            ({"layers": (1, 1)}, "guidance.layers=.1, 1. must name blocks"),
            ({"layers": (-1,)}, "guidance.layers=-1 must be a whole number"),
            ({"start": 0.5, "stop": 0.5}, "guidance.start=0.5 must be less than guidance.stop=0.5"),
        ):
            with pytest.raises(ValueError, match=message):
                SLG(**fields)
        with pytest.raises(ValueError, match=r"of 4 blocks has none of index 9; choose from 0..3"):
            zz.sample(flow, "a star", sampler=zz.Standard(3.0), guidance=SLG(), steps=8, size=(64, 64))
        with pytest.raises(ValueError, match=r"guidance.stop=0.2: no step of steps=4 lies between guidance.start=0.01"):
            zz.sample(flow, "a star", sampler=zz.Standard(3.0), guidance=SLG(layers=[1]), steps=4, size=(64, 64))
        with pytest.raises(ValueError, match="guidance=SLG leaves out transformer blocks"):
            zz.sample(unet, "a star", sampler=zz.Standard(3.0), guidance=SLG(), steps=8, size=(32, 32))


class TestShuffledPlaces:
    def test_it_is_what_the_blocks_read(self, unet):
        """By hand: the order is that of the picture's seed; blocks before the first keep theirs."""
        cond, uncond = unet.encode(["a red star", "a ring"], [None, None])
        x, node = starting_noise((0, 1), unet.shape((32, 32))), NODES[2]
        read = {}
        blocks = {n: m for n, m in unet.net.named_modules() if type(m).__name__ == "BasicTransformerBlock"}
        down = [one for name, one in blocks.items() if name.startswith("down")]
        hooks = [
            one.register_forward_hook(lambda m, args, out, n=n: read.setdefault(n, []).append(args[0]))
            for n, one in blocks.items()
        ]
        guidance = TPG(first=0).for_seeds((7, 8))
        found = unet.bind(guidance, cond, uncond)(x, node, 3.0, Leg.ZIG)
        for hook in hooks:
            hook.remove()
        first = next(name for name, one in blocks.items() if one is down[0])
        plain, spoilt = read[first]
        for row, seed in enumerate((7, 8)):
            n = plain.shape[1]
            order = torch.randperm(n, generator=torch.Generator().manual_seed(key(seed, "tpg", str(node.alpha), 0)))
            assert torch.allclose(spoilt[row], plain[2 + row, order], atol=1e-5), "the conditional rows, shuffled"
        u, c = unet(x, node, uncond, cond)
        p = unet(x, node, guidance.weak(cond, node))[0]
        assert torch.allclose(found.eps, u.eps + 3 * (c.eps - u.eps) + 3 * (c.eps - p.eps), atol=1e-4)
        assert not torch.allclose(p.eps, c.eps, atol=1e-3)

    def test_a_picture_is_the_same_in_any_batch(self, unet):
        settings = {"guidance": TPG(first=0), "steps": 3, "size": (32, 32), "output": "latent"}
        both = zz.sample(unet, ["a star", "a ring"], seeds=(3, 4), **settings)
        alone = zz.sample(unet, ["a ring"], seeds=(4,), **settings)
        assert torch.allclose(both[1:], alone, rtol=1e-3, atol=1e-3)

    def test_its_way_up_is_no_part_of_a_cell_that_never_goes_up(self):
        for guidance in (TPG(zag=True), SLG(layers=(1,), stop=1.0, zag=True)):
            assert not guidance.asked({Leg.ZIG}).zag and guidance.asked({Leg.ZIG, Leg.ZAG}).zag

    def test_a_compiled_network_is_changed_too(self):
        pipe = tiny.ready(tiny.sd())
        settings = {"sampler": zz.Standard(3.0), "steps": 2, "size": (32, 32), "output": "latent"}
        wanted = zz.sample(pipe, "a star", guidance=TPG(first=0), **settings)
        pipe.unet.compile(backend="eager")
        zz.sample(pipe, "a star", **settings)
        assert torch.allclose(zz.sample(pipe, "a star", guidance=TPG(first=0), **settings), wanted, atol=1e-4)

    def test_attention_to_words_is_read_where_the_network_is_as_it_is(self, unet):
        found = []
        for guidance in (zz.CFG(), TPG(first=0)):
            maps = zz.AttentionMaps(unet, words=["a"])
            cond, uncond = maps.encode(["a red star", "a ring"], [None, None])
            x = starting_noise((0, 1), unet.shape((32, 32)))
            guidance.bind(maps, cond, uncond)(x, NODES[2], 3.0, Leg.ZIG)
            found.append(maps._passes[0].maps)
        assert all(torch.allclose(a["a"], b["a"], atol=1e-5) for a, b in zip(*found, strict=True)) and found[0]

    def test_a_picture_is_inverted_by_its_own_order(self, unet):
        images = [Image.new("RGB", (32, 32))] * 2
        settings = {"steps": 2, "gamma": 3.0}
        both = zz.invert(unet, images, ["a star", "a star"], guidance=TPG(first=0, zag=True), **settings)
        assert not torch.allclose(both[0], both[1], atol=1e-3), "two pictures, two orders"

    def test_it_costs_one_evaluation_more_on_the_way_down(self, unet, flow):
        assert TPG().evals(3.0, NODES[1], Leg.ZIG) == 3 and TPG().evals(3.0, NODES[1], Leg.ZAG) == 2
        with pytest.raises(ValueError, match=r"guidance.first=6: .* has . transformer blocks in blocks=down"):
            zz.sample(unet, "a star", guidance=TPG(), steps=2, size=(32, 32))
        with pytest.raises(ValueError, match="guidance=TPG reaches into a U-Net"):
            zz.sample(flow, "a star", guidance=TPG(), steps=2, size=(64, 64))
        with pytest.raises(ValueError, match="guidance=TPG reaches into a U-Net"):
            zz.sample(Mixture(), "a star", guidance=TPG(), steps=2)


def test_reflective_flow_sampling_works_without_an_unconditional_branch():
    """FLUX.1-dev is given its scale, and another text in each leg of a reflection."""
    settings = {"steps": 4, "size": (64, 64), "output": "latent"}
    mix = TextMix(Embedded(), 3.5, 0.0)
    with adapted(tiny.flux()) as pipeline:
        plain, same, reflected = (
            zz.sample(pipeline, "a red star", sampler=sampler, guidance=guidance, **settings)
            for sampler, guidance in (
                (zz.Standard(3.5), Embedded()),
                (RFSampling(3.5, lambda_=0), mix),
                (RFSampling(3.5, k=2), mix),
            )
        )
    assert torch.equal(plain, same) and reflected.isfinite().all() and not torch.equal(plain, reflected)


def test_it_is_diffusers_that_swaps_what_a_skipped_block_gives():
    """Why SkipLayerGuidance's whole blocks are refused on Stable Diffusion 3: a guard that says when that is mended."""
    from diffusers.hooks import LayerSkipConfig, apply_layer_skip

    net = tiny.sd3_transformer()
    apply_layer_skip(net, LayerSkipConfig(indices=[0]))
    block = net.transformer_blocks[0]
    picture, text = torch.ones(1, 16, 16), torch.zeros(1, 5, 16)
    given = block(hidden_states=picture, encoder_hidden_states=text, temb=torch.zeros(1, 16))
    assert given[0] is picture, "diffusers " + diffusers.__version__ + " gives (text, picture) now, as its blocks do"
