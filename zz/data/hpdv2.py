"""HPDv2's benchmark (Wu et al., 2023): 800 prompts in each of four styles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from zz.data.base import Prompt, PromptSet
from zz.data.benchmark import Benchmark
from zz.hub.published import Published


@dataclass(frozen=True)
class HPDv2(PromptSet):
    """3,200 prompts, 800 in each style; the style is meta: anime, concept-art, paintings, photo, in that order.

    anime, concept_art, paintings, photo: where each style is published
    path: a folder with a copy of the four files; None: downloaded

    - A prompt may come more than once; its seeds differ.
    """

    anime: Published
    concept_art: Published
    paintings: Published
    photo: Published
    path: str | None = None
    name: str = field(default="hpdv2", kw_only=True)

    @property
    def _styles(self) -> list["_Style"]:
        files = (self.anime, self.concept_art, self.paintings, self.photo)
        copies = [str(Path(self.path, file.name)) if self.path else None for file in files]
        return [_Style(file=file, path=copy, name=self.name) for file, copy in zip(files, copies, strict=True)]

    @property
    def files(self) -> tuple[Published, ...]:
        return tuple(file for style in self._styles for file in style.files)

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(remark for style in self._styles for remark in style.remarks)

    def load(self) -> Sequence[Prompt]:
        return [prompt for style in self._styles for prompt in style.load()]


@dataclass(frozen=True)
class _Style(Benchmark):
    """A JSON list of texts."""

    count: ClassVar[int] = 800

    def meta(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"style": self.file.name.removesuffix(".json")}
