"""GenEval 2 (Kamath et al., 2025): 800 prompts, each with questions about its picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from zz.data.benchmark import Benchmark


@dataclass(frozen=True)
class GenEval2(Benchmark):
    """800 prompts with their records in meta: `atom_count`, `vqa_list` and `skills`.

    - `vqa_list` has question and answer of each atom, `skills` the skill of each. "a" is no atom, but is asked about:
      so `vqa_list` may be longer than `atom_count`.
    - Licensed CC BY-NC 4.0: not for commercial use.
    """

    count: ClassVar[int] = 800
    keeps: ClassVar[Mapping[str, str]] = {key: key for key in ("atom_count", "vqa_list", "skills")}
