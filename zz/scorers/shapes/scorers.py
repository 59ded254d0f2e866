"""The judge of the shapes world: GenEval's rules over an exact detector, for any prompt of the world's grammar."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from PIL import Image

from zz.data.base import Prompt
from zz.data.shapes_prompts import parse
from zz.diffusion.validate import Proportion, Range
from zz.scorers.base import ImageScorer, Score
from zz.scorers.geneval.rules import Objects, alignment, verdict
from zz.scorers.shapes.detector import ACCEPT, cleanliness, detect


@dataclass(frozen=True)
class ShapesCorrect(ImageScorer):
    """1 where GenEval's rules call the picture right, else 0.

    accept: least overlap (intersection over union) of an object with the outline of its shape, 0..1
    strict: whether there may be no object beyond those asked for; GenEval minds them in counting only
    """

    accept: Proportion = ACCEPT
    strict: bool = False
    name: str = "shapes_correct"
    reads: ClassVar[tuple[str, ...]] = ("include", "exclude")
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "correct"
    higher_is_better: ClassVar[bool] = True

    def describe(self, text):
        return _described(self.name, text)

    def settings(self):
        return {"accept": self.accept, "strict": self.strict}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        def one(picture: np.ndarray, meta: Mapping[str, Any]) -> float:
            objects = detect(picture, self.accept)
            return float(verdict(objects, meta)[0] and not (self.strict and surplus(objects, meta)))

        yield _each(self, one)


@dataclass(frozen=True)
class ShapesAlignment(ImageScorer):
    """The share of what the prompt asks for that the picture shows, softened (see `geneval.alignment`)."""

    name: str = "shapes_alignment"
    reads: ClassVar[tuple[str, ...]] = ("include", "exclude")
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "alignment"
    higher_is_better: ClassVar[bool] = True

    def describe(self, text):
        return _described(self.name, text)

    def settings(self):
        return {}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        yield _each(self, lambda picture, meta: alignment(detect(picture, accept=0), meta))


@dataclass(frozen=True)
class Cleanliness(ImageScorer):
    """How well pixels fit paper and palette, whatever they show and were asked to: a cheap guard of fidelity.

    tolerance: RGB distance of one standard deviation
    """

    tolerance: Annotated[float, Range(1e-6)] = 25.0
    name: str = "cleanliness"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "clean"
    higher_is_better: ClassVar[bool] = True

    def settings(self):
        return {"tolerance": self.tolerance}

    @contextmanager
    def open(self, device: str = "cpu") -> Iterator[Score]:
        def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
            return [cleanliness(_rgb(image), self.tolerance) for image, _ in zip(images, prompts, strict=True)]

        yield score


def surplus(objects: Objects, meta: Mapping[str, Any]) -> int:
    """How many objects there are beyond those asked for."""
    asked: Counter[str] = Counter()
    for item in meta["include"]:
        asked[item["class"]] += item["count"]
    return (Counter({name: len(found) for name, found in objects.items()}) - asked).total()


@lru_cache(maxsize=4096)  # a sweep asks for the same prompts again and again
def _described(scorer: str, text: str) -> Mapping[str, Any]:
    """A GenEval record for a prompt whose set has none, by the world's grammar."""
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"scorers: {scorer} cannot judge it: {error}; or leave it out: scorers=[]") from error


def _each(scorer: ImageScorer, one: Callable[[np.ndarray, Mapping[str, Any]], float]) -> Score:
    def asked(prompt: Prompt) -> Mapping[str, Any]:
        known = any(field in prompt.meta for field in scorer.reads)
        return prompt.meta if known else scorer.describe(prompt.text)

    def score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[float]:
        return [one(_rgb(image), asked(prompt)) for image, prompt in zip(images, prompts, strict=True)]

    return score


def _rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))
