"""What a measurement is: a probe asked for by name, whose values are kept for each picture."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zz.diffusion.probes.step import Step
from zz.diffusion.validate import Positive, validate
from zz.lab.cell import Cell, to_json
from zz.models.base import Pipeline

Values = dict[str, np.ndarray]  # of one picture, by name; the first axis is the step where there is one


class Watch(ABC):
    """One batch being measured."""

    @property
    @abstractmethod
    def pipeline(self) -> Pipeline:
        """What is sampled from: the pipeline as it is, or one that is watched. It must move no bit of a picture."""

    @abstractmethod
    def probe(self, step: Step) -> None:
        """Hear of one step."""

    @abstractmethod
    def values(self) -> list[Values]:
        """What was found, by picture of the batch."""


@dataclass(frozen=True)
class Measurement(ABC):
    """A description of a measurement: frozen, free to make and to pickle. Its fields and version are its identity.

    first: only so many entries, from the first, are measured; None: all
    """

    name: ClassVar[str]
    version: ClassVar[int]  # raised when a fix moves numbers

    first: Positive | None = None

    def __post_init__(self) -> None:
        validate(self, f"measurements.{self.name}")

    @abstractmethod
    def watch(self, pipeline: Pipeline, size: tuple[int, int]) -> Watch:
        """Begin to measure one batch of pictures of (height, width) pixels."""

    def check(self, legs: frozenset[str], can_watch: bool) -> None:  # noqa: B027  most measure any sampler
        """Raise ValueError on a sampler or a model of which there is nothing to measure."""

    @property
    def identity(self) -> str:
        """Its name, and 8 hex digits of its version and of the fields that move its values."""
        return f"{self.name}-{Cell(self.settings()).key[:8]}"

    def settings(self) -> Mapping[str, Any]:
        """What moves its values, as JSON would hold it: all of its fields but `first`."""
        fields: dict[str, Any] = to_json(self)
        return {name: value for name, value in fields.items() if name != "first"}
