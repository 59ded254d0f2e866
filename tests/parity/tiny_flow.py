"""More of `tiny`: flows whose schedulers are multistep solvers'."""

from string import ascii_lowercase

import diffusers
import torch
import transformers

from tests.parity.tiny import t5_tokenizer


def gemma_tokenizer():
    """A space belongs to the letter after it, as in Gemma's own."""
    space = "\N{LOWER ONE EIGHTH BLOCK}"
    merges = [("s", "t"), ("st", "a"), ("sta", "r"), (space, "a")]
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", space, *ascii_lowercase, *("".join(two) for two in merges)]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return transformers.GemmaTokenizer(vocab=vocab, merges=merges, add_bos_token=True)


def gemma(width):
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "query_pre_attn_scalar": 8}
    return transformers.Gemma2Model(transformers.Gemma2Config(vocab_size=40, **sizes, **heads))


def dc_vae(seed=0, **more):
    """One that halves five times."""
    torch.manual_seed(seed)
    blocks, scales = ("ResBlock",) * 5 + ("EfficientViTBlock",), ((),) * 5 + ((5,),)
    settings = {
        "latent_channels": 4,
        "attention_head_dim": 8,
        "encoder_block_types": blocks,
        "decoder_block_types": blocks,
        "encoder_block_out_channels": (8,) * 6,
        "decoder_block_out_channels": (8,) * 6,
        "encoder_layers_per_block": (1,) * 6,
        "decoder_layers_per_block": (1,) * 6,
        "encoder_qkv_multiscales": scales,
        "decoder_qkv_multiscales": scales,
        "scaling_factor": 0.41407,
    }
    return diffusers.AutoencoderDC(**settings | more)


def sana_transformer(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "num_cross_attention_heads": 2,
        "cross_attention_head_dim": 8,
        "cross_attention_dim": 16,
        "caption_channels": 16,
    }
    return diffusers.SanaTransformer2DModel(**settings | more)


def flow_solver(kind, shift=3.0, **more):
    """A multistep solver's scheduler for a flow, as Sana's and Wan's are."""
    return kind(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, **more)


def sana(**parts):
    """A SanaPipeline; its scheduler is DPM-Solver's, as published."""
    torch.manual_seed(0)
    made = {
        "text_encoder": gemma(16),
        "tokenizer": gemma_tokenizer(),
        "transformer": sana_transformer(),
        "vae": dc_vae(),
        "scheduler": flow_solver(diffusers.DPMSolverMultistepScheduler),
    }
    return diffusers.SanaPipeline(**made | parts)


def wan_vae(seed=0, **more):
    """One that halves three times, and makes 4 frames of each latent after the first."""
    torch.manual_seed(seed)
    settings = {
        "base_dim": 8,
        "z_dim": 4,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "latents_mean": (-0.7, 0.2, 0.9, -0.1),
        "latents_std": (2.8, 1.5, 0.7, 1.2),
    }
    return diffusers.AutoencoderKLWan(**settings | more)


def wan_vae_22(seed=0):
    """Like that of Wan 2.2 TI2V 5B, on patches of 2 pixels."""
    patches = {"patch_size": 2, "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16}
    return wan_vae(seed, is_residual=True, **patches)


def wan_transformer(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 4,
        "out_channels": 4,
        "text_dim": 16,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 2,
        "rope_max_seq_len": 32,
    }
    return diffusers.WanTransformer3DModel(**settings | more)


def umt5(width):
    sizes = {"d_model": width, "d_kv": 8, "d_ff": 2 * width, "num_layers": 2, "num_heads": 2}
    return transformers.UMT5EncoderModel(transformers.UMT5Config(vocab_size=40, **sizes))


def wan(version="2.1", **parts):
    """A WanPipeline like Wan 2.1's or Wan 2.2 TI2V 5B's; its scheduler is UniPC's, as published."""
    torch.manual_seed(0)
    made = {
        "text_encoder": umt5(16),
        "tokenizer": t5_tokenizer(),
        "transformer": wan_transformer(),
        "vae": wan_vae() if version == "2.1" else wan_vae_22(),
        "scheduler": flow_solver(diffusers.UniPCMultistepScheduler, 3.0 if version == "2.1" else 5.0),
        "expand_timesteps": version != "2.1",
    }
    return diffusers.WanPipeline(**made | parts)
