"""A prompt set: an ordered list of prompts with an identity."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """One prompt, and whatever its benchmark says about it."""

    text: str
    meta: dict[str, Any] = field(default_factory=dict)


class PromptSet(ABC):
    """Prompts in a fixed order. Prompt i is sampled with seed + i."""

    name: str

    @abstractmethod
    def load(self) -> Sequence[Prompt]:
        """The prompts. Raises ValueError or FileNotFoundError with the remedy."""

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        prompts = tuple(self.load())
        if not prompts:
            raise ValueError(f"dataset={self.name} holds no prompts")
        return prompts

    @cached_property
    def digest(self) -> str:
        """What the prompts are, whatever the set is called and wherever it came from."""
        text = json.dumps([[p.text, p.meta] for p in self.prompts], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Inline(PromptSet):
    """Prompts written on the command line or in Python: `dataset=inline dataset.texts='[a red circle]'`."""

    texts: tuple[str, ...] = ()
    name: str = "inline"

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(str(t) for t in self.texts))

    def load(self) -> list[Prompt]:
        if not self.texts:
            raise ValueError("dataset=inline needs prompts: dataset.texts='[a red circle,a blue star]'")
        return [Prompt(t) for t in self.texts]


@dataclass(frozen=True)
class TextFile(PromptSet):
    """One prompt a line, blank lines left out: `dataset=text dataset.path=prompts.txt`."""

    path: str = ""
    name: str = "text"

    def load(self) -> list[Prompt]:
        if not self.path:
            raise ValueError("dataset=text needs a file: dataset.path=prompts.txt, one prompt a line")
        try:
            lines = Path(self.path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"dataset.path={self.path} cannot be read as UTF-8 text: {error}") from error
        return [Prompt(line.strip()) for line in lines if line.strip()]
