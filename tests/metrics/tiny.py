"""Tiny random weights of image scorers in the formats that their authors publish, and tokenizers to go with them."""

from pathlib import Path

import torch
from PIL import Image

from zz.hub.published import Published
from zz.scorers import hps, image_reward
from zz.scorers.text import CLIP_TOKENS

SIDE, PATCH = 56, 14
CLIP = {
    "projection_dim": 64,
    "vision_config": {
        **{"hidden_size": 160, "intermediate_size": 640, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"image_size": SIDE, "patch_size": PATCH, "hidden_act": "gelu", "projection_dim": 64},
    },
    "text_config": {
        **{"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"hidden_act": "gelu", "projection_dim": 64, "vocab_size": 514, "max_position_embeddings": CLIP_TOKENS},
        **{"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513},
    },
}
VISION = image_reward.VISION | {
    **{"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 2},
}
TEXT = image_reward.TEXT | {
    **{"hidden_size": 768, "intermediate_size": 256, "num_hidden_layers": 2, "encoder_hidden_size": 128},
}


def of(shapes, seed=0, std=0.2):
    """Random tensors by name; gains of norms are near 1."""
    generator = torch.Generator().manual_seed(seed)
    draw = {name: std * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {n: x + ("norm" in n.lower() or "ln_" in n) for n, x in draw.items()}


def open_clip(config=CLIP, seed=0):
    """A CLIP in open_clip's keys, as HPSv2's checkpoints hold it. Written from the format, not from our map."""
    vision, text, dim = config["vision_config"], config["text_config"], config["projection_dim"]
    width, patch, n = vision["hidden_size"], vision["patch_size"], (vision["image_size"] // vision["patch_size"]) ** 2
    words = text["hidden_size"]
    shapes = {
        "positional_embedding": (text["max_position_embeddings"], words),
        "text_projection": (words, dim),
        "logit_scale": (),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (n + 1, width),
        "visual.proj": (width, dim),
        "visual.conv1.weight": (width, 3, patch, patch),
        "token_embedding.weight": (text["vocab_size"], words),
    }
    for name, size in (("visual.ln_pre", width), ("visual.ln_post", width), ("ln_final", words)):
        shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    for tower, part, d in (("visual.transformer", vision, width), ("transformer", text, words)):
        for i in range(part["num_hidden_layers"]):
            at, inner = f"{tower}.resblocks.{i}", part["intermediate_size"]
            shapes |= {f"{at}.{ln}.{kind}": (d,) for ln in ("ln_1", "ln_2") for kind in ("weight", "bias")}
            shapes |= {f"{at}.attn.in_proj_weight": (3 * d, d), f"{at}.attn.in_proj_bias": (3 * d,)}
            shapes |= {f"{at}.attn.out_proj.weight": (d, d), f"{at}.attn.out_proj.bias": (d,)}
            shapes |= {f"{at}.mlp.c_fc.weight": (inner, d), f"{at}.mlp.c_fc.bias": (inner,)}
            shapes |= {f"{at}.mlp.c_proj.weight": (d, inner), f"{at}.mlp.c_proj.bias": (d,)}
    return shapes if seed is None else of(shapes, seed)


def reward(vision=VISION, text=TEXT, seed=0):
    """ImageReward in its own keys, with what the score does not use. Written from the format, not from our map."""
    width, words, inner = vision["hidden_size"], text["hidden_size"], text["intermediate_size"]
    eye, reader = "blip.visual_encoder", "blip.text_encoder"
    shapes = {
        f"{eye}.cls_token": (1, 1, width),
        f"{eye}.pos_embed": (1, (vision["image_size"] // vision["patch_size"]) ** 2 + 1, width),
        f"{eye}.patch_embed.proj.weight": (width, 3, vision["patch_size"], vision["patch_size"]),
        f"{eye}.patch_embed.proj.bias": (width,),
        f"{eye}.norm.weight": (width,),
        f"{eye}.norm.bias": (width,),
        f"{reader}.embeddings.position_ids": (1, 512),
        f"{reader}.embeddings.word_embeddings.weight": (text["vocab_size"], words),
        f"{reader}.embeddings.position_embeddings.weight": (512, words),
        f"{reader}.embeddings.LayerNorm.weight": (words,),
        f"{reader}.embeddings.LayerNorm.bias": (words,),
        **{f"blip.{part}_proj.weight": (256, d) for part, d in (("vision", width), ("text", words))},
        **{f"blip.{part}_proj.bias": (256,) for part in ("vision", "text")},
    }

    def linear(name, into, out):
        shapes.update({f"{name}.weight": (out, into), f"{name}.bias": (out,)})

    def norm(name, size):
        shapes.update({f"{name}.weight": (size,), f"{name}.bias": (size,)})

    for i in range(vision["num_hidden_layers"]):
        at = f"{eye}.blocks.{i}"
        norm(f"{at}.norm1", width)
        norm(f"{at}.norm2", width)
        linear(f"{at}.attn.qkv", width, 3 * width)
        linear(f"{at}.attn.proj", width, width)
        linear(f"{at}.mlp.fc1", width, vision["intermediate_size"])
        linear(f"{at}.mlp.fc2", vision["intermediate_size"], width)
    for i in range(text["num_hidden_layers"]):
        at = f"{reader}.encoder.layer.{i}"
        for attention, seen in (("attention", words), ("crossattention", width)):
            linear(f"{at}.{attention}.self.query", words, words)
            linear(f"{at}.{attention}.self.key", seen, words)
            linear(f"{at}.{attention}.self.value", seen, words)
            linear(f"{at}.{attention}.output.dense", words, words)
            norm(f"{at}.{attention}.output.LayerNorm", words)
        linear(f"{at}.intermediate.dense", words, inner)
        linear(f"{at}.output.dense", inner, words)
        norm(f"{at}.output.LayerNorm", words)
    shapes |= {f"mlp.{name}": shape for name, shape in five_layers(words, seed=None).items()}
    return shapes if seed is None else of(shapes, seed, std=0.05)


def five_layers(width=64, seed=0):
    """The aesthetic head in its own keys."""
    sizes = {0: (width, 1024), 2: (1024, 128), 4: (128, 64), 6: (64, 16), 7: (16, 1)}
    shapes = {}
    for n, (into, out) in sizes.items():
        shapes |= {f"layers.{n}.weight": (out, into), f"layers.{n}.bias": (out,)}
    return shapes if seed is None else of(shapes, seed)


def published(name, write):
    """A file as if it had been fetched by hand; `write` is given the path."""
    file = Published(f"https://example.org/{name}")
    file.place.parent.mkdir(parents=True, exist_ok=True)
    write(file.place)
    return file


def clip_tokenizer():
    """CLIP's tokenizer without merges: a token a byte."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    entries = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={x: i for i, x in enumerate(entries)}, merges=[])


def bert_tokenizer():
    """BERT's tokenizer, uncased, with letters and digits as its only words."""
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
    return BertTokenizer(vocab={x: i for i, x in enumerate(entries)}, do_lower_case=True)


def tokenizer_file(name, tokenizer):
    """Its tokenizer.json, as a published file."""
    return published(name, lambda path: Path(path).write_text(tokenizer.backend_tokenizer.to_str()))


def shrunk(monkeypatch):
    """HPS and ImageReward at the sizes above."""
    monkeypatch.setattr(hps, "VIT_H_14", CLIP)
    monkeypatch.setattr(image_reward, "VISION", VISION)
    monkeypatch.setattr(image_reward, "TEXT", TEXT)


def clip_folder(path, seed=0):
    """A CLIPModel with tokenizer and image processor, as transformers saves them."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(seed)
    CLIPModel(CLIPConfig(**CLIP)).save_pretrained(path)
    clip_tokenizer().save_pretrained(path)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(path)
    return str(path)


def picture(width=96, height=64, seed=0):
    """A smooth random picture: resizing matters little to where its edges fall."""
    noise = torch.rand((6, 8, 3), generator=torch.Generator().manual_seed(seed)) * 255
    return Image.fromarray(noise.byte().numpy()).resize((width, height), Image.Resampling.BICUBIC)
