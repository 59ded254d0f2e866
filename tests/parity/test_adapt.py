"""A diffusers pipeline that someone has loaded, handed to zz.sample as it is, and left as it was found."""

import diffusers
import pytest
import torch
from PIL import Image

import zz
from tests.parity import tiny
from zz.models.pretrained.borrowed import adapted, supported
from zz.models.pretrained.description import Pretrained

PROMPT, FAST = "a red star", {"steps": 3, "output": "latent"}


@pytest.fixture(params=["sd", "sdxl", "animatediff"])
def pipe(request):
    """In train mode, as a pipeline assembled in memory is; one part is not."""
    made = getattr(tiny, request.param)(unet=(tiny.sdxl_unet if request.param == "sdxl" else tiny.unet)(dropout=0.5))
    for part in (made.unet, made.text_encoder, made.vae):
        part.train()
    made.unet.mid_block.eval()
    once = {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": True}
    made.encode_prompt(PROMPT, **once)  # transformers hangs hooks of its own on an encoder when it is first used
    return made


def state(pipe):
    """Everything of a pipeline that a guest might move."""
    modules = [
        (name, m) for name, part in pipe.components.items() if isinstance(part, torch.nn.Module) for m in part.modules()
    ]
    return (
        [(name, m.training, len(m._forward_pre_hooks), len(m._forward_hooks)) for name, m in modules],
        [
            (p.data_ptr(), p.dtype, p.device, p.requires_grad, p.sum().item())
            for _, m in modules
            for p in m.parameters()
        ],
        {name: id(p) for name, p in pipe.unet.attn_processors.items()},
        {name: id(part) for name, part in pipe.components.items()},
        id(pipe.scheduler),
        dict(pipe.scheduler.config),
        vars(pipe.scheduler).keys(),
        str(getattr(pipe.scheduler, "timesteps", None)),
        vars(pipe).keys(),
    )


def test_it_is_left_as_it_was_found(pipe):
    before = state(pipe)
    images = zz.sample(pipe, PROMPT, sampler=zz.Zigzag(gamma1=3.0), steps=3)
    first = images[0] if isinstance(images[0], Image.Image) else images[0][0]
    assert first.size == (16, 16), "what the U-Net was made for, times what the autoencoder enlarges"
    assert state(pipe) == before


def test_it_is_left_as_it_was_found_when_something_breaks(pipe):
    before = state(pipe)
    with pytest.raises(ValueError, match="size=20x20 must be multiples of 8"):
        zz.sample(pipe, PROMPT, size=20, **FAST)
    assert state(pipe) == before


def test_nothing_drops_out_meanwhile(pipe):
    once, again = (zz.sample(pipe, PROMPT, **FAST) for _ in range(2))
    assert torch.equal(once, again)
    assert torch.equal(once, zz.sample(tiny.ready(pipe), PROMPT, **FAST))


def test_a_half_precision_pipeline_stays_one(pipe):
    pipe.to(torch.bfloat16)
    out = zz.sample(pipe, PROMPT, **FAST)
    assert out.dtype == torch.float32 and out.isfinite().all()
    assert {p.dtype for p in pipe.unet.parameters()} == {torch.bfloat16}


def test_its_loras_are_what_is_drawn_with(tmp_path):
    """At the scale that they are set to, and not touched; those that are switched off stay so."""
    plain, pipe = (tiny.ready(tiny.sd()) for _ in range(2))
    pipe.load_lora_weights(tiny.lora(tiny.sd(), tmp_path), adapter_name="one")
    pipe.set_adapters("one", 0.6)
    before = state(pipe)
    found = zz.sample(pipe, PROMPT, **FAST)
    assert state(pipe) == before and pipe.get_active_adapters() == ["one"]
    pipe.disable_lora()
    assert torch.equal(zz.sample(pipe, PROMPT, **FAST), zz.sample(plain, PROMPT, **FAST))
    plain.load_lora_weights(tmp_path)
    plain.fuse_lora(lora_scale=0.6)
    plain.unload_lora_weights()
    fused = zz.sample(plain, PROMPT, **FAST)
    tiny.close(found, fused)
    assert (found - zz.sample(tiny.ready(tiny.sd()), PROMPT, **FAST)).abs().max() > 0.01 * found.abs().max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler()},
            "the StableDiffusionPipeline has a FlowMatchEuler",
        ),
        ({"scheduler": diffusers.EDMEulerScheduler()}, "has a EDMEulerScheduler; a discrete noise schedule is needed"),
        (
            {"scheduler": diffusers.DDIMScheduler(**tiny.SCALED, clip_sample=False, prediction_type="sample")},
            "predicts 'sample'; known are epsilon, v_pred",
        ),
        ({"unet": tiny.unet(in_channels=9)}, "has a U-Net that reads more than latents"),
        ({"unet": tiny.unet(time_cond_proj_dim=8)}, "has a U-Net that reads more than latents"),
    ],
)
def test_what_cannot_be_adapted(change, message):
    with pytest.raises(ValueError, match=message):
        zz.sample(tiny.sd(**change), PROMPT, **FAST)


