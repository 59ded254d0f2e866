"""Tiny random pipelines whose text encoders are chat models, of the very classes that diffusers has."""

import re

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # as a byte of BPE
TEMPLATE = (  # diffusers' for Qwen-Image, of which it drops the 34 tokens that stand before the prompt
    "system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of "
    "the objects and background:\nuser\nassistant\n"
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
