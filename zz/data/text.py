"""A text file of prompts."""

from dataclasses import dataclass, field
from pathlib import Path

from zz.data.base import Prompt, PromptSet
from zz.data.reading import TABLES, bare, lines
from zz.diffusion.validate import typed


@dataclass(frozen=True)
class TextFile(PromptSet):
    """One prompt a line, blank lines left out: `dataset=text dataset.path=prompts.txt`."""

    path: str = ""
    name: str = field(default="text", kw_only=True)

    def load(self) -> list[Prompt]:
        if not self.path:
            raise ValueError("dataset=text needs a file: dataset.path=prompts.txt, one prompt a line")
        if Path(self.path).suffix.lower() in TABLES:
            remedy = f"dataset=table {typed('dataset.path', self.path)}"
            raise ValueError(f"dataset.path={self.path} is a table, not a prompt a line; read it with {remedy}")
        return [Prompt(text) for line in lines(self.path) if (text := bare(line))]
