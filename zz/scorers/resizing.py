"""How a picture becomes a square of the size that a network reads. The three ways move a set metric by more than many a
method does, so each is a named choice."""

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Resize = Literal["tf", "clean", "crop"]


def resized(image: Image.Image, side: int, how: Resize) -> Tensor:
    """A picture as float32 of 0..255, squeezed or cropped to a square  # (3, side, side)

    tf:    bilinear as TensorFlow 1 has it, without antialiasing (FID's own; torch-fidelity, pytorch-fid's reference)
    clean: bicubic with antialiasing, by PIL on floats (clean-FID; Parmar et al., 2022)
    crop:  the central square, then bicubic with antialiasing, by PIL on bytes (CMMD, text2image-benchmark)
    """
    image = image.convert("RGB")
    if how == "tf":
        return _tensorflow(_tensor(np.asarray(image, dtype=np.float32)), side)
    if how == "clean":
        bands = [Image.fromarray(np.asarray(band, dtype=np.float32)) for band in image.split()]
        each = [np.asarray(band.resize((side, side), Image.Resampling.BICUBIC)) for band in bands]
        return _tensor(np.stack(each, -1).clip(0, 255))
    width, height = image.size
    least = min(width, height)
    left, top = (width - least) // 2, (height - least) // 2
    image = image.crop((left, top, left + least, top + least)).resize((side, side), Image.Resampling.BICUBIC)
    return _tensor(np.asarray(image, dtype=np.float32))


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _tensorflow(x: Tensor, side: int) -> Tensor:
    """Pixel i is read at i * size / side: pixels have no centres there, so that the picture shifts by half a pixel."""
    for axis in (2, 1):
        size = x.shape[axis]
        at = torch.arange(side, dtype=torch.float32) * (size / side)
        low = at.long()
        high = (low + 1).clamp_max(size - 1)
        part = (at - low).view(-1, *[1] * (2 - axis))
        first = x.index_select(axis, low)
        x = first + (x.index_select(axis, high) - first) * part
    return x
