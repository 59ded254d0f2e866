"""Gaussian blur of maps, mirrored at their borders."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


def blur(maps: Tensor, sigma: float, reach: int) -> Tensor:
    """Maps (B, C, h, w) under a Gaussian of this deviation that reaches so many places either way.

    It reaches no farther than half of a side, so that no place is mirrored twice.
    """
    kept, maps = maps.dtype, maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
    flat = maps.flatten(0, 1)[:, None]
    for axis in (2, 3):
        side = flat.shape[axis]
        half = min(reach, side // 2)
        places = torch.arange(-half, half + 1, device=flat.device, dtype=flat.dtype)
        kernel = torch.exp(-0.5 * (places / sigma) ** 2)
        shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
        border = (0, 0, half, half) if axis == 2 else (half, half, 0, 0)
        flat = conv2d(pad(flat, border, mode="reflect"), (kernel / kernel.sum()).view(shape))
    return flat[:, 0].reshape(maps.shape).to(kept)
