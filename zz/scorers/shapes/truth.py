"""How far pictures are from rendered truth: the Fréchet distance of their features to those of true scenes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from zz.data.base import Prompt
from zz.data.motion_prompts import every
from zz.data.shapes_prompts import TAGS, draw_pair
from zz.diffusion.validate import Range
from zz.scorers.base import Extract, Features, SetMetric
from zz.scorers.frechet import Moments, frechet, moments
from zz.scorers.interval import Interval, jackknife
from zz.worlds.motion import draw_clip
from zz.worlds.shapes import render


@dataclass(frozen=True)
class ShapesFrechet(SetMetric):
    """Fréchet distance to rendered scenes of all six categories, as many of each; its interval by the jackknife.

    It grows as pictures become fewer: compare sets of one size. The jackknife leaves out prompts, each with all seeds.

    of:    the features
    truth: how many scenes are rendered
    """

    fewest: ClassVar[int] = 3  # for a covariance when one is left out
    has_reference: ClassVar[bool] = True
    of_covariance: ClassVar[bool] = True

    of: Features
    truth: Annotated[int, Range(2)] = 5000
    name: str = "shapes_fd"
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "Fréchet distance"
    higher_is_better: ClassVar[bool | None] = False

    @property
    def features(self) -> Features:
        return self.of

    def settings(self):
        return {"truth": self.truth}

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        rng = np.random.default_rng([2020, 7])
        tags = [TAGS[i % len(TAGS)] for i in range(self.truth)]  # `shapes` has about as many of each
        truth = moments(extract([Image.fromarray(render(draw_pair(rng, tag, held_out=True).scene)) for tag in tags]))
        return truth._asdict()

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        truth = Moments(reference["mean"], reference["covariance"])
        number: dict[tuple[str, int | None], int] = {}
        units = [number.setdefault((prompt.text, prompt.seed), len(number)) for prompt in prompts]

        def distance(kept: np.ndarray) -> float:
            return frechet(moments(features[kept]), truth) if len(kept) > 1 else math.nan

        return jackknife(distance, len(features), units=units)


@dataclass(frozen=True)
class MotionFrechet(ShapesFrechet):
    """Fréchet distance of clips to rendered ones, all prompts in turn; a clip's features are its frames' mean.

    truth: how many clips are rendered
    """

    truth: Annotated[int, Range(2)] = 1000
    name: str = "motion_fd"
    version: ClassVar[int] = 2

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        rng, metas = np.random.default_rng([2020, 8]), every()
        clips = [draw_clip(metas[i % len(metas)], rng) for i in range(self.truth)]
        frames = extract([Image.fromarray(render(scene)) for clip in clips for scene in clip])
        return moments(frames.reshape(len(clips), -1, frames.shape[-1]).mean(1))._asdict()


__all__ = ["MotionFrechet", "ShapesFrechet"]
