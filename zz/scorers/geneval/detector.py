"""Mask2Former (Cheng et al., 2022) as GenEval's detector: raw logits by mmdet's rule, at the picture's own size.

transformers' own post-processing is another: it paints masks of 384 x 384 into one map, so that objects hide others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zz.hub.files import check_named, digest, resolve
from zz.hub.location import Location, find
from zz.hub.published import Published
from zz.models.pretrained.quiet import quiet
from zz.scorers.base import Needs
from zz.scorers.geneval.mmdet import load as load_mmdet
from zz.scorers.geneval.names import NAMES

LONG, SHORT, MULTIPLE = 1333, 800, 32  # pixels: the longest the sides may be, and what padding rounds them up to
AT_MOST = 100  # objects a picture, of all classes
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Found(NamedTuple):
    """One object: its class in GenEval's words, box (left, top, right, bottom, the ends not included), and mask."""

    name: str
    score: float
    box: tuple[float, float, float, float]
    mask: np.ndarray  # of the picture's size, bool  # (H, W)


Detect = Callable[[Image.Image], list[Found]]


class Detector(ABC):
    """A description of a detector: free to make; weights are loaded in `open`."""

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What it needs on the machine."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What moves its numbers, as plain values."""

    @abstractmethod
    def load(self) -> tuple[Any, Literal["pil", "cv2"]]:
        """A Mask2FormerForUniversalSegmentation on the CPU, and whose bilinear resize its pictures get."""

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Detect]:
        """Load it for as long as the `with` lasts."""
        model, how = self.load()
        model = model.to(device).eval()

        @torch.no_grad()
        def detect(image: Image.Image) -> list[Found]:
            image = image.convert("RGB")
            x, inner = pixels(image, how)
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                said = model(pixel_values=x.to(device)[None])
            masks = at_own_size(said.masks_queries_logits[0], x.shape[1:], inner, (image.height, image.width))
            scores, classes, boxes, inside = instances(said.class_queries_logits[0], masks)
            each = zip(scores.tolist(), classes.tolist(), boxes.tolist(), inside.cpu().numpy(), strict=True)
            return [Found(NAMES[number], score, tuple(box), mask) for score, number, box, mask in each]

        yield detect


@dataclass(frozen=True)
class HFDetector(Detector):
    """A checkpoint of transformers, such as that of Mask2Former's authors; GenEval was published with another.

    pretrained: a hub id (ID or ID@REVISION), or a folder
    """

    pretrained: str

    @property
    def needs(self) -> Needs:
        return Needs(weights=(self.pretrained,))

    def settings(self) -> dict[str, Any]:
        at = self._location()
        return {"detector": f"{at.repo}@{at.commit}" if at.repo else digest(at.root, [at.inside])}

    def _location(self) -> Location:
        return find("scorers: geneval detector.pretrained", resolve(self.pretrained), ("config.json",))

    def load(self) -> tuple[Any, Literal["pil", "cv2"]]:
        at = self._location()
        folder = at.bring(at.inside)
        with quiet():
            from transformers import Mask2FormerForUniversalSegmentation

            network: Any = Mask2FormerForUniversalSegmentation
            try:
                model, about = network.from_pretrained(folder, output_loading_info=True)
            except Exception as error:  # any that the loader raises
                said = str(error).split("\n")[0]
                raise ValueError(f"scorers: detector.pretrained={self.pretrained} cannot be loaded: {said}") from error
        if lacking := sorted(about["missing_keys"]):
            raise ValueError(
                f"scorers: detector.pretrained={self.pretrained} is no Mask2Former: it has no {lacking[0]} and "
                f"{len(lacking) - 1} others; give one, such as facebook/mask2former-swin-small-coco-instance"
            )
        if model.config.num_labels != len(NAMES):
            raise ValueError(
                f"scorers: detector.pretrained={self.pretrained} knows {model.config.num_labels} classes, not COCO's "
                f"{len(NAMES)}: give one that was trained on COCO instances"
            )
        return model, "pil"


@dataclass(frozen=True)
class MMDetDetector(Detector):
    """The checkpoint that GenEval was published with, of mmdet 2, converted as it is loaded (see mmdet.py).

    file: the checkpoint
    """

    file: Published

    @property
    def needs(self) -> Needs:
        return Needs(files=(self.file,))

    def settings(self) -> dict[str, Any]:
        return {"detector": self.file.sha256 or self.file.source}

    def load(self) -> tuple[Any, Literal["pil", "cv2"]]:
        path = self.file.fetch("scorers: geneval detector")
        check_named(path)
        return load_mmdet(path), "cv2"


def pixels(image: Image.Image, how: Literal["pil", "cv2"]) -> tuple[Tensor, tuple[int, int]]:
    """What the network reads, padded, and the height and width without padding  # (3, H, W)

    how: pil: with antialiasing; cv2: without, to a grey level
    """
    scale = min(LONG / max(image.size), SHORT / min(image.size))
    width, height = (int(side * scale + 0.5) for side in image.size)
    if how == "pil":
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)
    if how == "cv2":
        x = F.interpolate(x[None], (height, width), mode="bilinear", align_corners=False)[0].round()
    x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE)), (height, width)


def at_own_size(
    masks: Tensor, padded: tuple[int, ...], inner: tuple[int, int], own: tuple[int, int]
) -> Tensor:  # (Q, h, w) -> (Q, H, W)
    """Mask logits at the picture's own size: up to the padded size, the padding cut off, then to the own."""
    x = F.interpolate(masks[None], tuple(padded), mode="bilinear", align_corners=False)[..., : inner[0], : inner[1]]
    return F.interpolate(x, own, mode="bilinear", align_corners=False)[0]


def instances(classes: Tensor, masks: Tensor, at_most: int = AT_MOST) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores, classes, boxes and masks, best first, by the rule of mmdet's MaskFormerFusionHead.

    Of all pairs of query and class the best `at_most` count, so that one query may be several objects. A score is the
    class's probability (the void class takes its share, and is no object) times the mean probability inside the mask;
    a box is the mask's extent, its right and lower end one beyond.

    classes: logits, void last  # (Q, C + 1)
    masks:   logits at the picture's size  # (Q, H, W)
    """
    shares = classes.softmax(-1)[:, :-1]
    known = shares.shape[1]
    best, place = shares.flatten().topk(min(at_most, shares.numel()))
    chosen = masks[place // known]
    inside = chosen > 0
    certain = (chosen.sigmoid() * inside).flatten(1).sum(1) / (inside.to(masks.dtype).flatten(1).sum(1) + 1e-6)
    scores = best * certain
    boxes = torch.stack([_extent(inside.any(1)), _extent(inside.any(2))], 1)  # (N, axis, end)
    order = scores.argsort(descending=True, stable=True)
    corners = boxes.transpose(1, 2).reshape(-1, 4)  # left, top, right, bottom
    return scores[order], (place % known)[order], corners[order].float(), inside[order]


def _extent(there: Tensor) -> Tensor:
    """First place and one beyond the last, or 0 and 0 where there is none  # (N, L) -> (N, 2)"""
    length = there.shape[1]
    first = there.int().argmax(1)
    beyond = length - there.flip(1).int().argmax(1)
    return torch.stack([first, torch.where(there.any(1), beyond, 0)], 1)
