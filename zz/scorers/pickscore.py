"""PickScore (Kirstain et al., 2023, arXiv 2305.01569): a CLIP ViT-H/14 trained on the choices of Pick-a-Pic's users."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from zz.hub.location import at_revision, find
from zz.hub.published import Published
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import ImageScorer, Needs, Score
from zz.scorers.checkpoints import named, pretrained
from zz.scorers.clip import compared, prepared
from zz.scorers.text import clip_words


@dataclass(frozen=True)
class PickScore(ImageScorer):
    """Cosine of picture and prompt, times the model's own logit scale; about 21 for today's models.

    pretrained: the model, as a folder or hub id
    tokenizer:  the tokenizer.json of laion/CLIP-ViT-H-14-laion2B-s32B-b79K, whose processor the authors use
    revision:   of a hub id; None: its newest
    scale:      instead of the logit scale: 100, or 1 for the cosine; None: the logit scale, as the paper has it
    """

    tokenizer: Published
    pretrained: str = "yuvalkirstain/PickScore_v1"
    revision: str | None = None
    scale: float | None = None
    name: str = "pickscore"
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        return "logit scale x cos" if self.scale is None else f"{self.scale:g} cos"

    @property
    def needs(self):
        return Needs(weights=(at_revision(self.pretrained, self.revision),), files=(self.tokenizer,))

    def settings(self):
        return {
            **named(self.pretrained, self.revision),
            **{"tokenizer": self.tokenizer.source, "scale": "logit" if self.scale is None else self.scale},
        }

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with quiet():
            from transformers import CLIPImageProcessorPil, CLIPModel

        at = f"scorers.{self.name}"
        words = clip_words(self.tokenizer, f"{at}.tokenizer")
        folder = find(f"{at}.pretrained", self.pretrained, ("config.json",), self.revision).bring("")
        model = pretrained(CLIPModel, folder, f"{at}.pretrained", device)
        side = model.config.vision_config.image_size
        processor = CLIPImageProcessorPil(  # its defaults are what the processor's files say
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
        scale = model.logit_scale.exp().item() if self.scale is None else self.scale
        yield compared(model, prepared(processor, device), words, device, scale)
