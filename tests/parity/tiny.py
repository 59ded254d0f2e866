"""Tiny random pipelines, made here, of the very classes that diffusers has for the big ones."""

from string import ascii_lowercase

import diffusers
import torch
import transformers

SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def tokenizer():
    letters = [*ascii_lowercase, *(c + "</w>" for c in ascii_lowercase)]
    vocab = {token: i for i, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    return transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16)


def text_config(width):
    return transformers.CLIPTextConfig(
        vocab_size=54,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=52,
        eos_token_id=53,
        pad_token_id=53,
    )


def vae(seed=0, **more):
    torch.manual_seed(seed)
    return diffusers.AutoencoderKL(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        sample_size=16,
        **more,
    )


def unet(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "sample_size": 8,
        "block_out_channels": (16, 32, 32),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    }
    return diffusers.UNet2DConditionModel(**settings | more)


def sd(prediction_type="epsilon", **parts):
    """A StableDiffusionPipeline; its scheduler is PNDM, as that of SD 1.5."""
    torch.manual_seed(0)
    made = {
        "text_encoder": transformers.CLIPTextModel(text_config(16)),
        "tokenizer": tokenizer(),
        "unet": unet(),
        "vae": vae(),
        "scheduler": diffusers.PNDMScheduler(**SCALED, skip_prk_steps=True, prediction_type=prediction_type),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    return diffusers.StableDiffusionPipeline(**made | parts)


def motion_adapter(**more):
    """What makes clips of `unet()`."""
    torch.manual_seed(1)
    settings = {
        "block_out_channels": (16, 32, 32),
        "motion_layers_per_block": 1,
        "motion_num_attention_heads": 2,
        "motion_norm_num_groups": 8,
        "motion_max_seq_length": 6,
    }
    return diffusers.MotionAdapter(**settings | more)


def animatediff(scheduler=None, **parts):
    """An AnimateDiffPipeline; its scheduler is that of diffusers' documentation unless given."""
    base = sd()
    made = {
        "vae": base.vae,
        "text_encoder": base.text_encoder,
        "tokenizer": base.tokenizer,
        "unet": base.unet,
        "motion_adapter": motion_adapter(),
        "scheduler": scheduler or linear("linspace"),
    }
    return diffusers.AnimateDiffPipeline(**made | parts)


def linear(spacing, **more):
    """AnimateDiff's levels."""
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "clip_sample": False}
    return diffusers.DDIMScheduler(**settings, timestep_spacing=spacing, steps_offset=1, **more)


def sdxl_unet(seed=0, **more):
    return unet(
        seed,
        **{
            "cross_attention_dim": 16 + 24,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 24,
            "transformer_layers_per_block": (1, 2, 1),
            "use_linear_projection": True,
        }
        | more,
    )


def sdxl(prediction_type="epsilon", **parts):
    """A StableDiffusionXLPipeline; its scheduler is Euler, as that of SDXL base. Dropout waits for train()."""
    torch.manual_seed(0)
    made = {
        "text_encoder": transformers.CLIPTextModel(text_config(16)),
        "text_encoder_2": transformers.CLIPTextModelWithProjection(text_config(24)),
        "tokenizer": tokenizer(),
        "tokenizer_2": tokenizer(),
        "unet": sdxl_unet(dropout=0.5),
        "vae": vae(),
        "scheduler": diffusers.EulerDiscreteScheduler(
            **SCALED, timestep_spacing="leading", prediction_type=prediction_type
        ),
        "force_zeros_for_empty_prompt": True,
        "add_watermarker": False,
    }
    return diffusers.StableDiffusionXLPipeline(**made | parts)


def ready(pipe):
    """As from_pretrained leaves it: nothing drops out."""
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def close(ours, theirs, tolerance=1e-4):
    """Relative to the largest value: a random network blows an eps-model's latents up to tens."""
    assert ours.shape == theirs.shape and theirs.isfinite().all()
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    assert error <= tolerance, f"{error:.1e}"
    return error
