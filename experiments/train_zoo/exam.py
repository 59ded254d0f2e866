"""What a model of the zoo is asked while it learns and at its end, and who judges it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

import zz
from zz.data.base import PromptSet
from zz.data.motion_prompts import ShapesMotion, ShapesMotionTune
from zz.data.shapes_prompts import TAGS, Quick, Shapes, ShapesTune
from zz.experiments.train_shapes.evaluate import SCORERS, SIZE, means, rounded, scored
from zz.models.base import Pipeline
from zz.scorers.base import ImageScorer
from zz.scorers.shapes.motion import MotionCorrect, MotionFrames
from zz.worlds.motion import MOTIONS

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)  # of guidance, at which a finished model is measured
Right = dict[str, tuple[float, int]]  # tag -> how many are right, of how many


@dataclass(frozen=True)
class Exam:
    """Prompts and scorers.

    quick:    a first look
    tune:     to choose guidance on
    reported: those that its card reports
    tags:     of the prompts
    scorers:  the first says right or wrong; all by the names that a card has for them
    steps:    T
    size:     (height, width) in pixels
    scales:   of guidance, of which the best on `tune` is reported
    """

    quick: PromptSet
    tune: PromptSet
    reported: PromptSet
    tags: tuple[str, ...]
    scorers: Mapping[str, ImageScorer]
    steps: int = 20
    size: tuple[int, int] = SIZE
    scales: tuple[float, ...] = SCALES

    def means(self, opened: Pipeline, prompts: PromptSet, gamma1: float) -> dict[str, dict[str, float]]:
        """Of standard sampling, by scorer and tag."""
        found: dict[str, dict[str, float]] = rounded(means(self._scored(opened, prompts, gamma1, self.scorers)))
        return found

    def right(self, opened: Pipeline, gamma1: float) -> Right:
        """Of the reported prompts, by tag and `all`."""
        first = dict([next(iter(self.scorers.items()))])
        (found,) = self._scored(opened, self.reported, gamma1, first).values()
        by_tag = {tag: (sum(values), len(values)) for tag, values in found.items()}
        return by_tag | {"all": (sum(right for right, _ in by_tag.values()), sum(n for _, n in by_tag.values()))}

    def _scored(
        self, opened: Pipeline, prompts: PromptSet, gamma1: float, scorers: Mapping[str, ImageScorer]
    ) -> dict[str, dict[str, list[float]]]:
        sampler = zz.Standard(gamma1)
        return scored(opened, prompts, sampler, self.steps, size=self.size, scorers=scorers)

    def pictures(self, opened: Pipeline, gamma1: float, n: int = 36) -> list[Image.Image]:
        """The first of a quick look; of clips every other frame."""
        texts = [prompt.text for prompt in self.quick.prompts[:n]]
        made: Sequence[Any] = zz.sample(opened, texts, sampler=zz.Standard(gamma1), steps=self.steps, size=self.size)
        shown = [frame for one in made for frame in (one[::2] if isinstance(one, list) else [one])]
        return shown[:n]


SHAPES = Exam(Quick(), ShapesTune(), Shapes(), TAGS, {"strict": SCORERS["strict"], **SCORERS})
MOTION = Exam(
    ShapesMotionTune(),
    ShapesMotionTune(),
    ShapesMotion(),
    MOTIONS,
    {"strict": MotionCorrect(), "frames": MotionFrames()},
    scales=(2.0, 4.0, 7.0),  # a clip costs eight pictures
)
