"""What a scorer is to the rest of the house."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

Score = Callable[[Sequence[Any], Sequence[str]], list[float]]  # PIL pictures; lists of them where `reads_clips`


class Scorer(ABC):
    """A description of a metric: frozen, free to make and to pickle. Its fields and version are its identity."""

    name: str
    version: ClassVar[int]  # raised when a fix moves numbers
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool]
    reads_clips: ClassVar[bool] = False  # given lists of frames; others see each frame, and a clip has their mean

    @abstractmethod
    def open(self, device: str = "cpu") -> AbstractContextManager[Score]:
        """Load what it needs for as long as the `with` lasts."""

    def check(self, prompts: Sequence[str]) -> None:  # noqa: B027  most can judge any prompt
        """Raise ValueError on a prompt that it cannot judge, before any picture is made."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What moves its numbers, as plain values."""
