"""GenAI-Bench (Li et al., 2024): 1,600 prompts, which VQAScore was tried on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from zz.data.base import Prompt
from zz.data.benchmark import Benchmark


@dataclass(frozen=True)
class GenAIBench(Benchmark):
    """1,600 prompts; their number in the set is meta (`id`, 00001 the first).

    - The file is an object of records by number, of which the prompt is read; it also holds people's scores of six
      models' pictures. Skills are in another file of the same set, genai_skills.json, and are not read.
    - A smaller set of the same name has the first 527.
    """

    count: ClassVar[int] = 1600
    keeps: ClassVar[Mapping[str, str]] = {"id": "id"}

    def read(self, path: str) -> Sequence[Prompt]:
        try:
            found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"dataset.path={path} cannot be read as JSON ({error}); copy it again") from error
        if not isinstance(found, dict) or not all(isinstance(record, dict) for record in found.values()):
            raise ValueError(f"dataset.path={path} is no object of records by number; read it with dataset=table")
        return [self.prompt(f"dataset.path={path}: {key}", record, self.column) for key, record in found.items()]
