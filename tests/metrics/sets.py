"""Features and pictures for the tests of set metrics."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from zz.data.base import Prompt
from zz.hub.published import Published
from zz.scorers.base import Features
from zz.scorers.inception import InceptionFeatures
from zz.scorers.reference import Reference

D = 12


RNG = np.random.default_rng(7)


MIX = RNG.normal(size=(D, D))


def drawn(n, shift=0.0, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, D)) @ MIX + 3 + shift, 0)


def prompts(n, repeats=1):
    return [Prompt(f"prompt {i}", {}, i) for _ in range(repeats) for i in range(n // repeats)]


@dataclass(frozen=True)
class Colours(Features):
    """A picture's mean colour and its spread."""

    name: str = "colours"
    version: ClassVar[int] = 1

    def settings(self):
        return {}

    @contextmanager
    def open(self, device="cpu"):
        yield extract


def extract(images):
    x = [np.asarray(image, dtype=np.float64) for image in images]
    return np.array([[*one.mean((0, 1)), *one.std((0, 1))] for one in x])


OF, AGAINST = Colours(), Reference("real")


INCEPTION = InceptionFeatures(Published("https://host/weights.pth"))


def pictures(folder, n, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(folder / f"{i:03}.png")
    return folder
