"""A CLIP (Radford et al., 2021) as a judge: how well picture and prompt agree, and what a picture looks like."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from zz.data.base import Prompt
from zz.hub.files import digest, resolve
from zz.hub.location import at_revision, find, is_id
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import Extract, Features, ImageScorer, Limited, Needs, Score
from zz.scorers.checkpoints import half, named, pretrained
from zz.scorers.pictures import rgb
from zz.scorers.text import Words


@dataclass(frozen=True)
class ClipSimilarity(ImageScorer):
    """Cosine of picture and prompt, times `scale`: CLIPScore (Hessel et al., 2021) without its cut at 0.

    pretrained: a folder with a CLIPModel, its tokenizer and image processor, a hub id, or zz:NAME for one that comes
                with zz
    revision:   of a hub id; None: its newest
    scale:      100 as torchmetrics prints it, 1 for the cosine
    """

    pretrained: str
    revision: str | None = None
    scale: float = 100.0
    name: str = "similarity"
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pretrained", resolve(self.pretrained))
        if not is_id(self.pretrained):
            _check(self.pretrained)

    @property
    def unit(self) -> str:
        return f"{self.scale:g} cos"

    def settings(self):
        return {**named(self.pretrained, self.revision), "scale": self.scale}

    @property
    def needs(self):
        return Needs(weights=(at_revision(self.pretrained, self.revision),))

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with quiet():
            from transformers import CLIPTokenizer

        at = f"scorers.{self.name}.pretrained"
        folder = find(at, self.pretrained, ("config.json",), self.revision).bring("")
        model, pixels = load(folder, at, device)
        words = Words(CLIPTokenizer.from_pretrained(folder), model.config.text_config.max_position_embeddings)
        yield compared(model, pixels, words, device, self.scale)


def compared(model: Any, pixels: Callable[..., torch.Tensor], words: Words, device: str, scale: float) -> Limited:
    """The cosines of pictures and prompts in a CLIP, times `scale`."""

    @torch.no_grad()
    def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
        if not images:
            return []
        ids = words([prompt.text for prompt in prompts], device)
        with half(device):
            said = model(pixel_values=pixels(images), **ids)  # both embeddings have length 1
        return (scale * (said.image_embeds.float() * said.text_embeds.float()).sum(-1)).tolist()

    return Limited(score, words.cut)


@dataclass(frozen=True)
class ClipFeatures(Features):
    """What a picture looks like to the picture tower, before it is compared with words: for Fréchet distances.

    pretrained: as in ClipSimilarity
    """

    pretrained: str
    name: str = "clip"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pretrained", resolve(self.pretrained))
        _check(self.pretrained)

    def settings(self):
        return {"weights": digest(Path(self.pretrained), [""])}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Extract]:
        """Gives pictures -> float64 features  # (B, D)"""
        model, pixels = load(Path(self.pretrained), f"features.{self.name}.pretrained", device)

        @torch.no_grad()
        def features(images: Sequence[Image.Image]) -> np.ndarray:
            found = [
                model.vision_model(pixel_values=pixels(images[i : i + 256])).pooler_output
                for i in range(0, len(images), 256)
            ]
            return torch.cat(found).double().cpu().numpy()

        yield features


def _check(folder: str) -> None:
    if not Path(folder, "config.json").is_file():
        raise ValueError(f"pretrained={folder} is no folder of a CLIP: it has no config.json")


def load(folder: Path, field: str, device: str) -> tuple[Any, Callable[[Sequence[Image.Image]], torch.Tensor]]:
    """A CLIPModel, and its folder's way of preparing pictures."""
    with quiet():
        from transformers import CLIPImageProcessorPil, CLIPModel

        processor = CLIPImageProcessorPil.from_pretrained(folder)  # Pillow's resizing, whatever else is installed
    return pretrained(CLIPModel, folder, field, device), prepared(processor, device)


def prepared(processor: Any, device: str) -> Callable[[Sequence[Image.Image]], torch.Tensor]:
    """Pictures as a processor of transformers prepares them for a CLIP."""
    side = (processor.crop_size["width"], processor.crop_size["height"])

    def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
        pictures = [rgb(image) for image in images]
        if any(picture.size != side for picture in pictures):
            return processor(pictures, return_tensors="pt").pixel_values.to(device)
        x = np.stack([np.asarray(picture) for picture in pictures]) / 255  # as the processor does, many times faster
        x = (x - np.array(processor.image_mean)) / np.array(processor.image_std)
        return torch.from_numpy(x).permute(0, 3, 1, 2).float().to(device)

    return pixels
