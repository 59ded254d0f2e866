"""Cross-attention by word, step and leg."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zz.diffusion.leg import Leg
from zz.diffusion.probes.step import Step
from zz.lab.measurements.base import Measurement, Values, Watch
from zz.models.attention.maps import AttentionMaps
from zz.models.base import Pipeline


@dataclass(frozen=True)
class WordAttention(Measurement):
    """Where a picture looks at its words: the share of each place's attention that a word has.

    words: from the prompts, the same for all; those that a prompt does not hold are left out for it
    legs:  of these, zig and zag

    <word>.<leg>: (steps, h, w), float32, with `<word>.<leg>.step` the step indices
    """

    name: ClassVar[str] = "attention"
    version: ClassVar[int] = 1

    words: tuple[str, ...] = ()
    legs: tuple[str, ...] = ("zig", "zag")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("words", "legs"):
            object.__setattr__(self, name, tuple(str(value) for value in getattr(self, name)))
        for leg in self.legs:
            if leg not in tuple(Leg):
                raise ValueError(f"measurements.attention.legs: {leg!r} is not known; known are {', '.join(Leg)}")

    def watch(self, pipeline: Pipeline, size: tuple[int, int]) -> Watch:
        return _Watch(self, pipeline)

    def check(self, legs: frozenset[str], can_watch: bool) -> None:
        if not self.words:
            raise ValueError("measurements.attention.words is empty: name words of the prompts, such as [star]")
        if not can_watch:
            raise ValueError("measurements: this model has no attention to watch; leave attention out")


class _Watch(Watch):
    def __init__(self, asked: WordAttention, pipeline: Pipeline) -> None:
        self._asked = asked
        self._maps = AttentionMaps(pipeline, lambda prompt: _held(asked.words, prompt), legs=asked.legs)

    @property
    def pipeline(self) -> Pipeline:
        return self._maps

    def probe(self, step: Step) -> None:
        self._maps.probe(step)

    def values(self) -> list[Values]:
        return [self._of(b, prompt) for b, prompt in enumerate(self._maps.prompts)]

    def _of(self, b: int, prompt: str) -> Values:
        found: Values = {}
        for word in _held(self._asked.words, prompt):
            for leg in self._asked.legs:
                steps, maps = self._maps.by_step(word, b, leg)
                if steps:
                    found |= {f"{word}.{leg}": np.stack(maps), f"{word}.{leg}.step": np.array(steps)}
        return found


def _held(words: tuple[str, ...], prompt: str) -> tuple[str, ...]:
    said = prompt.lower().split()
    return tuple(word for word in words if all(part in said for part in word.lower().split()))
