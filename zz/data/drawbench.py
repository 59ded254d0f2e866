"""DrawBench (Saharia et al., 2022, Imagen): 200 prompts in 11 categories."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from zz.data.benchmark import Benchmark


@dataclass(frozen=True)
class DrawBench(Benchmark):
    """200 prompts; their category is meta. The paper uses all, prompt i with seed i.

    - The file writes one category "Gary Marcus et al. ", with a blank at its end; here it has none.
    - `shunk031/DrawBench` of the hub, which the authors name, is a script that today's `datasets` refuses to run.
    """

    count: ClassVar[int] = 200
    keeps: ClassVar[Mapping[str, str]] = {"Category": "category"}
    column: str = "Prompts"
