"""Noise keyed by what it is for: a picture's noise depends on its seed alone, never on its neighbours.

Starting noise for seed n is `torch.randn(shape, generator=torch.Generator().manual_seed(n))`, as users of
diffusers expect; all later noise comes from generators keyed by (seed, step, leg, round). All of it is
float32 and drawn on the CPU.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Noise(Protocol):
    """Fresh Gaussian noise for one move of a batch; equal keys give equal noise."""

    def __call__(self, step: int, leg: str, round: int) -> Tensor: ...


def starting_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """x_T for each seed: (B, *shape), float32, on the CPU."""
    return torch.stack([torch.randn(tuple(shape), generator=torch.Generator().manual_seed(n)) for n in seeds])


@dataclass(frozen=True)
class KeyedNoise:
    """Noise of `shape` (C, H, W) for each of `seeds`, the same for any batch that a picture is made in."""

    seeds: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, step: int, leg: str, round: int) -> Tensor:
        return starting_noise([key(n, step, leg, round) for n in self.seeds], self.shape)


def key(seed: int, *what: int | str) -> int:
    """The seed of what a picture draws beyond its starting noise."""
    digest = hashlib.blake2b("/".join(map(str, (seed, *what))).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1  # 63 bits: a valid signed seed
