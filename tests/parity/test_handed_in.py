"""Pipelines as people hand them in: to the bit what the plain one gives, or one message; and left as they were."""

import diffusers
import pytest
import torch
from diffusers.hooks import apply_layerwise_casting
from diffusers.models.attention_processor import AttnProcessor

import zz
from tests.parity import tiny
from zz.models.pretrained.borrowed import adapted

PROMPT, FP8 = "a red star", {"storage_dtype": torch.float8_e4m3fn, "compute_dtype": torch.float32}
SIZES = {"sd": 16, "sdxl": 16, "sd3": 64, "flux": 64, "hunyuan": 64}


def sample(pipe, size=16, **more):
    more = {"sampler": zz.Zigzag(3.0, 1.0), "steps": 2, "output": "latent", **more}
    return zz.sample(pipe, PROMPT, size=size, **more)


def network(pipe):
    return pipe.unet if hasattr(pipe, "unet") else pipe.transformer


def kept(pipe):
    """What a guest must leave as it is."""
    return [
        (name, module.training, len(module._forward_hooks), len(module._forward_pre_hooks), vars(module).keys())
        for part, whole in pipe.components.items()
        if isinstance(whole, torch.nn.Module)
        for name, module in whole.named_modules()
    ], [(id(p), p.dtype) for p in network(pipe).parameters()]


def around(pipe):
    setattr(pipe, "unet" if hasattr(pipe, "unet") else "transformer", torch.compile(network(pipe), backend="eager"))


def in_place(pipe):
    network(pipe).compile(backend="eager")


def blocks(pipe):
    for module in network(pipe).modules():
        if type(module).__name__ == "BasicTransformerBlock":
            module.compile(backend="eager")


