"""The judge of the shapes world in motion: every frame by GenEval's rules, and what the thing does over time."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from zz.data.base import Prompt
from zz.data.motion_prompts import parse
from zz.diffusion.validate import Proportion
from zz.scorers.base import ImageScorer, Score
from zz.scorers.geneval.rules import verdict
from zz.scorers.shapes.detector import ACCEPT, blobs, detect
from zz.worlds.motion import GROWING, WAYS

FEWEST = 3  # frames, of which a motion can be told
TRAVEL = 0.12  # least way from the first frame to the last, in picture sides; half of the least that is drawn
ASIDE = 0.5  # most of it that may lead aside
GROWTH = 1.25  # least factor of what grows, and most of what only moves


@dataclass(frozen=True)
class _Judge(ImageScorer):
    accept: Proportion = ACCEPT
    reads: ClassVar[tuple[str, ...]] = ("include", "motion")
    reads_clips: ClassVar[bool] = True
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True

    def describe(self, text):
        return _described(self.name, text)

    def settings(self):
        return {"accept": self.accept}

    @abstractmethod
    def one(self, frames: Sequence[np.ndarray], meta: Mapping[str, Any]) -> float:
        """The score of one clip."""

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        def score(clips: Sequence[Sequence[Image.Image]], prompts: Sequence[Prompt]) -> list[float]:
            found = []
            for clip, prompt in zip(clips, prompts, strict=True):
                meta = prompt.meta if "motion" in prompt.meta else self.describe(prompt.text)
                found.append(self.one([np.asarray(frame.convert("RGB")) for frame in clip], meta))
            return found

        yield score


@dataclass(frozen=True)
class MotionCorrect(_Judge):
    """1 where the thing is there in every frame and does what it is asked to, else 0.

    accept: least overlap (intersection over union) of an object with the outline of its shape, 0..1
    """

    name: str = "motion_correct"
    unit: ClassVar[str] = "correct"

    def one(self, frames, meta):
        if len(frames) < FEWEST:
            raise ValueError(f"{self.name} judges clips of {FEWEST} frames or more; this one has {len(frames)}")
        path = track(frames, meta["include"][0], self.accept)
        return float(path is not None and does(path, meta["motion"]))


@dataclass(frozen=True)
class MotionFrames(_Judge):
    """The share of frames that GenEval's rules call right, whatever moves.

    accept: least overlap (intersection over union) of an object with the outline of its shape, 0..1
    """

    name: str = "motion_frames"
    unit: ClassVar[str] = "share"

    def one(self, frames, meta):
        asked = {"include": meta["include"]}
        return float(np.mean([verdict(detect(frame, self.accept), asked)[0] for frame in frames]))


def track(frames: Sequence[np.ndarray], item: Mapping[str, Any], accept: float = ACCEPT) -> np.ndarray | None:
    """Centre and radius of a thing in every frame, in picture sides; None where a frame lacks it  # (F, 3): x, y, r"""
    path = []
    for frame in frames:
        height, width, _ = frame.shape
        found = [blob for blob in blobs(frame) if blob.overlap >= accept]
        mine = [blob for blob in found if (blob.shape, blob.colour) == (item["class"], item["color"])]
        if not mine:
            return None
        best = max(mine, key=lambda blob: blob.overlap)
        path.append((best.centre[0] / width, best.centre[1] / height, best.radius / min(height, width)))
    return np.array(path)


def does(path: np.ndarray, motion: str) -> bool:
    """Whether a path, by its line of least squares, is the motion.

    path:   (F, 3), as `track` gives it
    motion: one of MOTIONS
    """
    t = np.linspace(-0.5, 0.5, len(path))
    across, down, growth = t @ np.column_stack([path[:, :2], np.log(path[:, 2])]) / (t @ t)
    grown = float(np.exp(growth))
    if motion == GROWING:
        return grown >= GROWTH and float(np.hypot(across, down)) < TRAVEL
    x, y = WAYS[motion]
    along, aside = across * x + down * y, abs(across * y) + abs(down * x)
    return bool(along >= TRAVEL and aside <= ASIDE * along and 1 / GROWTH < grown < GROWTH)


@lru_cache(maxsize=4096)
def _described(scorer: str, text: str) -> Mapping[str, Any]:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"scorers: {scorer} cannot judge it: {error}; or leave it out: scorers=[]") from error


__all__ = ["MotionCorrect", "MotionFrames", "does", "track"]
