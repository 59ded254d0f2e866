"""ImageReward (Xu et al., 2023, arXiv 2304.05977): BLIP reads picture and prompt together, five layers give a reward.

The published checkpoint on transformers' BLIP; docs/scorers.md compares it with the package image-reward 1.5.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from zz.data.base import Prompt
from zz.hub.published import Published
from zz.models.pretrained.quiet import quiet
from zz.scorers import head
from zz.scorers.base import ImageScorer, Limited, Needs, Score
from zz.scorers.checkpoints import Origin, filled, half, mapped, naming, read, same, skeleton
from zz.scorers.pictures import squares
from zz.scorers.text import REWARD_TOKENS, Words

MEAN, STD = 0.16717362830052426, 1.0333394966054072  # of the raw reward, fixed by the authors for ImageReward-v1.0
VISION: Mapping[str, Any] = {
    **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    **{"image_size": 224, "patch_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-6},
}
TEXT: Mapping[str, Any] = {
    **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    **{"encoder_hidden_size": 1024, "vocab_size": 30524, "max_position_embeddings": 512, "hidden_act": "gelu"},
    **{"layer_norm_eps": 1e-12, "is_decoder": True, "pad_token_id": 0},
}


@dataclass(frozen=True)
class ImageReward(ImageScorer):
    """The standardised reward of a picture for its prompt, times `scale`; people's mean is about 0.

    file:      the checkpoint
    tokenizer: the tokenizer.json of BERT, uncased
    scale:     the paper's tables print 100 times the reward
    """

    file: Published
    tokenizer: Published
    scale: float = 100.0
    name: str = "image_reward"
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        return f"{self.scale:g} reward"

    @property
    def needs(self):
        return Needs(files=(self.file, self.tokenizer))

    def settings(self):
        return {"file": self.file.source, "tokenizer": self.tokenizer.source, "scale": self.scale}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with quiet():
            from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
            from transformers.models.blip.modeling_blip_text import BlipTextModel

        at = f"scorers.{self.name}"
        words = Words.of(self.tokenizer.fetch(f"{at}.tokenizer"), f"{at}.tokenizer", REWARD_TOKENS, "[PAD]")
        words.tokenizer.add_tokens(["[DEC]", "[ENC]"], special_tokens=True)  # as BLIP's tokenizer has them
        vision, text, no_pooling = BlipVisionConfig(**VISION), BlipTextConfig(**TEXT), {"add_pooling_layer": False}
        state = read(self.file, f"{at}.file")
        with naming(self.file, f"{at}.file"):
            state = mapped(
                state,
                {
                    **_under("vision", skeleton(BlipVisionModel, vision)),
                    **_under("text", skeleton(BlipTextModel, text, **no_pooling)),
                    **_under("mlp", head.skeleton(text.hidden_size)),
                },
                origin,
                SPARE,
            )
        eye = filled(BlipVisionModel, vision, _of("vision", state), device)
        reader = filled(BlipTextModel, text, _of("text", state), device, **no_pooling)
        reward = head.filled(_of("mlp", state), device, text.hidden_size)
        del state

        @torch.no_grad()
        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            if not images:
                return []
            ids = words([prompt.text for prompt in prompts], device)
            with half(device):
                seen = eye(pixel_values=squares(images, VISION["image_size"]).to(device)).last_hidden_state
                read = reader(**ids, encoder_hidden_states=seen, encoder_attention_mask=seen.new_ones(seen.shape[:2]))
            raw = reward(read.last_hidden_state[:, 0].float())[:, 0]
            return (self.scale * (raw - MEAN) / STD).tolist()

        yield Limited(score, words.cut)


# of the pretraining that the checkpoint was made from: projections for its contrastive loss, and a constant buffer
SPARE = r"blip\.(vision|text)_proj\.(weight|bias)|blip\.text_encoder\.embeddings\.position_ids"
_VISION = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding": "pos_embed",
    "embeddings.patch_embedding": "patch_embed.proj",
    "post_layernorm": "norm",
}


def origin(key: str) -> Origin:
    """Where the published format has a key of ours."""
    part, _, key = key.partition(".")
    if part == "mlp":
        return f"mlp.layers.{key}", same
    if part == "text":
        return f"blip.text_encoder.{key}", same
    for ours, theirs in _VISION.items():
        if key == ours or key.startswith(f"{ours}."):
            key = key.replace(ours, theirs)
    if found := re.fullmatch(r"encoder\.layers\.(\d+)\.(.*)", key):
        inner = found[2].replace("layer_norm", "norm").replace("self_attn.projection", "attn.proj")
        key = f"blocks.{found[1]}.{inner.replace('self_attn.', 'attn.')}"
    return f"blip.visual_encoder.{key}", same


def _under(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{key}": x for key, x in state.items()}


def _of(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{part}."): x for key, x in state.items() if key.startswith(f"{part}.")}
