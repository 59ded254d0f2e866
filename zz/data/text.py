"""A text file of prompts."""

from dataclasses import dataclass, field
from pathlib import Path

from zz.data.base import Prompt, PromptSet


@dataclass(frozen=True)
class TextFile(PromptSet):
    """One prompt a line, blank lines left out: `dataset=text dataset.path=prompts.txt`."""

    path: str = ""
    name: str = field(default="text", kw_only=True)

    def load(self) -> list[Prompt]:
        if not self.path:
            raise ValueError("dataset=text needs a file: dataset.path=prompts.txt, one prompt a line")
        try:
            lines = Path(self.path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"dataset.path={self.path} cannot be read as UTF-8 text: {error}") from error
        return [Prompt(line.strip()) for line in lines if line.strip()]
