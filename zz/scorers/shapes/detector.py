"""An exact detector for the shapes world: it undoes the renderer.

A pixel is paper, or a mixture of paper and one palette colour; touching pixels of one colour are a blob; a blob is
the shape whose rendered outline, at the blob's own place and area, overlaps it best (intersection over union of
coverages, so that it also works for shapes of eight pixels).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from zz.scorers.geneval.rules import Detection
from zz.worlds.shapes import COLOURS, FINE, LEAN, REACH, SHAPES, Outlines, outline

PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)  # (C, 3)
ACCEPT = 0.7  # least overlap of an object
NEAR, FAR = 40.0, 160.0  # RGB distance up to which a colour is right, and from which it is wrong
SMALLEST, LARGEST = 0.08, 0.45  # radius in picture sides; the world draws .125 to .33
SPECK = 0.006  # of the picture's area: what covers less is noise, not a blob (the smallest ring covers .024)
PALE = 190  # paper is at least as light as this in every channel
FAINT = 0.08  # coverage that noise may feign
STEP = 4  # degrees between the outlines that are tried


class Pixels(NamedTuple):
    """A picture, unmixed."""

    rgb: np.ndarray  # (H, W, 3), float32
    paper: np.ndarray  # (H, W, 3): the plane that fits the light pixels best
    nearest: np.ndarray  # (H, W): the colour whose mixture with paper explains the pixel best
    cover: np.ndarray  # (H, W): how much of that colour, 0..1
    misses: np.ndarray  # (H, W, C): RGB distance from the best mixture with each colour


@dataclass(frozen=True)
class Blob:
    """Touching pixels of one colour, and the shape that fits them best.

    shape:   one of SHAPES
    overlap: intersection over union with its outline, 0..1
    colour:  one of COLOURS
    rgb:     mean of the pixels that are fully covered
    centre:  (x, y) of the outline, in pixels
    radius:  of the outline, in pixels
    angle:   of the outline, in degrees
    box:     left, top, right, bottom of the pixels, in pixels
    """

    shape: str
    overlap: float
    colour: str
    rgb: tuple[float, float, float]
    centre: tuple[float, float]
    radius: float
    angle: int
    box: tuple[float, float, float, float]


def unmix(picture: np.ndarray) -> Pixels:
    """Tell paper and colours apart: uint8 or float RGB  # (H, W, 3)"""
    rgb = np.asarray(picture, dtype=np.float32)
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"picture of shape {rgb.shape}: the shapes judge reads RGB; give (height, width, 3)")
    paper = _paper(rgb)
    ink = PALETTE - paper[:, :, None, :]  # (H, W, C, 3)
    seen = (rgb - paper)[:, :, None, :]
    cover = ((seen * ink).sum(3) / (ink * ink).sum(3).clip(1)).clip(0, 1)
    misses = np.linalg.norm(seen - cover[..., None] * ink, axis=3)
    nearest = misses.argmin(2)
    return Pixels(rgb, paper, nearest, np.take_along_axis(cover, nearest[:, :, None], 2)[:, :, 0], misses)


def blobs(picture: np.ndarray) -> list[Blob]:
    """Every blob larger than a speck, whatever it looks like. picture: RGB, uint8  # (H, W, 3)"""
    return list(_blobs(picture.tobytes(), picture.shape))


@lru_cache(maxsize=4096)  # each scorer asks for the same pictures again
def _blobs(values: bytes, shape: tuple[int, ...]) -> tuple[Blob, ...]:
    pixels = unmix(np.frombuffer(values, np.uint8).reshape(shape))
    return tuple(_fit(pixels, colour, part, core) for colour, part, core in _parts(pixels))


def detect(picture: np.ndarray, accept: float = ACCEPT) -> dict[str, list[Detection]]:
    """What is in a picture, as GenEval's rules want it: by shape, best first.

    picture: RGB, of any size  # (H, W, 3)
    accept:  least overlap of an object with its outline; 0 tells every blob's likeliest shape
    """
    side = min(picture.shape[:2])
    found: dict[str, list[Detection]] = defaultdict(list)
    for blob in blobs(picture):
        if blob.overlap >= accept and SMALLEST * side <= blob.radius <= LARGEST * side:
            found[blob.shape].append(Detection(blob.box, blob.overlap, affinities(blob.colour, blob.rgb)))
    return {shape: sorted(each, key=lambda d: -d.score) for shape, each in found.items()}


def cleanliness(picture: np.ndarray, tolerance: float = 25.0) -> float:
    """How well the pixels fit paper and palette, 0..1, whatever they show; an empty sheet is clean.

    A pixel is to be paper or a palette colour; where regions meet, it may be a mixture of paper and a colour of the
    regions that do. Its fit is a Gaussian of its RGB distance from that, of standard deviation `tolerance`.
    """
    pixels = unmix(picture)
    colours = len(PALETTE)
    region = np.where(pixels.cover > 0.5, pixels.nearest, colours)
    pure = np.concatenate([np.broadcast_to(PALETTE, (*region.shape, colours, 3)), pixels.paper[:, :, None]], 2)
    off = np.linalg.norm(pixels.rgb - np.take_along_axis(pure, region[:, :, None, None], 2)[:, :, 0], axis=2)
    beside = np.stack([ndimage.maximum_filter(region == c, 3) for c in range(colours + 1)], 2)
    mixed = np.where(beside[:, :, :colours], pixels.misses, np.inf).min(2)
    off = np.where(beside.sum(2) > 1, np.minimum(off, mixed), off)
    return float(np.exp(-((off / tolerance) ** 2) / 2).mean())


