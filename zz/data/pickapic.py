"""Pick-a-Pic (Kirstain et al., 2023): prompts of the users of a web application, split test_unique of version 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from zz.data.base import Prompt
from zz.data.benchmark import Benchmark
from zz.data.reading import bare, rows
from zz.diffusion.validate import Positive

NOTE = "备注"  # "note": the column in which the table of Z-Sampling's authors marks some prompts
MARKS = ("色情", "黄赌毒", "暴力")  # pornographic, vice, violent


@dataclass(frozen=True)
class PickAPic(Benchmark):
    """499 prompts, of which the paper uses the first 100.

    first: how many; None: all

    - The file has 500 rows; row 87 is blank and left out, and an entry's seed is its place after that. So the
      first 100 are rows 0..100, and from row 88 on the seed is the row less one (`row` in meta).
    - The table of Z-Sampling's authors notes a few prompts that are not safe for work (`nsfw` in meta). It marks few:
      others without a mark are no safer. The hub's own file has no marks, and its entries no `nsfw`.
    - Version 1 of the data set; the paper does not say which it took.
    """

    count: ClassVar[int] = 499
    column: str = "caption"
    first: Positive | None = None

    def read(self, path: str) -> Sequence[Prompt]:
        column, found = rows(path, self.column)
        kept = [(row, cells) for row, (_, cells) in enumerate(found) if bare(cells.get(column) or "")]
        return [Prompt(bare(cells[column]), {"row": row, **_marks(cells)}) for row, cells in kept]

    def load(self) -> Sequence[Prompt]:
        return super().load()[: self.first]


def _marks(row: Mapping[str, Any]) -> dict[str, bool]:
    return {"nsfw": any(mark in row[NOTE] for mark in MARKS)} if NOTE in row else {}
