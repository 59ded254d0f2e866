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


def t5_tokenizer():
    space = "\N{LOWER ONE EIGHTH BLOCK}"
    pieces = ["<pad>", "</s>", "<unk>", space, *ascii_lowercase, "star", "ring", space + "a"]
    return transformers.T5Tokenizer(vocab=[(piece, -i / 10) for i, piece in enumerate(pieces)], extra_ids=0)


def t5(width):
    sizes = {"d_model": width, "d_kv": 8, "d_ff": 2 * width, "num_layers": 2, "num_heads": 2}
    return transformers.T5EncoderModel(transformers.T5Config(vocab_size=40, **sizes))


def bert_tokenizer():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "star", "three", "blue", "ring", "##s", "##red"]
    return transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=77)


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


def deep_vae(seed=0, channels=4, **more):
    """One that halves three times, as those of transformers: their pipelines know no other."""
    torch.manual_seed(seed)
    return diffusers.AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        latent_channels=channels,
        **more,
    )


def hunyuan_transformer(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "hidden_size": 16,
        "in_channels": 4,
        "patch_size": 2,
        "num_layers": 4,
        "sample_size": 8,
        "cross_attention_dim": 16,
        "cross_attention_dim_t5": 24,
        "pooled_projection_dim": 16,
        "use_style_cond_and_image_meta_size": True,
    }
    made = diffusers.HunyuanDiT2DModel(**settings | more)
    torch.nn.init.normal_(made.text_embedding_padding)
    return made


def hunyuan(version="1.1", **parts):
    """A HunyuanDiTPipeline of version 1.1 or 1.2; its scheduler is DDPM, with a v-prediction."""
    torch.manual_seed(0)
    bert = {"vocab_size": 13, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    made = {
        "text_encoder": transformers.BertModel(
            transformers.BertConfig(**bert, num_attention_heads=2, max_position_embeddings=77)
        ),
        "tokenizer": bert_tokenizer(),
        "text_encoder_2": t5(24),
        "tokenizer_2": t5_tokenizer(),
        "transformer": hunyuan_transformer(use_style_cond_and_image_meta_size=version == "1.1"),
        "vae": deep_vae(),
        "scheduler": diffusers.DDPMScheduler(
            **SCALED | {"beta_end": 0.018}, timestep_spacing="leading", prediction_type="v_prediction"
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    return diffusers.HunyuanDiTPipeline(**made | parts)


def sd3_transformer(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "sample_size": 8,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "caption_projection_dim": 16,
        "joint_attention_dim": 48,
        "pooled_projection_dim": 40,
        "pos_embed_max_size": 64,
    }
    return diffusers.SD3Transformer2DModel(**settings | more)


def sd3(shift=3.0, **parts):
    """A StableDiffusion3Pipeline."""
    torch.manual_seed(0)
    made = {
        "text_encoder": transformers.CLIPTextModelWithProjection(text_config(16)),
        "text_encoder_2": transformers.CLIPTextModelWithProjection(text_config(24)),
        "text_encoder_3": t5(48),
        "tokenizer": tokenizer(),
        "tokenizer_2": tokenizer(),
        "tokenizer_3": t5_tokenizer(),
        "transformer": sd3_transformer(),
        "vae": deep_vae(channels=16, scaling_factor=1.5305, shift_factor=0.0609),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=shift),
    }
    return diffusers.StableDiffusion3Pipeline(**made | parts)


def flux_transformer(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "num_layers": 1,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 24,
        "pooled_projection_dim": 16,
        "axes_dims_rope": (4, 6, 6),
    }
    return diffusers.FluxTransformer2DModel(**settings | more)


def flux(kind="dev", **parts):
    """A FluxPipeline like dev or schnell."""
    torch.manual_seed(0)
    dynamic = {"shift": 3.0, "use_dynamic_shifting": True}
    made = {
        "text_encoder": transformers.CLIPTextModel(text_config(16)),
        "text_encoder_2": t5(24),
        "tokenizer": tokenizer(),
        "tokenizer_2": t5_tokenizer(),
        "transformer": flux_transformer(guidance_embeds=kind == "dev"),
        "vae": deep_vae(channels=16, scaling_factor=0.3611, shift_factor=0.1159),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(**dynamic if kind == "dev" else {"shift": 1.0}),
    }
    return diffusers.FluxPipeline(**made | parts)


def lora(pipe, folder, alpha=3, seed=0):
    """A LoRA of rank 2 for all parts that take one, saved as diffusers' training scripts do. None of it is 0."""
    import peft
    from diffusers.training_utils import _collate_lora_metadata

    torch.manual_seed(seed)
    attention = ["to_q", "to_k", "to_v", "to_out.0"]
    targets = {"unet": [*attention, "conv1", "proj_in"], "transformer": [*attention, "proj_out"]}
    layers = {}
    for name in (name for name in pipe._lora_loadable_modules if getattr(pipe, name) is not None):
        config = peft.LoraConfig(
            r=2,
            lora_alpha=alpha,
            target_modules=targets.get(name, ["q_proj", "fc1"]),
            init_lora_weights="gaussian",
        )
        part = peft.inject_adapter_in_model(config, getattr(pipe, name))
        for key, value in part.named_parameters():
            if ".lora_" in key:
                torch.nn.init.normal_(value, std=0.3)
        layers[name] = peft.get_peft_model_state_dict(part)
    parts = {name: getattr(pipe, name) for name in layers}
    given = {f"{name}_lora_layers": state for name, state in layers.items()}
    pipe.save_lora_weights(folder, **given, **_collate_lora_metadata(parts))
    return folder


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
