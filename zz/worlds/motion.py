"""The shapes world in motion: one coloured shape that moves left, right, up or down, or grows, frame by frame."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zz.worlds.shapes import Scene, Thing, draw_scene

FRAMES = 8
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
GROWING = "growing"
MOTIONS = (*WAYS, GROWING)
TRAVEL = (0.25, 0.4)  # from the first frame to the last, in picture sides
GROWTH = (1.6, 2.1)  # of the radius
RADIUS = (0.13, 0.24)  # of what moves, and of what grows at first
LARGEST = 0.33


def draw_clip(meta: Mapping[str, Any], rng: np.random.Generator, frames: int = FRAMES) -> list[Scene]:
    """A random clip that shows exactly what a record asks for.

    meta: include, one thing with its colour; motion, one of MOTIONS
    """
    still = draw_scene({"include": meta["include"]}, rng)
    (thing,) = still.things
    radius = float(rng.uniform(*RADIUS))
    growth, (across, down) = 1.0, (0.0, 0.0)
    if meta["motion"] == GROWING:
        growth = float(rng.uniform(*GROWTH))
        radius = min(radius, LARGEST / growth)
    else:
        travel = float(rng.uniform(*TRAVEL))
        across, down = (travel * way for way in WAYS[meta["motion"]])
    edge = 1.05 * radius * growth
    x, y = (
        float(rng.uniform(edge + max(0, -step), 1 - edge - max(0, step))) for step in (across, down)
    )  # so that it stays inside
    made = []
    for t in np.linspace(0, 1, frames).tolist():
        centre, size = (x + t * across, y + t * down), radius * growth**t
        made.append(Scene((Thing(thing.shape, thing.colour, centre, size, thing.angle),), still.paper))
    return made


__all__ = ["FRAMES", "GROWING", "MOTIONS", "WAYS", "draw_clip"]
