"""Tiny random pipelines whose text encoders are chat models, of the very classes that diffusers has."""

import re

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

from tests.parity import tiny

SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # as a byte of BPE
TEMPLATE = (  # diffusers' for Qwen-Image, of which it drops the 34 tokens that stand before the prompt
    "system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of "
    "the objects and background:\nuser\nassistant\n"
)
TURNS = (  # of Qwen3's template what one message needs
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)


def chat_tokenizer(template=None):
    """Bytes, and the words of a template whole, as in the tokenizer of Qwen's models."""
    vocab, merges = ["<|endoftext|>", *sorted(ByteLevel.alphabet())], []
    for word in (
        word.replace(" ", "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}") for word in re.findall(r" ?\w+", TEMPLATE)
    ):
        for end in range(2, len(word) + 1):
            if word[:end] not in vocab:
                vocab.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    made = transformers.Qwen2Tokenizer(vocab={token: i for i, token in enumerate(vocab)}, merges=merges)
    made.add_tokens([transformers.AddedToken(token, special=True) for token in ("<|im_start|>", "<|im_end|>")])
    made.chat_template = template
    return made


def chat_config(**more):
    """Sizes of a language model."""
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    return {"vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, **heads, **ids, **more}


def qwen_vl():
    turns = {"type": "mrope", "mrope_section": [1, 1, 2], "rope_type": "default"}
    eyes = {"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    config = transformers.Qwen2_5_VLConfig(
        text_config=chat_config(rope_scaling=turns), vision_config={**eyes, "fullatt_block_indexes": [0]}
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def qwen_image_transformer(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "axes_dims_rope": (4, 6, 6),
    }
    return diffusers.QwenImageTransformer2DModel(**settings | more)


def qwen_image(**parts):
    """A QwenImagePipeline, with the published one's scheduler."""
    torch.manual_seed(0)
    shift = {"use_dynamic_shifting": True, "max_shift": 0.9, "max_image_seq_len": 8192, "shift_terminal": 0.02}
    made = {
        "text_encoder": qwen_vl(),
        "tokenizer": chat_tokenizer(),
        "transformer": qwen_image_transformer(),
        "vae": diffusers.AutoencoderKLQwenImage(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(**shift),
    }
    return diffusers.QwenImagePipeline(**made | parts)


def qwen3(**more):
    return transformers.Qwen3Config(**chat_config(head_dim=8) | more)


def z_image_transformer(seed=0, **more):
    """Where there is nothing it has tokens of its own, which begin as zeros."""
    torch.manual_seed(seed)
    settings = {
        "dim": 32,
        "n_layers": 2,
        "n_refiner_layers": 1,
        "n_heads": 2,
        "n_kv_heads": 2,
        "cap_feat_dim": 32,
        "axes_dims": [4, 6, 6],
    }
    made = diffusers.ZImageTransformer2DModel(**settings | more)
    for token in (made.x_pad_token, made.cap_pad_token):
        torch.nn.init.normal_(token)
    return made


def z_image(**parts):
    """A ZImagePipeline, with the published one's scheduler."""
    torch.manual_seed(0)
    made = {
        "text_encoder": transformers.Qwen3Model(qwen3()),
        "tokenizer": chat_tokenizer(TURNS),
        "transformer": z_image_transformer(),
        "vae": tiny.deep_vae(channels=16, scaling_factor=0.3611, shift_factor=0.1159),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=6.0),
    }
    return diffusers.ZImagePipeline(**made | parts)


def flux2_transformer(seed=0, **more):
    torch.manual_seed(seed)
    settings = {
        "num_layers": 1,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 96,
        "axes_dims_rope": (4, 4, 4, 4),
        "guidance_embeds": False,
    }
    return diffusers.Flux2Transformer2DModel(**settings | more)


def flux2_vae():
    """What it normalises latents by is learned."""
    made = diffusers.AutoencoderKLFlux2(block_out_channels=(8,) * 4, norm_num_groups=4)
    torch.nn.init.normal_(made.bn.running_mean)
    torch.nn.init.uniform_(made.bn.running_var, 0.5, 2)
    return made


def flux2_klein(**parts):
    """A Flux2KleinPipeline that is not distilled; it reads its text encoder after 9, 18 and 27 layers."""
    torch.manual_seed(0)
    made = {
        "text_encoder": transformers.Qwen3ForCausalLM(qwen3(num_hidden_layers=28)),
        "tokenizer": chat_tokenizer(TURNS),
        "transformer": flux2_transformer(),
        "vae": flux2_vae(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    }
    return diffusers.Flux2KleinPipeline(**made | parts)
