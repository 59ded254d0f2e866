"""GenEval (Ghosh et al., 2023): 553 prompts in six tasks, each with the objects that a picture of it must show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zz.data.base import Prompt
from zz.data.benchmark import Benchmark

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")


@dataclass(frozen=True)
class GenEval(Benchmark):
    """553 prompts with their records in meta: `tag`, `include`, and for counting `exclude`.

    - The authors of GenEval make four pictures a prompt (`dataset.repeats=4`), each prompt's from seed 42; the
      paper of Z-Sampling makes one.
    - Only the 80 records of `counting` have `exclude`.
    """

    count: ClassVar[int] = 553
    keeps: ClassVar[Mapping[str, str]] = {"tag": "tag", "include": "include"}

    def prompt(self, at: str, row: Mapping[str, Any], column: str) -> Prompt:
        found = super().prompt(at, row, column)
        if row["tag"] not in TAGS:
            raise ValueError(f"{at} has tag {row['tag']!r}, and GenEval's are {', '.join(TAGS)}; copy the file again")
        for key in ("include", "exclude"):
            if not _objects(row.get(key, [])):
                raise ValueError(f"{at} has no objects with class and count as {key}; copy the file again")
        return found

    def meta(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return super().meta(row) | ({"exclude": row["exclude"]} if "exclude" in row else {})


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and {"class", "count"} <= set(one) for one in value)
