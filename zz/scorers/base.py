"""Interfaces of metrics: one number a picture (`ImageScorer`), one vector a picture (`Features`), and one number for a
set of pictures, computed from stored features (`SetMetric`)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zz.data.base import Prompt
from zz.diffusion.validate import validate
from zz.hub.published import Published
from zz.scorers.interval import Interval

Score = Callable[[Sequence[Any], Sequence[Prompt]], list[float]]  # PIL pictures; lists of them where `reads_clips`
Cut = Callable[[Sequence[str]], dict[str, int]]  # of texts those not read to the end, and how many tokens are read
Extract = Callable[[Sequence[Any]], np.ndarray]  # PIL pictures -> features, float64  # (B, D)


@dataclass(frozen=True)
class Limited:
    """A `Score` by a text encoder that reads no more than so many tokens of a prompt.

    cut: which prompts that affects
    """

    score: Score
    cut: Cut

    def __call__(self, images: Sequence[Any], prompts: Sequence[Prompt]) -> list[float]:
        return self.score(images, prompts)


class Incomplete(Exception):
    """Raised by a `Score` that got only so far, with why. `values` are those of all pictures, nan where there is none:
    the others are kept."""

    def __init__(self, values: Sequence[float], why: str) -> None:
        super().__init__(why)
        self.values = list(values)


@dataclass(frozen=True)
class Needs:
    """What a metric needs on the machine.

    weights: folders or hub ids of models
    files:   single files that are downloaded
    extras:  packages that are no dependency of zz
    environment: the command that makes the isolated environment it runs in, where that is not there; "" if nothing
    """

    weights: tuple[str, ...] = ()
    files: tuple[Published, ...] = ()
    extras: tuple[str, ...] = ()
    environment: str = ""


class Metric(ABC):
    """A description of a metric: frozen, free to make and to pickle. Its fields and version are its identity."""

    name: str
    version: ClassVar[int]  # raised when a fix moves numbers
    higher_is_better: ClassVar[bool | None]  # None: neither; it has no winning rate

    def __post_init__(self) -> None:
        validate(self, f"scorers.{self.name}")

    @property
    @abstractmethod
    def unit(self) -> str:
        """What its numbers count, with their scale."""

    @property
    def needs(self) -> Needs:
        """What it needs on the machine."""
        return Needs()

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What moves its numbers, as plain values."""


class ImageScorer(Metric):
    """A metric of one picture: what it needs is loaded for as long as `open` lasts."""

    reads: ClassVar[tuple[str, ...]] = ()  # the fields of a prompt's meta that it reads; their values name its scores
    reads_clips: ClassVar[bool] = False  # given lists of frames; others see each frame, and a clip has their mean

    @abstractmethod
    def open(self, device: str = "cpu") -> AbstractContextManager[Score]:
        """Load what it needs for as long as the `with` lasts. Gives a `Limited` where prompts may be cut."""

    def describe(self, text: str) -> Mapping[str, Any]:
        """The fields that it reads, by its world's grammar, of a prompt without them. Raises ValueError outside."""
        raise ValueError(f"prompt {text!r} has no {', '.join(self.reads)}; choose a prompt set that has")


class Features(ABC):
    """A description of features: frozen, free to make and to pickle."""

    name: str
    version: ClassVar[int]

    def __post_init__(self) -> None:
        validate(self, f"features.{self.name}")

    @property
    def needs(self) -> Needs:
        """What they need on the machine."""
        return Needs()

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What moves its numbers, as plain values."""

    @abstractmethod
    def open(self, device: str = "cpu") -> AbstractContextManager[Extract]:
        """Load what it needs for as long as the `with` lasts."""


class SetMetric(Metric):
    """A metric of many pictures, computed from their stored features, or summed up from the scores of each."""

    fewest: ClassVar[int] = 1  # pictures that it can be computed from
    has_reference: ClassVar[bool] = False  # whether pictures are compared with others, which `reference` gives
    of_covariance: ClassVar[bool] = False  # whether it is said where pictures are few for the features' dimensions

    @property
    @abstractmethod
    def features(self) -> Features | ImageScorer:
        """What it is computed from; an image scorer's scores are features of one dimension."""

    @property
    def needs(self) -> Needs:
        return self.features.needs

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        """What pictures are compared with; made once and kept. Empty where they are compared with nothing."""
        return {}

    def enough(self, n: int, least: int) -> None:
        """Raises ValueError where a set has too few pictures for a number that means anything."""
        if n < least:
            raise ValueError(
                f"{n} pictures are too few for {self.name}, which changes with their number: make {least} or more; "
                f"scorers.{self.name}.least={n} allows it where that has a meaning"
            )

    @abstractmethod
    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        """The number, of features one row a picture and their prompts.  # (N, D), N"""
