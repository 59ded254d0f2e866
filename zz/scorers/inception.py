"""Inception-v3 as FID has it (Szegedy et al., 2016; Heusel et al., 2017): TensorFlow's network of 2015-12-05.

It differs from torchvision's in 1008 classes, average pools that leave the padding out, and a maximum pool in the last
block. The names of its parts are those of the state dict that pytorch-fid and torch-fidelity publish.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from zz.hub.files import check_named
from zz.hub.published import Published
from zz.scorers.base import Extract, Features, Needs
from zz.scorers.resizing import resized

SIDE, BATCH = 299, 32


@dataclass(frozen=True)
class InceptionFeatures(Features):
    """The average pool's 2048 features, of which FID, KID, precision, recall and the Inception Score are computed.

    file:   the weights: a state dict, loaded strictly
    resize: tf, clean: see zz/scorers/resizing.py, then (x - 128) / 128; text2image: crop, then x / 127.5 - 1, as
            text2image-benchmark made the published statistics of MS-COCO
    """

    file: Published
    resize: Literal["tf", "clean", "text2image"] = "tf"
    name: str = "inception"
    version: ClassVar[int] = 1

    def settings(self):
        return {"weights": self.file.sha256 or self.file.source, "resize": self.resize}

    @property
    def needs(self):
        return Needs(files=(self.file,))

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Extract]:
        network = self.network().to(device)

        @torch.no_grad()
        def features(images: Sequence[Image.Image]) -> np.ndarray:
            found = [np.zeros((0, 2048))]
            for start in range(0, len(images), BATCH):
                x = torch.stack([self._pixels(image) for image in images[start : start + BATCH]]).to(device)
                with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # which would move FID
                    found.append(network(x).double().cpu().numpy())
            return np.concatenate(found)

        yield features

    def network(self) -> "Inception":
        """The network with its weights, on the CPU. Raises ValueError where the file is another."""
        path = self.file.fetch(f"scorers: {self.name}")
        check_named(path)
        network = Inception()
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # whatever torch raises on a file of another kind
            said = str(error).split("\n")[0]
            raise ValueError(f"scorers: {path} is no state dict of FID's Inception ({said}); remove it") from error
        return network.eval().requires_grad_(False)

    def _pixels(self, image: Image.Image) -> Tensor:
        if self.resize == "text2image":
            return resized(image, SIDE, "crop") / 127.5 - 1
        return (resized(image, SIDE, self.resize) - 128) / 128


class Inception(nn.Module):
    """Pictures of 299 x 299, about -1..1, to the features of the average pool  # (B, 3, 299, 299) -> (B, 2048)"""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        self.Mixed_5b = _A(192, 32)
        self.Mixed_5c = _A(256, 64)
        self.Mixed_5d = _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b = _C(768, 128)
        self.Mixed_6c = _C(768, 160)
        self.Mixed_6d = _C(768, 160)
        self.Mixed_6e = _C(768, 192)
        self.Mixed_7a = _D(768)
        self.Mixed_7b = _E(1280, last=False)
        self.Mixed_7c = _E(2048, last=True)
        self.fc = nn.Linear(2048, 1008)  # read by the Inception Score, which leaves its bias out

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))


class _Conv(nn.Module):
    def __init__(self, width: int, out: int, kernel: int | tuple[int, int], stride: int = 1, padding=0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _wide(width: int, out: int, length: int) -> _Conv:
    return _Conv(width, out, (1, length), padding=(0, length // 2))


def _tall(width: int, out: int, length: int) -> _Conv:
    return _Conv(width, out, (length, 1), padding=(length // 2, 0))


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _A(nn.Module):
    def __init__(self, width: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(width, 64, 1)
        self.branch5x5_1 = _Conv(width, 48, 1)
        self.branch5x5_2 = _Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Conv(width, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, padding=1)
        self.branch_pool = _Conv(width, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_average(x))], 1)


class _B(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(width, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Conv(width, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, F.max_pool2d(x, 3, stride=2)], 1)


class _C(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(width, 192, 1)
        self.branch7x7_1 = _Conv(width, inner, 1)
        self.branch7x7_2 = _wide(inner, inner, 7)
        self.branch7x7_3 = _tall(inner, 192, 7)
        self.branch7x7dbl_1 = _Conv(width, inner, 1)
        self.branch7x7dbl_2 = _tall(inner, inner, 7)
        self.branch7x7dbl_3 = _wide(inner, inner, 7)
        self.branch7x7dbl_4 = _tall(inner, inner, 7)
        self.branch7x7dbl_5 = _wide(inner, 192, 7)
        self.branch_pool = _Conv(width, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class _D(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Conv(width, 192, 1)
        self.branch3x3_2 = _Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Conv(width, 192, 1)
        self.branch7x7x3_2 = _wide(192, 192, 7)
        self.branch7x7x3_3 = _tall(192, 192, 7)
        self.branch7x7x3_4 = _Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        three = self.branch3x3_2(self.branch3x3_1(x))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)], 1)


class _E(nn.Module):
    def __init__(self, width: int, last: bool) -> None:
        super().__init__()
        self.branch1x1 = _Conv(width, 320, 1)
        self.branch3x3_1 = _Conv(width, 384, 1)
        self.branch3x3_2a = _wide(384, 384, 3)
        self.branch3x3_2b = _tall(384, 384, 3)
        self.branch3x3dbl_1 = _Conv(width, 448, 1)
        self.branch3x3dbl_2 = _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _wide(384, 384, 3)
        self.branch3x3dbl_3b = _tall(384, 384, 3)
        self.branch_pool = _Conv(width, 192, 1)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.last else _average(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pooled)]
        return torch.cat(parts, 1)


__all__ = ["Inception", "InceptionFeatures"]
