"""How far a picture is from the typical set of the exact model's components: fidelity, where log-odds is alignment."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from zz.data.base import Prompt
from zz.diffusion.validate import Range
from zz.scorers.base import ImageScorer, Score
from zz.worlds.scenes import Pictures, World


@dataclass(frozen=True)
class Atypicality(ImageScorer):
    """| r - 1 |, for r the mean squared deviation from the nearest component in units of its variance.

    A true sample has r = 1 +- sqrt(2 / D); a picture that guidance has pushed off, or smoothed, has not. The
    prompt plays no part, so that a picture may be typical and wrong.

    world: the components
    std:   their standard deviation, in pixels that run over -1..1
    """

    world: World = field(default_factory=Pictures)
    std: Annotated[float, Range(1e-6)] = 0.1
    name: str = "atypicality"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "variances"
    higher_is_better: ClassVar[bool] = False

    def settings(self):
        return {"world": type(self.world).__name__, "std": self.std}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            return [self._one(image) for image in images]

        yield score

    def _one(self, image: Image.Image) -> float:
        x = np.asarray(image, dtype=np.float64).transpose(2, 0, 1) / 127.5 - 1
        deviation = ((self.world.means(x.shape[1:]) - x) ** 2).mean((1, 2, 3)).min()
        return float(abs(deviation / self.std**2 - 1))