def affinities(colour: str, rgb: tuple[float, float, float]) -> dict[str, float]:
    """How near a blob's mean is to every colour, 0..1. Its own comes first and is the best, also where it is pale."""
    distance = np.linalg.norm(PALETTE - np.array(rgb, dtype=np.float32), axis=1)
    near = dict(zip(COLOURS, ((FAR - distance) / (FAR - NEAR)).clip(0, 1).tolist(), strict=True))
    own = max(near.values())
    return {colour: own} | {name: value for name, value in near.items() if name != colour}


def _paper(rgb: np.ndarray) -> np.ndarray:
    """The plane through the light pixels, refitted without those that lie off it; white where nothing is light."""
    height, width, _ = rgb.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    basis = np.stack([np.ones_like(x), x / width - 0.5, y / height - 0.5], 2).reshape(-1, 3)
    flat = rgb.reshape(-1, 3)
    light = flat.min(1) >= PALE
    for reach in (25.0, 12.0):
        if light.mean() < 0.1:
            return np.full_like(rgb, 250)
        plane = np.linalg.lstsq(basis[light], flat[light], rcond=None)[0]
        paper = basis @ plane
        light = (flat.min(1) >= PALE) & (np.abs(flat - paper).max(1) < reach)
    return paper.reshape(rgb.shape).clip(0, 255)


def _parts(pixels: Pixels) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(colour, coverage, core) of every blob; the coverage fades out over the pixels around the core."""
    solid = pixels.cover > 0.5
    around = np.ones((3, 3), dtype=bool)
    for colour in range(len(PALETTE)):
        mine = solid & (pixels.nearest == colour)
        if not mine.any():
            continue
        labels, n = ndimage.label(mine, structure=around)
        for label in range(1, n + 1):
            core = labels == label
            rim = ndimage.binary_dilation(core, around) & ~solid & (pixels.nearest == colour) & (pixels.cover > FAINT)
            ink = np.sort(pixels.cover[core])[-max(1, core.sum() // 3) :].mean()
            part = np.where(core | rim, pixels.cover / ink, 0).clip(0, 1)  # a washed-out shape is still a shape
            if part.sum() >= SPECK * part.size:
                yield colour, part, core


@lru_cache(maxsize=1)
def _bank() -> tuple[list[tuple[str, int]], np.ndarray, np.ndarray, np.ndarray]:
    """Every outline to compare with: (shape, angle), sums, area and centre of mass for radius 1."""
    kinds = [(shape, angle) for shape in SHAPES for angle in range(-LEAN[shape], LEAN[shape] + 1, STEP)]
    sums = np.concatenate([outline(*kind).sums for kind in kinds])
    cells = np.diff(np.diff(sums, axis=1), axis=2).astype(np.float64)
    cell = 2 * REACH / FINE
    at = (np.arange(FINE) + 0.5) * cell - REACH
    mass = cells.sum((1, 2))
    centres = np.stack([cells.sum(1) @ at / mass, cells.sum(2) @ at / mass], 1)
    return kinds, sums, mass * cell**2, centres


def _fit(pixels: Pixels, colour: int, part: np.ndarray, core: np.ndarray) -> Blob:
    kinds, sums, areas, centres = _bank()
    rows, columns = (np.flatnonzero(core.any(axis)) for axis in (1, 0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    top, bottom = max(0, rows[0] - 3), min(core.shape[0], rows[-1] + 4)
    left, right = max(0, columns[0] - 3), min(core.shape[1], columns[-1] + 4)
    patch = part[top:bottom, left:right]
    x, y = np.arange(left, right + 1), np.arange(top, bottom + 1)
    mass = patch.sum()
    middle = np.array([patch.sum(0) @ (x[:-1] + 0.5), patch.sum(1) @ (y[:-1] + 0.5)]) / mass

    which = np.arange(len(kinds))
    radii = np.sqrt(mass / areas)  # a shape of the blob's area ...
    places = middle - radii[:, None] * centres  # ... with its centre of mass on the blob's
    overlap = _overlaps(patch, Outlines(sums), places, radii, x, y)
    if overlap.max() < 0.9:  # a misshapen blob: its area and centre may mislead
        likeliest = np.argsort(-overlap)[:6]
        moves = [(scale, dx, dy) for scale in (0.92, 1, 1.08) for dx, dy in _MOVES]
        which = np.repeat(likeliest, len(moves))
        scales, shifts = np.tile([m[0] for m in moves], 6), np.tile([m[1:] for m in moves], (6, 1))
        places, radii = places[which] + 0.08 * radii[which, None] * shifts, radii[which] * scales
        overlap = _overlaps(patch, Outlines(sums[which]), places, radii, x, y)
    best = int(overlap.argmax())
    shape, angle = kinds[which[best]]
    full = core & (part >= 0.95)
    return Blob(
        shape,
        float(overlap[best]),
        list(COLOURS)[colour],
        tuple(pixels.rgb[full].mean(0).tolist()),
        (float(places[best, 0]), float(places[best, 1])),
        float(radii[best]),
        angle,
        box,
    )


_MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


def _overlaps(
    patch: np.ndarray, outlines: Outlines, places: np.ndarray, radii: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    cover = outlines.coverage(places, radii, x, y)
    # of the outline's whole area, not only of what lies inside the patch
    area = (outlines.sums[:, -1, -1] * (2 * REACH / FINE) ** 2) * radii**2
    both = np.minimum(cover, patch).sum((1, 2))
    return both / (area + patch.sum() - both)
