"""The numbers that the paper prints, by table, row and column."""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "printed"


class Printed(NamedTuple):
    """One number."""

    text: str  # as it is printed
    erratum: str

    @property
    def value(self) -> float:
        """As a number."""
        return float(self.text)

    @property
    def rounding(self) -> float:
        """Half a unit of its last digit."""
        _, point, decimals = self.text.partition(".")
        return 0.5 * 10 ** -len(decimals) if point else 0.5


@cache
def printed(table: str) -> Mapping[tuple[str, str], Printed]:
    """(row, column) -> what stands there; nothing for a figure, whose numbers are drawn."""
    path = FOLDER / f"{table}.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {(one["row"], one["column"]): Printed(one["value"], one["erratum"]) for one in csv.DictReader(file)}


__all__ = ["Printed", "printed"]
