"""A CLIP of the shapes world: a picture tower and a text tower, trained by contrast (Radford et al., 2021).

It gives similarities as CLIPScore does, and features for a Fréchet distance where Inception would see toys only.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from zz.data.shapes_prompts import TAGS
from zz.experiments.train_shapes.tokens import LENGTH
from zz.experiments.train_shapes.world import Batch, exam
from zz.worlds.shapes import SIZE, render


@dataclass(frozen=True)
class Plan:
    """The shape of both towers.

    width: of the towers, and of what they agree in
    depth: layers of each
    patch: pixels a side of a patch
    """

    width: int = 128
    depth: int = 3
    patch: int = 4

    def build(self, tokenizer: CLIPTokenizer) -> CLIPModel:
        wide: dict[str, Any] = {"hidden_size": self.width, "intermediate_size": 4 * self.width}
        wide |= {"num_attention_heads": 4, "num_hidden_layers": self.depth}
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **wide,
        )
        vision = CLIPVisionConfig(image_size=SIZE, patch_size=self.patch, **wide)
        return CLIPModel(
            CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=self.width)
        )


class Lesson(nn.Module):
    """Both towers as one thing to train; its forward is the loss of a batch."""

    def __init__(self, plan: Plan, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.clip = plan.build(tokenizer)
        self.tokenizer = tokenizer

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Contrast within a batch, where a picture may have several right captions: equal texts are one."""
        similar = self.similarities(batch.pixels(self.clip.device), batch.captions).float()
        kinds = {caption: i for i, caption in enumerate(dict.fromkeys(batch.captions))}
        kind = torch.tensor([kinds[caption] for caption in batch.captions], device=similar.device)
        same = (kind[:, None] == kind).float()
        right = same / same.sum(1, keepdim=True)
        return (cross_entropy(similar, right) + cross_entropy(similar.T, right)) / 2

    def similarities(self, pixels: Tensor, captions: list[str]) -> Tensor:
        """Cosines times the learned temperature  # (pictures, captions)"""
        ids = self.tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
        said = self.clip(pixel_values=pixels, **ids.to(pixels.device))
        return said.logits_per_image


@torch.no_grad()
def retrieval(lesson: Lesson, each: int = 32, seed: int = 0) -> dict[str, float]:
    """How often a picture's own caption beats those of the others of its tag, by tag; equal captions count as one."""
    found = {}
    for tag in TAGS:
        pairs = exam(tag, each, seed)
        pictures = torch.stack([torch.from_numpy(render(scene)).permute(2, 0, 1) for scene, _ in pairs])
        captions = [meta["prompt"] for _, meta in pairs]
        pixels = pictures.to(lesson.clip.device).float() / 127.5 - 1
        best = lesson.similarities(pixels, captions).argmax(1).tolist()
        found[tag] = sum(captions[b] == own for b, own in zip(best, captions, strict=True)) / each
    return found | {"all": sum(found.values()) / len(TAGS)}
