"""Human Preference Score v2 (Wu et al., 2023, arXiv 2306.09341): a CLIP ViT-H/14 trained on people's choices.

The published checkpoint on transformers' CLIPModel; docs/scorers.md compares it with the package hpsv2 1.2.0.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from zz.data.base import Prompt
from zz.hub.published import Published
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import ImageScorer, Limited, Needs, Score
from zz.scorers.checkpoints import Origin, filled, half, mapped, naming, read, same, skeleton
from zz.scorers.pictures import normalised, rgb, tensor
from zz.scorers.text import cleaned, clip_words

VIT_H_14: Mapping[str, Any] = {
    "projection_dim": 1024,
    "vision_config": {
        **{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16},
        **{"image_size": 224, "patch_size": 14, "hidden_act": "gelu", "projection_dim": 1024},
    },
    "text_config": {
        **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        **{"hidden_act": "gelu", "projection_dim": 1024, "vocab_size": 49408, "max_position_embeddings": 77},
        **{"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407},
    },
}


@dataclass(frozen=True)
class HPS(ImageScorer):
    """Cosine of picture and prompt, times `scale`. Scores of v2.0 and v2.1 cannot be compared with each other.

    file:      the checkpoint, in open_clip's keys
    tokenizer: CLIP's tokenizer.json
    scale:     the paper prints 100 times the cosine
    antialias: whether the resizing is antialiased, as in the package with torchvision 0.17 or later; before, it was not
    """

    file: Published
    tokenizer: Published
    scale: float = 100.0
    antialias: bool = True
    name: str = "hps"
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        return f"{self.scale:g} cos"

    @property
    def needs(self):
        return Needs(files=(self.file, self.tokenizer))

    def settings(self):
        return {
            **{"file": self.file.source, "tokenizer": self.tokenizer.source},
            **{"scale": self.scale, "antialias": self.antialias},
        }

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with quiet():
            from transformers import CLIPConfig, CLIPModel

        at, config = f"scorers.{self.name}", CLIPConfig(**VIT_H_14)
        words = clip_words(self.tokenizer, f"{at}.tokenizer", cleaned)
        state = read(self.file, f"{at}.file", "state_dict")
        with naming(self.file, f"{at}.file"):
            state = mapped(state, skeleton(CLIPModel, config), origin)
        model = filled(CLIPModel, config, state, device)
        del state
        side: int = VIT_H_14["vision_config"]["image_size"]

        @torch.no_grad()
        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            if not images:
                return []
            pixels = torch.stack([letterbox(rgb(image), side, self.antialias) for image in images])
            ids = words([prompt.text for prompt in prompts], device)["input_ids"]  # what follows the end is not seen
            with half(device):
                said = model(pixel_values=normalised(pixels).to(device), input_ids=ids)
            cosine = (said.image_embeds.float() * said.text_embeds.float()).sum(-1)
            return (self.scale * cosine).tolist()

        yield Limited(score, words.cut)


def letterbox(image: Image.Image, side: int, antialias: bool = True) -> Tensor:
    """The whole picture, its longer side resized to `side` (bicubic on the tensor), on black  # (3, side, side)"""
    x = tensor(image)
    factor = side / max(image.size)
    height, width = (max(1, round(n * factor)) for n in x.shape[1:])
    if factor != 1:
        size = (height, width)
        x = functional.interpolate(x[None], size, mode="bicubic", align_corners=False, antialias=antialias)[0]
    left, top = (side - width) // 2, (side - height) // 2
    return functional.pad(x, (left, side - width - left, top, side - height - top))


_WHOLE = {
    "logit_scale": "logit_scale",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
}
_TURNED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_PARTS = (
    ("vision_model.pre_layrnorm", "visual.ln_pre"),
    ("vision_model.post_layernorm", "visual.ln_post"),
    ("text_model.final_layer_norm", "ln_final"),
    ("vision_model.encoder.layers", "visual.transformer.resblocks"),
    ("text_model.encoder.layers", "transformer.resblocks"),
    (".layer_norm", ".ln_"),
    (".mlp.fc1", ".mlp.c_fc"),
    (".mlp.fc2", ".mlp.c_proj"),
    (".self_attn.out_proj", ".attn.out_proj"),
)


def origin(key: str) -> Origin:
    """Where open_clip's format has a key of CLIPModel: queries, keys and values lie in one tensor."""
    if key in _WHOLE:
        return _WHOLE[key], same
    if key in _TURNED:
        return _TURNED[key], _transposed
    for ours, theirs in _PARTS:
        key = key.replace(ours, theirs)
    if found := re.fullmatch(r"(.*)\.self_attn\.([qkv])_proj\.(weight|bias)", key):
        return f"{found[1]}.attn.in_proj_{found[3]}", partial(_third, n="qkv".index(found[2]))
    return key, same


def _transposed(x: Tensor) -> Tensor:
    return x.mT.contiguous()


def _third(x: Tensor, n: int) -> Tensor:
    return x.chunk(3)[n].contiguous()
