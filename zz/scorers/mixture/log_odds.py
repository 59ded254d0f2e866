"""The exact prompt log-odds of a picture under the mixture that the exact model samples from."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image
from scipy.special import logsumexp

from zz.data.base import Prompt
from zz.diffusion.validate import Range
from zz.scorers.base import ImageScorer, Score
from zz.worlds.scenes import Pictures, World


@dataclass(frozen=True)
class LogOdds(ImageScorer):
    """log p(x | components that the prompt allows) - log p(x | the others), in nats, both with equal weights.

    It is computed from the formula on the 8-bit picture, apart from the network's code. A prompt that allows
    every component has no log-odds and scores 0.

    world: the components
    std:   their standard deviation, in pixels that run over -1..1
    """

    world: World = field(default_factory=Pictures)
    std: Annotated[float, Range(1e-6)] = 0.1
    name: str = "log_odds"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "nats"
    higher_is_better: ClassVar[bool] = True

    def settings(self):
        return {"world": type(self.world).__name__, "std": self.std}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            return [self._one(image, prompt.text) for image, prompt in zip(images, prompts, strict=True)]

        yield score

    def _one(self, image: Image.Image, prompt: str) -> float:
        x = np.asarray(image, dtype=np.float64).transpose(2, 0, 1) / 127.5 - 1
        means = self.world.means(x.shape[1:])
        log_p = -((means - x) ** 2).reshape(len(means), -1).sum(1) / (2 * self.std**2)
        inside = np.zeros(len(means), dtype=bool)
        inside[list(self.world.allowed(prompt))] = True
        if inside.all():
            return 0.0
        return float(_mean_log(log_p[inside]) - _mean_log(log_p[~inside]))


def _mean_log(log_p: np.ndarray) -> float:
    return float(logsumexp(log_p) - np.log(len(log_p)))
