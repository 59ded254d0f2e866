"""The shapes world in motion: one coloured shape that moves left, right, up or down, or grows, frame by frame.

What moves crosses the middle of the picture, so that where it is in a frame tells the way that it goes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zz.worlds.shapes import Scene, Thing, draw_scene

FRAMES = 8
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
GROWING = "growing"
MOTIONS = (*WAYS, GROWING)
TRAVEL = (0.25, 0.45)  # from the first frame to the last, in picture sides
ASIDE = 0.1  # most that the middle of its way lies from the picture's, across and down
GROWTH = (1.6, 2.1)  # of the radius
RADIUS = (0.13, 0.2)  # of what moves, and of what grows at first
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
    room = [0.5 - edge - abs(step) / 2 for step in (across, down)]  # so that it stays inside
    if meta["motion"] != GROWING:
        room = [min(ASIDE, most) for most in room]
    x, y = (0.5 - step / 2 + float(rng.uniform(-most, most)) for step, most in zip((across, down), room, strict=True))
    made = []
    for t in np.linspace(0, 1, frames).tolist():
        centre, size = (x + t * across, y + t * down), radius * growth**t
        made.append(Scene((Thing(thing.shape, thing.colour, centre, size, thing.angle),), still.paper))
    return made


__all__ = ["FRAMES", "GROWING", "MOTIONS", "WAYS", "draw_clip"]
