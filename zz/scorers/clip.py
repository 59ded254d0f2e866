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
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import Extract, Features, ImageScorer, Needs, Score


@dataclass(frozen=True)
class ClipSimilarity(ImageScorer):
    """Cosine of picture and prompt, times 100: the form of CLIPScore and of PickScore.

    pretrained: a folder with a CLIPModel, its tokenizer and image processor, or zz:NAME for one that comes with zz
    """

    pretrained: str
    name: str = "similarity"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "100 cos"
    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pretrained", resolve(self.pretrained))
        _check(self.pretrained)

    def settings(self):
        return {"weights": digest(Path(self.pretrained), [""])}

    @property
    def needs(self):
        return Needs(weights=(self.pretrained,))

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        with quiet():
            from transformers import CLIPTokenizer

        model, pixels = _load(self.pretrained, device)
        tokenizer = CLIPTokenizer.from_pretrained(self.pretrained)
        longest = model.config.text_config.max_position_embeddings

        @torch.no_grad()
        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            if not images:
                return []
            ids = tokenizer(
                [prompt.text for prompt in prompts],
                padding="max_length",
                max_length=longest,
                truncation=True,
                return_tensors="pt",
            ).to(device)
            said = model(pixel_values=pixels(images), **ids)  # both embeddings have length 1
            return (100 * (said.image_embeds * said.text_embeds).sum(-1)).tolist()

        yield score


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
        model, pixels = _load(self.pretrained, device)

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


def _load(folder: str, device: str) -> tuple[Any, Callable[[Sequence[Image.Image]], torch.Tensor]]:
    with quiet():
        from transformers import CLIPImageProcessor, CLIPModel

        model: Any = CLIPModel.from_pretrained(folder)
        processor = CLIPImageProcessor.from_pretrained(folder)
    model = model.to(device).eval()

    side = (processor.crop_size["width"], processor.crop_size["height"])

    def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
        pictures = [image.convert("RGB") for image in images]
        if any(picture.size != side for picture in pictures):
            return processor(pictures, return_tensors="pt").pixel_values.to(device)
        x = np.stack([np.asarray(picture) for picture in pictures]) / 255  # as the processor does, many times faster
        x = (x - np.array(processor.image_mean)) / np.array(processor.image_std)
        return torch.from_numpy(x).permute(0, 3, 1, 2).float().to(device)

    return model, pixels
