"""The store's cells as ways of making the same pictures, whatever the sampler, the guidance and the solver."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any

import zz
from analysis.settings import NAMES, gamma1, guided_plainly, usual
from zz.lab.cell import plain
from zz.lab.store import Row, Store

WHOLE = (4.0, 2.0)  # gamma1 at which standard sampling is made with more steps: its best, and zigzag's
SOLVERS = ("DDIM", "EulerAncestral")  # with which standard sampling is made with more steps
_NUMBERS = ("is", "version", "gamma1", "gamma2", "gamma_strong")  # of a sampler: not in its name


@dataclass(frozen=True)
class Way:
    """One cell: sampler, guidance, solver and networks at T steps."""

    row: Row

    @property
    def ledger(self) -> Mapping[str, Any]:
        return self.row.cell.ledger

    @property
    def steps(self) -> int:
        return int(self.ledger["steps"])

    @property
    def sampler(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.ledger["sampler"]
        return found

    @property
    def kind(self) -> str:
        return str(self.sampler["is"])

    @property
    def gamma1(self) -> float:
        return gamma1(self.sampler)

    @property
    def gamma2(self) -> float | None:
        found = self.sampler.get("gamma2", self.sampler.get("inner", {}).get("gamma2"))
        return None if found is None else float(found)

    @property
    def usual(self) -> bool:
        """Under plain classifier-free guidance and DDIM, with one network."""
        return usual(self.ledger)

    @property
    def guided_plainly(self) -> bool:
        """The same with any solver."""
        return guided_plainly(self.ledger)

    @property
    def solver(self) -> str:
        """By name; the one that stores its noise makes the same steps down."""
        return str(self.ledger["solver"]["is"]).removesuffix("Stored")

    @property
    def standard(self) -> bool:
        """Standard sampling as usual."""
        return self.usual and self.kind == "Standard"

    @cached_property
    def name(self) -> str:
        """Sampler, guidance, solver and networks in words, but for gamma1 and gamma2 and whatever is its default."""
        return "".join([_sampler(self.sampler, self.steps), *self._around()])

    @property
    def as_made(self) -> bool:
        """Whether the sampler's fields are its defaults but for gamma1, and no guidance but for what it is named by."""
        plainly = "lambda" not in self.name and "rounds" not in self.name and " k=" not in self.name
        return plainly and "inversion" not in self.name and self.gamma2 in (None, 0.0)

    def _around(self) -> Iterator[str]:
        if (guidance := _words(self.ledger["guidance"])) != "CFG":
            yield f" + {guidance}"
        if (solver := _words(self.ledger["solver"])) != "DDIM":
            yield f", {solver}"
        for side in ("strong", "weak"):
            for name, value in self.ledger["model"].get(side, {}).items():
                yield f", {side} {name} '{value}'"

    def without(self, ways: Sequence["Way"]) -> "Way | None":
        """The same without its zigzag, where that is not standard sampling as usual: what the zigzag is put on."""
        inner = self.sampler.get("inner")
        if not ((self.kind == "Zigzag" and not self.usual) or (inner and inner["is"] == "Zigzag")):
            return None
        for other in ways:
            like = other.sampler.get("inner", {}) if inner else other.sampler
            if (
                like.get("is") == "Standard"
                and other.ledger["guidance"] == self.ledger["guidance"]
                and other.solver == self.solver
                and other.ledger["model"]["is"] == self.ledger["model"].get("own", self.ledger["model"]["is"])
                and (other.kind, other.steps, other.gamma1) == (self.kind if inner else "Standard", *self._where)
            ):
                return other
        return None

    @property
    def _where(self) -> tuple[int, float]:
        return self.steps, self.gamma1

    def same_standard(self, ways: Sequence["Way"]) -> "Way | None":
        """Standard sampling as usual at the same gamma1 and T; CFG++ counts its gamma in another way and has none."""
        if "CFG++" in self.name:
            return None
        return next((w for w in ways if w.standard and w is not self and w._where == self._where), None)

    def as_costly(self, ways: Sequence["Way"]) -> list["Way"]:
        """With each of SOLVERS, the cheapest standard sampling at either of WHOLE with at least as many network rows.

        None for standard sampling with one of them itself.
        """
        found = []
        for solver in SOLVERS:
            enough = [w for w in ways if w.by_steps and w.solver == solver and w.row.rows >= self.row.rows]
            least = min((w.row.rows for w in enough), default=0)
            found += [w for w in enough if w.row.rows == least]
        return [] if self.by_steps else found

    @property
    def by_steps(self) -> bool:
        """Of the standard sampling that is made with more steps."""
        return self.kind == "Standard" and self.guided_plainly and self.solver in SOLVERS and self.gamma1 in WHOLE


def ways(store: Store, dataset: str) -> list[Way]:
    """Cells of one prompt set on the model's own nodes that differ in nothing else; of several such, the most."""
    found: dict[str, list[Way]] = {}
    for row in store.table():
        ledger = row.cell.ledger
        if ledger["dataset"] == dataset and ledger["schedule"]["is"] == "Own":
            rest = {name: ledger[name] for name in ("size", "seed", "negative_prompt", "precision")}
            weights = {k: v for k, v in ledger["model"].items() if k not in ("is", "own", "strong", "weak")}
            found.setdefault(repr((rest, weights)), []).append(Way(row))
    most = max(found.values(), key=lambda some: len(some), default=[])
    return sorted(most, key=lambda way: (way.steps, way.name, way.gamma1))


def _sampler(part: Mapping[str, Any], steps: int) -> str:
    lambda_ = steps - part.get("k", 1)
    hidden = (*_NUMBERS, *(["lambda_"] if part.get("lambda_") == lambda_ else []))
    return _words(part, hidden, steps)


def _words(part: Mapping[str, Any], hidden: Sequence[str] = ("is", "version"), steps: int = 0) -> str:
    """A part of the ledger: its name, and the fields that are not as its class has them."""
    kind = str(part["is"])
    usual = {f.name: plain(f.default) for f in fields(getattr(zz, kind)) if f.default is not MISSING}
    words = [NAMES.get(kind, kind)]
    for name, value in part.items():
        if name in hidden or (name in usual and usual[name] == value):
            continue
        if isinstance(value, Mapping):
            inner = _sampler(value, steps) if "gamma1" in value else _words(value)
            words += [f"({inner})"] if inner not in ("CFG",) else []
        else:
            words.append(f"{name.rstrip('_')}={value}")
    return " ".join(words)
