"""A table of the paper as data: rows, prompt sets, columns, and the orders that it claims."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Line:
    """A row of a table: what it is called there, and the words that make it."""

    label: str
    words: str


@dataclass(frozen=True)
class Column:
    """A column.

    head:     as it is printed, without the prompt set
    scorer:   the paper's metric, such as hps_v21; of `measured` a measurement and its value: reflections.tau2
    times:    the paper prints the score times this
    quantity: mean; overall: mean over the tags of their means; wins: winning rate, in percent, over the row that
              the table names; measured: mean over pictures of a measurement's sum over steps
    tag:      only prompts with this tag
    """

    head: str
    scorer: str
    times: float = 1
    quantity: Literal["mean", "overall", "wins", "measured"] = "mean"
    tag: str | None = None


@dataclass(frozen=True)
class Claim:
    """A row does better than another one, by the paper.

    columns: by head; empty: in all
    """

    better: str
    worse: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spec:
    """A table.

    title:   "Table 1"
    claim:   what it is for, in a sentence
    rows:    in order
    columns: of every prompt set
    sets:    what a prompt set is called there -> its option; one that is called "" is not named in the heads
    claims:  orders of rows
    against: for `wins`, what each row is compared with: a row's label -> another's
    small:   values in labels that are others in miniature: {"gamma2 = 8": "gamma2 = 6"}
    unknown: what the paper does not say of the setting
    """

    title: str
    claim: str
    rows: tuple[Line, ...]
    columns: tuple[Column, ...]
    sets: Mapping[str, str] = field(default_factory=lambda: {"": "pickapic"})
    claims: tuple[Claim, ...] = ()
    against: Mapping[str, str] = field(default_factory=dict)
    small: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As its file of printed numbers is called: table_01."""
        kind, _, number = self.title.lower().partition(" ")
        return f"{kind}_{int(number):02}" if number.isdigit() else f"{kind}_{number}"

    def label(self, row: str, prompts: str) -> str:
        """What a row over a prompt set is labelled in a manifest."""
        return f"{row} | {prompts}" if prompts else row

    def cells(self) -> tuple[str, ...]:
        """The override lines of all rows over all prompt sets."""
        return tuple(
            f"label='{self.label(line.label, prompts)}' dataset={option} {line.words}"
            for line in self.rows
            for prompts, option in self.sets.items()
        )

    def head(self, column: Column, prompts: str) -> str:
        """A column's head as it is printed."""
        return f"{prompts} | {column.head}" if prompts else column.head
