"""What a CLIP (Radford et al., 2021) or a DINOv2 (Oquab et al., 2023) makes of a picture, for set metrics."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image

from zz.diffusion.validate import Positive
from zz.hub.files import digest, resolve
from zz.hub.location import Location, find
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import Extract, Features, Needs
from zz.scorers.resizing import resized

BATCH = 32
MEANS = {  # of red, green and blue, and their standard deviations, as the networks were trained
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class Embedding(Features):
    """A picture's embedding: of CLIP projected beside words, of DINOv2 its class token after the last norm.

    pretrained: a hub id (ID or ID@REVISION), a folder, or zz:NAME
    side:       pixels that the network reads
    resize:     see zz/scorers/resizing.py
    """

    pretrained: str
    side: Positive = 224
    resize: Literal["tf", "clean", "crop"] = "crop"
    name: str = "clip"
    version: ClassVar[int] = 1

    def settings(self):
        at = self._location()
        weights = f"{at.repo}@{at.commit}" if at.repo else digest(at.root, [at.inside])
        return {"weights": weights, "side": self.side, "resize": self.resize}

    @property
    def needs(self):
        return Needs(weights=(self.pretrained,))

    def _location(self) -> Location:
        return find(f"scorers: {self.name}.pretrained", resolve(self.pretrained), ("config.json",))

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Extract]:
        at = self._location()
        kind = at.read(f"{at.inside}/config.json".lstrip("/")).get("model_type")
        if kind not in MEANS:
            raise ValueError(f"scorers: {self.name}.pretrained={self.pretrained} is a {kind}; give a clip or a dinov2")
        model = _load(at.bring(at.inside), str(kind)).to(device).eval()
        mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in MEANS[str(kind)])

        @torch.no_grad()
        def features(images: Sequence[Image.Image]) -> np.ndarray:
            found = []
            for start in range(0, len(images), BATCH):
                some = images[start : start + BATCH]
                x = torch.stack([(resized(image, self.side, self.resize) / 255 - mean) / std for image in some])
                said = model(pixel_values=x.to(device))
                found.append((said.image_embeds if kind == "clip" else said.pooler_output).double().cpu().numpy())
            return np.concatenate(found) if found else np.zeros((0, 0))

        yield features


def _load(folder: Path, kind: str) -> Any:
    with quiet():
        from transformers import CLIPVisionModelWithProjection, Dinov2Model

        classes: Any = {"clip": CLIPVisionModelWithProjection, "dinov2": Dinov2Model}
        try:
            return classes[kind].from_pretrained(folder)
        except Exception as error:  # any that the loader raises
            said = str(error).split("\n")[0]
            raise ValueError(f"scorers: {folder} cannot be loaded: {said}; delete it and run again") from error


__all__ = ["Embedding"]
