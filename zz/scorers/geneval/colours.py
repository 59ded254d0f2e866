"""Which colour an object has, as GenEval asks a CLIP ViT-L/14 (Radford et al., 2021)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zz.hub.files import digest, resolve
from zz.hub.location import Location, find
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import Needs
from zz.scorers.geneval.detector import Found
from zz.scorers.geneval.names import COLOURS

TEMPLATES = ("a photo of a {colour} {name}", "a photo of a {colour}-colored {name}", "a photo of a {colour} object")
GREY = "#999"  # where the mask is not
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

Judge = Callable[[Image.Image, Sequence[Found]], list[dict[str, float]]]  # objects of one class -> shares of colours


@dataclass(frozen=True)
class ClipColours:
    """pretrained: a hub id (ID or ID@REVISION), or a folder, of a CLIP"""

    pretrained: str

    @property
    def needs(self) -> Needs:
        return Needs(weights=(self.pretrained,))

    def settings(self) -> dict[str, Any]:
        at = self._location()
        return {"colours": f"{at.repo}@{at.commit}" if at.repo else digest(at.root, [at.inside])}

    def _location(self) -> Location:
        return find("scorers: geneval colours.pretrained", resolve(self.pretrained), ("config.json",))

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Judge]:
        """Load it for as long as the `with` lasts."""
        at = self._location()
        folder = at.bring(at.inside)
        with quiet():
            from transformers import CLIPModel, CLIPTokenizer

            try:
                model: Any = CLIPModel.from_pretrained(folder)
                tokenizer = CLIPTokenizer.from_pretrained(folder)
            except Exception as error:  # any that the loaders raise
                said = str(error).split("\n")[0]
                raise ValueError(f"scorers: colours.pretrained={self.pretrained} cannot be loaded: {said}") from error
        model = model.to(device).eval()
        side, longest = model.config.vision_config.image_size, model.config.text_config.max_position_embeddings
        known: dict[str, Tensor] = {}

        def classifier(name: str) -> Tensor:
            """A row a colour: the mean of its texts' directions, as a direction again  # (K, D)"""
            if name not in known:
                texts = [template.format(colour=colour, name=name) for colour in COLOURS for template in TEMPLATES]
                said = tokenizer(
                    texts, padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
                ).to(device)
                each = model.text_projection(model.text_model(**said).pooler_output)
                each = torch.nn.functional.normalize(each, dim=-1).view(len(COLOURS), len(TEMPLATES), -1)
                known[name] = torch.nn.functional.normalize(each.mean(1), dim=-1)
            return known[name]

        @torch.no_grad()
        def judge(image: Image.Image, objects: Sequence[Found]) -> list[dict[str, float]]:
            if not objects:
                return []
            x = torch.stack([pixels(crop(image, one.box, one.mask), side) for one in objects]).to(device)
            seen = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
            seen = torch.nn.functional.normalize(seen, dim=-1)
            shares = (100 * seen @ classifier(objects[0].name).T).softmax(-1)
            return [dict(zip(COLOURS, row, strict=True)) for row in shares.tolist()]

        yield judge


def crop(image: Image.Image, box: Sequence[float], mask: np.ndarray) -> Image.Image:
    """An object alone on grey, cut to its box: corners are rounded half to even, and outside the picture is black."""
    image = image.convert("RGB")
    alone = Image.composite(image, Image.new("RGB", image.size, GREY), Image.fromarray(mask))
    left, top, right, bottom = (round(corner) for corner in box)
    return alone.crop((left, top, right, bottom))


def pixels(image: Image.Image, side: int) -> Tensor:
    """What the CLIP reads: the shorter side bicubic to `side`, the centre of the longer  # (3, side, side)"""
    width, height = image.size
    short = min(image.size)
    width, height = (side if n == short else int(side * n / short) for n in (width, height))
    left, top = round((width - side) / 2), round((height - side) / 2)
    image = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
    x = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
