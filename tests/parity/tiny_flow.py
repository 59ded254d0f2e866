"""More of `tiny`: flows whose schedulers are multistep solvers'."""

from string import ascii_lowercase

import diffusers
import torch
import transformers


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