@pytest.mark.parametrize("wrong", ["sdxl", None, 3, torch.nn.Linear(1, 1)])
def test_what_is_no_model(wrong):
    known = "is no model; give one of zz's, .* or diffusers' .*StableDiffusionXLPipeline, WanPipeline, ZImagePipeline$"
    with pytest.raises(ValueError, match=known):
        zz.sample(wrong, PROMPT, **FAST)


def test_another_diffusers_pipeline_is_named():
    other = diffusers.DDPMPipeline(tiny.unet(), diffusers.DDPMScheduler())
    with pytest.raises(
        ValueError, match=r"model is a DDPMPipeline, which is not supported; .*StableDiffusionXLPipeline"
    ):
        zz.sample(other, PROMPT, **FAST)


def test_a_kind_of_it_will_do():
    class Mine(diffusers.StableDiffusionPipeline):
        """Someone's own."""

    with adapted(Mine(**tiny.sd().components, requires_safety_checker=False)) as opened:
        assert type(opened).__name__ == "StableDiffusionPipeline"


def test_the_pipeline_of_every_model_is_found_without_a_list():
    def below(kind):
        return {kind}.union(*(below(sub) for sub in kind.__subclasses__()))

    found = supported()
    models = [kind for kind in below(Pretrained) if hasattr(kind, "kind")]
    assert {kind.becomes or kind.kind for kind in models} == set(found)
    for name, kind in found.items():
        assert kind.__name__ == name and issubclass(kind, getattr(zz, name))
    assert {"AnimateDiffPipeline", "FluxPipeline", "HunyuanDiTPipeline", "StableDiffusion3Pipeline"} < set(found)
    assert {"SanaPipeline", "WanPipeline"} < set(found)


@pytest.mark.parametrize("kind", ["sd", "sdxl", "sd3", "flux"])
def test_a_prompt_is_cut_where_the_shortest_encoder_ends(kind):
    """16 tokens with those of start and end; what stands beyond changes no token of CLIP's."""
    with adapted(getattr(tiny, kind)()) as pipeline:
        whole, cut = "a " * 14, "a " * 15
        assert pipeline.cut([whole, cut, cut + "b", ""]) == {cut: 16, f"{cut}b": 16} and pipeline.cut([]) == {}
        if kind == "sd":
            one, other = pipeline.encode([whole + "b", whole + "c"], [None] * 2)[0]
            assert torch.equal(one, other)


def test_each_encoder_has_its_own_end():
    """T5 reads more than CLIP; of a text that both cut it is the shorter that counts."""
    with adapted(tiny.hunyuan()) as pipeline:
        assert dict(pipeline.reads) == {"tokenizer": 77, "tokenizer_2": 256}
        assert pipeline.cut(["a " * 75, "a " * 76, "a " * 300]) == {"a " * 76: 77, "a " * 300: 77}
