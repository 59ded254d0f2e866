"""How scorers read pictures: whatever a file holds becomes 8-bit RGB as a person sees it, in this one place.

`rgb` decides what the scorers' own packages leave to Pillow or to chance:

- turned by EXIF: upright, as every viewer shows it (hpsv2, ImageReward and CLIP score it as it lies in the file);
- transparency (RGBA, LA, a palette's, a PNG's transparent colour): laid on white (ImageReward resizes the
  premultiplied colours and then drops alpha; hpsv2 keeps four channels and fails);
- 16-bit grey: its 65,536 levels become 256 (Pillow's conversion, hence all packages', saturates nearly all to white);
- palette and 1 bit: RGB first, resized after, with the filter (ImageReward and CLIP resize first, which for these modes
  is nearest-neighbour);
- CMYK, grey, YCbCr, LAB, HSV: Pillow's conversion, as they do. ICC profiles are not applied, as they do not.

A picture of floating-point levels has no white, and is refused.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's training pictures, by channel (Radford et al., 2021)
STD = (0.26862954, 0.26130258, 0.27577711)


def rgb(image: Image.Image) -> Image.Image:
    """A picture of any kind as 8-bit RGB, upright, on white. Raises ValueError on one whose levels have no scale."""
    if image.mode == "RGB" and "transparency" not in image.info and not image.getexif():
        return image
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError(
            "a picture of floating-point levels (mode F) says not which is white; save it with 8 or 16 bits"
        )
    if image.mode.startswith("I"):  # 16 bits, whatever holds them
        levels = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")
    return image.convert("RGB")


def tensor(image: Image.Image) -> Tensor:
    """An RGB picture's levels in 0..1  # (3, H, W)"""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def normalised(x: Tensor) -> Tensor:
    """Pictures in 0..1 as CLIP's towers take them  # (B, 3, H, W)"""
    return (x - torch.tensor(MEAN).view(-1, 1, 1)) / torch.tensor(STD).view(-1, 1, 1)


def squares(images: Sequence[Image.Image], side: int = 224) -> Tensor:
    """As OpenAI's CLIP prepares them: the shorter side resized (bicubic), the middle cut out, normalised.

    The middle begins at round((longer side - 224) / 2), as torchvision has it; transformers' processors round down,
    one row off for every fourth length. This is for scorers whose authors used torchvision.
    """
    return normalised(torch.stack([tensor(_square(rgb(image), side)) for image in images]))  # (B, 3, side, side)


def _square(image: Image.Image, side: int) -> Image.Image:
    shorter = min(image.size)
    width, height = (side if length == shorter else int(side * length / shorter) for length in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return image.crop((left, top, left + side, top + side))


__all__ = ["MEAN", "STD", "normalised", "rgb", "squares", "tensor"]
