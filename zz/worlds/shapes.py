"""The shapes world: pictures of coloured shapes, exact to draw and exact to judge, for a model that trains in minutes.

Eight shapes in eight colours on softly graded near-white paper, one to four to a picture. Everything comes from a
numpy Generator; nothing is read from disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import cos, hypot, pi, radians, sin
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[float, float, float]
Meta = dict[str, Any]  # one prompt as GenEval writes it: tag, include, exclude, prompt

SIZE = 32  # pixels a side

# Names of GenEval's. Half-covered edge pixels lie on the straight line from a colour to white; brown is left out
# because its line runs beside black's, white because of the paper.
COLOURS: dict[str, RGB] = {
    "red": (224, 28, 36),
    "orange": (255, 120, 0),
    "yellow": (252, 226, 30),
    "green": (24, 150, 60),
    "blue": (36, 76, 224),
    "purple": (124, 36, 168),
    "pink": (252, 124, 196),
    "black": (24, 24, 28),
}

# How far a shape may lean, in degrees, without looking like another: a square that leans by 45 is a diamond.
LEAN = {"circle": 0, "square": 8, "triangle": 16, "star": 16, "cross": 16, "ring": 0, "diamond": 8, "heart": 16}
SHAPES = tuple(LEAN)

HELD_OUT = frozenset(
    {
        ("circle", "purple"),
        ("square", "yellow"),
        ("triangle", "blue"),
        ("star", "green"),
        ("cross", "pink"),
        ("ring", "red"),
        ("diamond", "black"),
        ("heart", "orange"),
    }
)  # (shape, colour), each shape and each colour once: never drawn for training

RADII = {1: (0.17, 0.33), 2: (0.15, 0.24), 3: (0.135, 0.19), 4: (0.125, 0.17)}  # by the number of shapes
GAP = 0.05
WAYS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
CONE = 0.8  # cosine: a relation is drawn within 37 degrees of its axis, well inside what GenEval's rule accepts


@dataclass(frozen=True)
class Thing:
    """One coloured shape.

    shape:  one of SHAPES
    colour: one of COLOURS
    centre: (x, y) of its bounding box when it stands upright, in picture sides, y downwards
    radius: of the disc that it about fills, in picture sides
    angle:  how far it leans clockwise, in whole degrees
    """

    shape: str
    colour: str
    centre: tuple[float, float]
    radius: float
    angle: int = 0

    def __post_init__(self) -> None:
        if self.shape not in LEAN:
            raise ValueError(f"shape={self.shape!r} is not in the shapes world; choose one of {', '.join(SHAPES)}")
        if self.colour not in COLOURS:
            raise ValueError(f"colour={self.colour!r} is not in the shapes world; choose one of {', '.join(COLOURS)}")


@dataclass(frozen=True)
class Paper:
    """The background: a plane in each channel.

    centre: its colour in the middle
    across: how much it changes from the left edge to the right one
    down:   how much it changes from top to bottom
    """

    centre: RGB = (246, 246, 246)
    across: RGB = (0, 0, 0)
    down: RGB = (0, 0, 0)


@dataclass(frozen=True)
class Scene:
    """What a picture is of: things, painted in their order, on paper."""

    things: tuple[Thing, ...] = ()
    paper: Paper = Paper()


class Outlines(NamedTuple):
    """Upright and leaning outlines, summed over rectangles so that any of them is drawn at any place and size.

    sums: integral images, float32  # (K, FINE + 1, FINE + 1)
    """

    sums: np.ndarray

    def coverage(self, centres: np.ndarray, radii: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """How much of each pixel each outline covers, exact up to the fine raster: 0..1, float32.

        centres: (x, y) in any unit  # (K, 2)
        radii:   in the same unit    # (K,)
        x, y:    pixel edges in the same unit, ascending, equally spaced  # (W + 1,), (H + 1,)
        """
        scale = FINE / (2 * REACH) / radii[:, None]
        u, v = ((edges - centres[:, i, None]) * scale + FINE / 2 for i, edges in enumerate((x, y)))
        (u0, fu), (v0, fv) = _split(u), _split(v)
        flat = self.sums.reshape(-1)
        rows = (np.arange(len(radii))[:, None] * (FINE + 1) + v0) * (FINE + 1)
        corner = rows[:, :, None] + u0[:, None, :]
        fu, fv = fu[:, None, :], fv[:, :, None]
        top, bottom = ((1 - fu) * flat[at] + fu * flat[at + 1] for at in (corner, corner + FINE + 1))
        total = (1 - fv) * top + fv * bottom
        area = scale[:, :, None] ** 2 * ((x[1] - x[0]) * (y[1] - y[0]))
        return np.diff(np.diff(total, axis=1), axis=2) / area


FINE, REACH = 128, 1.25  # cells a side of the fine raster, and the radii that it reaches from the centre


@cache
def outline(shape: str, angle: int = 0) -> Outlines:
    """One shape's outline, leaning by whole degrees."""
    over = 4
    side = FINE * over
    mask = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(mask)
    c, s = cos(radians(angle)), sin(radians(angle))
    for ink, points in zip((255, 0), _corners(shape), strict=False):
        turned = [(c * px - s * py, s * px + c * py) for px, py in points]
        pen.polygon([((px / REACH + 1) * side / 2, (py / REACH + 1) * side / 2) for px, py in turned], fill=ink)
    fine = np.asarray(mask, dtype=np.float64).reshape(FINE, over, FINE, over).mean((1, 3)) / 255
    sums = np.zeros((1, FINE + 1, FINE + 1), dtype=np.float32)
    sums[0, 1:, 1:] = fine.cumsum(0).cumsum(1)
    return Outlines(sums)


