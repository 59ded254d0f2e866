"""The LAION aesthetic predictor (Schuhmann, 2022): five linear layers on a picture's CLIP ViT-L/14 embedding.

It reads no prompt.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from PIL import Image

from zz.data.base import Prompt
from zz.hub.location import at_revision, find
from zz.hub.published import Published
from zz.models.pretrained.quiet import quiet
from zz.scorers import head
from zz.scorers.base import ImageScorer, Needs, Score
from zz.scorers.checkpoints import Origin, half, mapped, named, naming, pretrained, read, same
from zz.scorers.pictures import squares


@dataclass(frozen=True)
class Aesthetic(ImageScorer):
    """What people would rate the picture, about 1..10.

    file:       the head's checkpoint
    pretrained: the CLIP whose embeddings it reads, as a folder or hub id
    revision:   of a hub id; None: its newest
    scale:      of the printed number
    """

    file: Published
    pretrained: str = "openai/clip-vit-large-patch14"
    revision: str | None = None
    scale: float = 1.0
    name: str = "aesthetic"
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        return "1..10" if self.scale == 1 else f"{self.scale:g} rating"

    @property
    def needs(self):
        return Needs(weights=(at_revision(self.pretrained, self.revision),), files=(self.file,))

    def settings(self):
        return {"file": self.file.source, **named(self.pretrained, self.revision), "scale": self.scale}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with quiet():
            from transformers import CLIPVisionModelWithProjection

        at = f"scorers.{self.name}"
        state = read(self.file, f"{at}.file")
        folder = find(f"{at}.pretrained", self.pretrained, ("config.json",), self.revision).bring("")
        eye = pretrained(CLIPVisionModelWithProjection, folder, f"{at}.pretrained", device)
        with naming(self.file, f"{at}.file"):
            state = mapped(state, head.skeleton(eye.config.projection_dim), origin)
        rating = head.filled(state, device, eye.config.projection_dim)

        @torch.no_grad()
        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            if not images:
                return []
            with half(device):
                seen = eye(pixel_values=squares(images, eye.config.image_size).to(device)).image_embeds.float()
            found = rating(seen / seen.norm(dim=-1, keepdim=True))[:, 0]
            return (self.scale * found).tolist()

        yield score


def origin(key: str) -> Origin:
    """Where the published format has a key of the head."""
    return f"layers.{key}", same
