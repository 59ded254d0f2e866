"""A text file of prompts, or a folder of them."""

from dataclasses import dataclass, field
from pathlib import Path

from zz.data.base import Prompt, PromptSet
from zz.data.reading import TABLES, bare, folder, is_folder, lines
from zz.diffusion.validate import typed


@dataclass(frozen=True)
class TextFile(PromptSet):
    """One prompt a line, blank lines left out: `dataset=text dataset.path=prompts.txt`.

    path: a file, or a folder with a prompt in each .txt file (lines are joined), in the order of their names, 2 before
          10; a file's name without .txt is meta (`file`)
    """

    path: str = ""
    name: str = field(default="text", kw_only=True)

    def load(self) -> list[Prompt]:
        if not self.path:
            raise ValueError("dataset=text needs a file: dataset.path=prompts.txt, one prompt a line")
        if is_folder(self.path):
            return [_of(str(file), file.stem) for file in folder(self.path, [".txt"])]
        if Path(self.path).suffix.lower() in TABLES:
            remedy = f"dataset=table {typed('dataset.path', self.path)}"
            raise ValueError(f"dataset.path={self.path} is a table, not a prompt a line; read it with {remedy}")
        return [Prompt(text) for line in lines(self.path) if (text := bare(line))]


def _of(path: str, name: str) -> Prompt:
    """The one prompt of a file."""
    if not (text := " ".join(filter(None, map(bare, lines(path))))):
        raise ValueError(f"dataset.path={path} has no prompt; write one, or take the file out of its folder")
    return Prompt(text, {"file": name})
