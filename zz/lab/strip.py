"""Clips: the picture of a clip is the lossless strip of its frames, side by side."""

from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor  # which reading a strip needs not


def picture(pixels: "Tensor") -> Image.Image:
    """(H, W, 3) as it is; the frames of a clip, (F, H, W, 3), as a strip, H by F * W."""
    strip = pixels if pixels.ndim == 3 else pixels.transpose(0, 1).flatten(1, 2)
    return Image.fromarray(strip.contiguous().numpy())


def frames(strip: Image.Image, n: int) -> list[Image.Image]:
    """The n frames of a strip; of a picture, n = 1, itself."""
    width = strip.width // n
    return [strip.crop((i * width, 0, (i + 1) * width, strip.height)) for i in range(n)]