def render(scene: Scene, size: int = SIZE) -> np.ndarray:
    """The picture of a scene, antialiased by exact coverage: uint8  # (size, size, 3)"""
    middle = (np.arange(size) + 0.5) / size - 0.5
    centre, across, down = (
        np.array(c, dtype=np.float32) for c in (scene.paper.centre, scene.paper.across, scene.paper.down)
    )
    picture = centre + middle[None, :, None] * across + middle[:, None, None] * down
    for thing in scene.things:
        (left, right), (top, bottom) = (_span(at, thing.radius, size) for at in thing.centre)
        if left >= right or top >= bottom:
            continue  # wholly outside of the picture
        cover = outline(thing.shape, thing.angle).coverage(
            np.array([thing.centre]) * size,
            np.array([thing.radius]) * size,
            np.arange(left, right + 1),
            np.arange(top, bottom + 1),
        )[0, :, :, None]
        patch = picture[top:bottom, left:right]
        patch += cover * (np.array(COLOURS[thing.colour], dtype=np.float32) - patch)
    return (picture + 0.5).clip(0, 255).astype(np.uint8)


def draw_scene(meta: Mapping[str, Any], rng: np.random.Generator, held_out: bool = True, gap: float = GAP) -> Scene:
    """A random scene that shows exactly what a GenEval record asks for, and nothing else.

    meta:     a record with `include`; what it leaves open (colours, places, sizes) is drawn
    held_out: whether pairs of HELD_OUT may be drawn where the record leaves the colour open
    gap:      least distance between two things' discs, in picture sides; below 0 they may overlap
    """
    wanted = [(group, item) for group, item in enumerate(meta["include"]) for _ in range(item["count"])]
    if not 1 <= len(wanted) <= max(RADII):
        raise ValueError(f"include={meta['include']}: {len(wanted)} shapes; the shapes world draws 1 to {max(RADII)}")
    alike = rng.random() < 0.5  # things of one group often share a colour, so that counting is more than colouring
    shared: dict[int, str] = {}
    kinds = []
    for group, item in wanted:
        colour = item.get("color") or (shared.get(group) if alike else None) or _colour(item["class"], rng, held_out)
        shared[group] = colour
        kinds.append((item["class"], colour))
    places = _places([(group, item.get("position")) for group, item in wanted], rng, gap)
    leans = [int(rng.integers(-LEAN[shape], LEAN[shape] + 1)) for shape, _ in kinds]
    things = [
        Thing(shape, colour, (x, y), radius, lean)
        for (shape, colour), (x, y, radius), lean in zip(kinds, places, leans, strict=True)
    ]
    return Scene(tuple(things), _paper(rng))


def pairs(held_out: bool) -> list[tuple[str, str]]:
    """Every (shape, colour), in a fixed order, with or without those held out."""
    return [pair for pair in product(SHAPES, COLOURS) if held_out or pair not in HELD_OUT]


