"""In which order pictures are dealt into splits and subsets: some metrics depend on it."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from zz.data.base import Prompt

Order = Literal["torch_fidelity", "prompt", "hash"]
SEED = 2020  # torch-fidelity's


def by_hash(features: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """Indices in an order that no other order of the pictures moves: by a hash of text and seed, then by features."""
    keys = [
        (hashlib.sha256(f"{prompt.seed}\0{prompt.text}".encode(errors="surrogateescape")).digest(), row.tobytes())
        for prompt, row in zip(prompts, features, strict=True)
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=int)


def units(prompts: Sequence[Prompt]) -> list[int]:
    """The number of the prompt that each picture belongs to: all of its repeats are one unit of the jackknife."""
    number: dict[tuple[str, int | None], int] = {}
    return [number.setdefault((prompt.text, prompt.seed), len(number)) for prompt in prompts]
