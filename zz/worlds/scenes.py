"""The exact model's two worlds: what its components look like, and which of them a prompt allows.

A world is a list of components. A prompt names some of their words; it allows every component that bears
all of the words that it names, and no others.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "red": (-0.05, -0.75, -0.7),
    "green": (-0.75, 0.1, -0.6),
    "blue": (-0.7, -0.45, 0.4),
    "yellow": (0.6, 0.4, -0.75),
}
SHAPES = ("circle", "square", "triangle", "star")
POSITIONS = {"left": (0.27, 0.5), "right": (0.73, 0.5), "top": (0.5, 0.27), "bottom": (0.5, 0.73), "centre": (0.5, 0.5)}
BACKGROUND = (0.6, 0.6, 0.55)
RADIUS = 0.2  # of the picture's shorter side
FILLER = frozenset(["a", "an", "the", "of", "on", "in", "at", "to", "photo", "picture", "with", "and"])


class World(ABC):
    """Components, each a set of words and a mean."""

    @property
    @abstractmethod
    def words(self) -> tuple[frozenset[str], ...]:
        """The words of each component."""

    @abstractmethod
    def means(self, size: tuple[int, int]) -> np.ndarray:
        """The components' means at (height, width): (K, C, H, W), float64, about -1..1."""

    def allowed(self, prompt: str) -> tuple[int, ...]:
        """The components that a prompt allows; the empty prompt allows all.

        Raises ValueError where the prompt has a word that the world does not know, or allows nothing.
        """
        asked = {w for w in re.findall(r"[^\W_]+", prompt.lower()) if w not in FILLER}
        words = self.words
        known = frozenset().union(*words)
        if unknown := sorted(asked - known):
            raise ValueError(
                f"prompt {prompt!r}: the exact model does not know {', '.join(unknown)}; "
                f"it knows {', '.join(sorted(known))}"
            )
        found = tuple(i for i, borne in enumerate(words) if asked <= borne)
        if not found:
            raise ValueError(f"prompt {prompt!r}: no component bears all of {', '.join(sorted(asked))}")
        return found


@dataclass(frozen=True)
class Pictures(World):
    """One coloured shape at one position: 4 colours x 4 shapes x 5 positions, 80 RGB pictures."""

    @cached_property
    def words(self):
        return tuple(frozenset(c) for c in product(COLOURS, SHAPES, POSITIONS))

    def means(self, size):
        return np.stack([_picture(*c, size) for c in product(COLOURS, SHAPES, POSITIONS)])


@dataclass(frozen=True)
class Compass(World):
    """Eight points on the unit circle, as pictures of one pixel with two channels."""

    @cached_property
    def words(self):
        names = ("east", "north east", "north", "north west", "west", "south west", "south", "south east")
        return tuple(frozenset(n.split()) for n in names)

    def means(self, size=(1, 1)):
        return np.array([(cos(i * pi / 4), sin(i * pi / 4)) for i in range(8)]).reshape(8, 2, 1, 1)


@lru_cache(maxsize=512)
def _picture(colour: str, shape: str, position: str, size: tuple[int, int]) -> np.ndarray:
    """One template (3, H, W), drawn four times larger and averaged down."""
    height, width = size
    scale = 4
    mask = Image.new("L", (width * scale, height * scale), 0)
    draw = ImageDraw.Draw(mask)
    x, y = POSITIONS[position][0] * width * scale, POSITIONS[position][1] * height * scale
    r = RADIUS * min(size) * scale
    if shape == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    elif shape == "square":
        draw.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), fill=255)
    else:
        points, inner = (3, 1.0) if shape == "triangle" else (5, 0.45)
        radii = [1.15 * r] if inner == 1.0 else [1.15 * r, 1.15 * r * inner]
        n = points * len(radii)
        draw.polygon(
            [
                (x + radii[i % len(radii)] * sin(2 * pi * i / n), y - radii[i % len(radii)] * cos(2 * pi * i / n))
                for i in range(n)
            ],
            fill=255,
        )
    cover = np.asarray(mask, dtype=np.float64).reshape(height, scale, width, scale).mean((1, 3)) / 255
    ink, paper = (np.array(c).reshape(3, 1, 1) for c in (COLOURS[colour], BACKGROUND))
    return paper + cover * (ink - paper)