def _colour(shape: str, rng: np.random.Generator, held_out: bool) -> str:
    names = [colour for colour in COLOURS if held_out or (shape, colour) not in HELD_OUT]
    return names[rng.integers(len(names))]


def _paper(rng: np.random.Generator) -> Paper:
    grey, tint = rng.uniform(234, 250), rng.uniform(-4, 4, 3)
    slopes = rng.uniform(-12, 12, (2, 1)) + rng.uniform(-3, 3, (2, 3))
    centre, across, down = (tuple(map(float, row)) for row in (grey + tint, *slopes))
    return Paper(centre, across, down)  # type: ignore[arg-type]


def _places(wanted: list[tuple[int, Any]], rng: np.random.Generator, gap: float) -> list[tuple[float, float, float]]:
    """(x, y, radius) of each thing, by rejection."""
    low, high = RADII[len(wanted)]
    for _ in range(1000):
        places: list[tuple[float, float, float]] = []
        for _, position in wanted:
            for radius, across, down in rng.uniform((low, 0, 0), (high, 1, 1), (30, 3)).tolist():
                edge = 1.05 * radius
                x, y = edge + across * (1 - 2 * edge), edge + down * (1 - 2 * edge)
                if all(hypot(x - a, y - b) >= radius + r + gap for a, b, r in places) and all(
                    _lies(position[0], x - a, y - b)
                    for (group, _), (a, b, _) in zip(wanted, places, strict=False)
                    if position and group == position[1]
                ):
                    places.append((x, y, radius))
                    break
            else:
                break  # no room left: begin again
        if len(places) == len(wanted):
            return places
    raise ValueError(f"gap={gap}: {len(wanted)} shapes do not fit into a picture that far apart; lower it to {GAP}")


def _lies(way: str, x: float, y: float) -> bool:
    across, down = WAYS[way]
    return x * across + y * down >= CONE * hypot(x, y)


def _span(centre: float, radius: float, size: int) -> tuple[int, int]:
    """First pixel that a thing can touch, and the one after its last."""
    return max(0, int((centre - REACH * radius) * size)), min(size, int((centre + REACH * radius) * size) + 1)


def _split(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole cells and the rest, held inside the raster."""
    at = at.clip(0, FINE)
    whole = np.minimum(at.astype(np.intp), FINE - 1)
    return whole, (at - whole).astype(np.float32)


_QUARTERS = (lambda x, y: (y, -x), lambda x, y: (-x, -y), lambda x, y: (-y, x))


def _corners(shape: str) -> list[list[tuple[float, float]]]:
    """Polygons in units of the radius, bounding box centred, y downwards: the outside, then a hole if there is one."""
    turn = [2 * pi * i / 96 for i in range(96)]
    if shape == "circle":
        return [[(0.92 * cos(a), 0.92 * sin(a)) for a in turn]]
    if shape == "ring":
        return [[(r * cos(a), r * sin(a)) for a in turn] for r in (0.98, 0.54)]
    if shape == "square":
        return [[(-0.74, -0.74), (0.74, -0.74), (0.74, 0.74), (-0.74, 0.74)]]
    if shape == "diamond":
        return [[(0, -1.04), (0.7, 0), (0, 1.04), (-0.7, 0)]]
    if shape == "triangle":
        return [[(0, -0.76), (0.88, 0.76), (-0.88, 0.76)]]
    if shape == "cross":
        a, b = 0.96, 0.3
        arm = [(b, -b), (b, -a), (-b, -a)]
        left, below, right = ([turn(x, y) for x, y in arm] for turn in _QUARTERS)
        return [[*arm, *left, *below, *right]]
    if shape == "star":
        radii = (1.06, 0.46)
        return [[(radii[i % 2] * sin(pi * i / 5), 0.1 - radii[i % 2] * cos(pi * i / 5)) for i in range(10)]]
    levels = [(sin(a) ** 3, (-13 * cos(a) + 5 * cos(2 * a) + 2 * cos(3 * a) + cos(4 * a)) / 16) for a in turn]
    middle = (max(y for _, y in levels) + min(y for _, y in levels)) / 2
    return [[(0.96 * x, 0.96 * (y - middle)) for x, y in levels]]