COMPILED = [around, in_place, pytest.param(blocks, marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("guidance", [zz.SEG(blocks="all"), zz.SCFG(1), pytest.param(zz.CFG(), marks=pytest.mark.slow)])
def test_a_compiled_network_is_tapped_as_the_plain_one(compiled, guidance):
    plain, pipe = (tiny.ready(tiny.sd()) for _ in range(2))
    compiled(pipe)
    sample(pipe, sampler=zz.Standard(1.0), steps=1)  # compiles, and hangs transformers' own hooks
    before = kept(pipe)
    assert torch.equal(sample(pipe, guidance=guidance), sample(plain, guidance=guidance))
    assert kept(pipe) == before


@pytest.mark.parametrize("make", [tiny.sd, tiny.sd3, pytest.param(tiny.flux, marks=pytest.mark.slow)])
def test_attention_maps_of_a_compiled_network(make):
    def maps(pipe):
        with adapted(pipe) as pipeline:
            found = zz.AttentionMaps(pipeline, words=["star"])
            sample(found, 64, sampler=zz.Standard(3.0), probe=found.probe)
        return found.mean("star")

    pipe = tiny.ready(make())
    around(pipe)
    assert torch.equal(maps(pipe), maps(tiny.ready(make())))


LEFT_OUT = {
    "sd": ("text_encoder", "tokenizer", "vae", "unet", "scheduler"),
    "sdxl": ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    "sd3": ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "tokenizer_3", "transformer"),
    "flux": ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    "hunyuan": ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae"),
    "animatediff": ("text_encoder", "tokenizer", "vae"),
}


@pytest.mark.parametrize("family", LEFT_OUT)
def test_a_part_that_was_left_out_is_named(family):
    pipe = getattr(tiny, family)()
    for part in LEFT_OUT[family]:
        whole = getattr(pipe, part)
        setattr(pipe, part, None)
        with pytest.raises(ValueError, match=rf"the {type(pipe).__name__} has no {part}, which "):
            sample(pipe)
        setattr(pipe, part, whole)


def test_stable_diffusion_3_does_without_its_t5():
    pipe = tiny.ready(tiny.sd3(text_encoder_3=None, tokenizer_3=None))
    assert sample(pipe, 64).isfinite().all()


@pytest.mark.parametrize("family", ["sd", "sd3", pytest.param("hunyuan", marks=pytest.mark.slow)])
def test_fused_projections(family):
    plain, pipe = (tiny.ready(getattr(tiny, family)()) for _ in range(2))
    network(pipe).fuse_qkv_projections()
    tiny.close(sample(pipe, SIZES[family]), sample(plain, SIZES[family]), 1e-5)
    if family == "sd":
        tiny.close(sample(pipe, guidance=zz.SEG()), sample(plain, guidance=zz.SEG()), 1e-5)


def test_a_network_in_eight_bits():
    """It draws what a network whose layers were rounded draws, and keeps its eight bits."""
    pipe, plain = (tiny.ready(tiny.sd()) for _ in range(2))
    pipe.unet.enable_layerwise_casting(**FP8)
    for mine, theirs in zip(pipe.unet.parameters(), plain.unet.parameters(), strict=True):
        theirs.data.copy_(mine.data.float())
    sample(plain, steps=1), sample(pipe, steps=1)
    before = kept(pipe)
    assert torch.equal(sample(pipe), sample(plain))
    assert torch.equal(sample(pipe, guidance=zz.SEG()), sample(plain, guidance=zz.SEG()))
    assert kept(pipe) == before and torch.float8_e4m3fn in {p.dtype for p in pipe.unet.parameters()}


def test_text_and_pictures_in_eight_bits():
    pipe = tiny.ready(tiny.sd())
    apply_layerwise_casting(pipe.text_encoder, **FP8)
    with pytest.raises(ValueError, match=r"text_encoder is kept in torch.float8_e4m3fn, .*cast the U-Net only"):
        sample(pipe)
    big = tiny.ready(tiny.sdxl(vae=tiny.vae(force_upcast=True))).to(torch.float16)
    big.vae.enable_layerwise_casting(torch.float8_e4m3fn, torch.float16)
    before = [p.dtype for p in big.vae.parameters()]
    with adapted(big) as pipeline, pytest.raises(ValueError, match=r"must compute in torch\.float32, but it is cast"):
        pipeline.decode(torch.zeros(1, 4, 8, 8))
    assert [p.dtype for p in big.vae.parameters()] == before


def test_layers_with_another_processor_are_named():
    """All of them must be seen: a part of a guidance would be another guidance."""
    pipe = tiny.ready(tiny.sd())
    pipe.enable_attention_slicing()
    plain = sample(tiny.ready(tiny.sd()))
    tiny.close(sample(pipe), plain, 1e-5)
    with pytest.raises(ValueError, match=r"no attention was seen of 1 layers with SlicedAttnProcessor"):
        sample(pipe, guidance=zz.SEG())
    processors = {
        n: AttnProcessor() if "down" in n else p for n, p in tiny.ready(tiny.sd()).unet.attn_processors.items()
    }
    pipe.unet.set_attn_processor(processors)
    assert sample(pipe, guidance=zz.SEG()).isfinite().all()
    for guidance in (zz.SEG(blocks="all"), zz.SCFG(1)):
        with pytest.raises(ValueError, match=r"no attention was seen of \d layers with AttnProcessor; give"):
            sample(pipe, guidance=guidance)
    with adapted(pipe) as pipeline:
        maps = zz.AttentionMaps(pipeline, words=["star"])
        with pytest.raises(ValueError, match="no attention was seen of 2 layers"):
            sample(maps, probe=maps.probe)


@pytest.mark.parametrize("family", ["sd", "sd3"])
def test_groups_that_are_offloaded(family):
    plain, pipe = (tiny.ready(getattr(tiny, family)()) for _ in range(2))
    cpu = torch.device("cpu")
    network(pipe).enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")
    assert torch.equal(sample(pipe, SIZES[family]), sample(plain, SIZES[family]))


SOLVERS = ("DDPM", "EulerDiscrete", "EulerAncestralDiscrete", "UniPCMultistep", "DPMSolverMultistep", "HeunDiscrete")


@pytest.mark.parametrize("name", SOLVERS)
def test_any_scheduler_over_the_same_levels(name):
    """Its levels and spacing are taken, the solver is ours: all give what DDIM's gives, which ends clean too."""
    pipes = [tiny.ready(tiny.sd()) for _ in range(2)]
    for pipe, kind in zip(pipes, ("DDIM", name), strict=True):
        pipe.scheduler = getattr(diffusers, f"{kind}Scheduler")(**tiny.SCALED, timestep_spacing="leading")
    assert torch.equal(*(sample(pipe) for pipe in pipes))


@pytest.mark.parametrize(
    ("family", "kind", "fields", "message"),
    [
        (
            "sd",
            "FlowMatchEulerDiscrete",
            {},
            "has a FlowMatchEulerDiscreteScheduler; a discrete noise",
        ),
        ("sd", "DPMSolverMultistep", {"use_flow_sigmas": True}, "a discrete noise schedule is needed"),
        ("sd", "DPMSolverMultistep", {"use_karras_sigmas": True}, r"use_karras_sigmas=True, .*choose schedule=karras"),
        ("sd", "EulerDiscrete", {"use_beta_sigmas": True}, r"use_beta_sigmas=True, .*choose schedule=leading"),
        ("sd3", "DDIM", {}, "has a DDIMScheduler; a rectified-flow schedule is needed"),
        (
            *("sd3", "DEISMultistep", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
            "flow's scheduler of class DEISMultistepScheduler is not supported",
        ),
    ],
)
def test_a_scheduler_of_another_kind_is_named(family, kind, fields, message):
    pipe = tiny.ready(getattr(tiny, family)())
    pipe.scheduler = getattr(diffusers, f"{kind}Scheduler").from_config(pipe.scheduler.config, **fields)
    with pytest.raises(ValueError, match=message):
        sample(pipe, SIZES[family])
    if "use_karras_sigmas" in fields:
        assert sample(pipe, schedule=zz.Karras()).isfinite().all()


def test_a_network_of_another_model_is_named():
    wrong = tiny.sd(unet=tiny.unet(addition_embed_type="text", addition_embed_type_num_heads=4))
    with pytest.raises(ValueError, match="has a U-Net with addition_embed_type=text, which a StableDiffusionPipeline"):
        sample(wrong)
