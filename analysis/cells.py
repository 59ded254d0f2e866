"""The rows of a manifest as methods: what each is called, and what it differs in."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any

import zz
from zz.lab.cell import to_json
from zz.lab.results import Results
from zz.lab.store.manifest import Row

NAMES = {
    "Standard": "standard",
    "Zigzag": "zigzag",
    "GuidanceMatched": "guidance-matched",
    "EndToEnd": "end to end",
    "Resampling": "resampling",
    "ImplicitZigzag": "implicit zigzag",
    "FixedPoint": "fixed point",
    "Repeated": "CFG++ x K",
    "RFSampling": "RF-Sampling",
    "CFGpp": "CFG++",
    "CFGZeroStar": "CFG-Zero*",
    "MAMBO": "MAMBO-G",
    "TextMix": "text mix",
    "GuidanceInterval": "interval",
    "EulerAncestral": "Euler ancestral",
    "EulerAncestralStored": "Euler ancestral (stored)",
    "DPMpp2M": "DPM-Solver++(2M)",
}
ZIGZAGS = ("Zigzag", "ImplicitZigzag", "FixedPoint")
_SCALES = ("is", "version", "gamma1", "gamma2", "gamma_strong", "plan")  # no part of a sampler's name


@dataclass(frozen=True)
class MethodCell:
    """One row of a manifest: sampler, guidance, solver and networks at T steps.

    row:    as it was asked for
    ledger: its cell's
    """

    row: Row
    ledger: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """T."""
        return int(self.ledger["steps"])

    @property
    def sampler(self) -> Mapping[str, Any]:
        """The sampler's part of the ledger."""
        found: Mapping[str, Any] = self.ledger["sampler"]
        return found

    @property
    def kind(self) -> str:
        """The sampler's class; `compute` for standard sampling over another one's range."""
        return "compute" if self.ledger["schedule"]["is"] == "UniformInTime" else str(self.sampler["is"])

    @property
    def gamma1(self) -> float:
        """The sampler's own, or that of the one inside it."""
        return float(self.sampler.get("gamma1", self.sampler.get("inner", {}).get("gamma1", 0)))

    @property
    def gamma2(self) -> float | None:
        """Likewise; None where it has none."""
        found = self.sampler.get("gamma2", self.sampler.get("inner", {}).get("gamma2"))
        return None if found is None else float(found)

    @property
    def solver(self) -> str:
        """By class; the one that stores its noise makes the same steps down."""
        return str(self.ledger["solver"]["is"]).removesuffix("Stored")

    @property
    def plain_cfg(self) -> bool:
        """Whether it has one network, and classifier-free guidance without rescale."""
        guidance = self.ledger["guidance"]
        return guidance["is"] == "CFG" and not guidance["rescale"] and self.ledger["model"]["is"] != "PerLeg"

    @property
    def usual(self) -> bool:
        """The same with DDIM: what samplers are compared under."""
        return self.plain_cfg and self.ledger["solver"]["is"] == "DDIM"

    @cached_property
    def name(self) -> str:
        """Sampler, guidance, solver and networks in words, but for gamma1, gamma2 and what is its default."""
        if self.kind == "compute":
            return f"standard, {self.steps} steps"
        return "".join([_sampler(self.sampler, self.steps), *self._rest()])

    @property
    def by_default(self) -> bool:
        """Whether the sampler's fields are its defaults but for gamma1, and no gap but the widest."""
        changed = any(word in self.name for word in ("lambda", "rounds", " k=", "inversion"))
        return not changed and self.gamma2 in (None, 0.0)

    def _rest(self) -> Iterator[str]:
        if (guidance := _words(self.ledger["guidance"])) != "CFG":
            yield f" + {guidance}"
        if (solver := _words(self.ledger["solver"])) != "DDIM":
            yield f", {solver}"
        for side in ("strong", "weak"):
            for name, value in self.ledger["model"].get(side, {}).items():
                yield f", {side} {name} '{value}'"


def cells(results: Results) -> list[MethodCell]:
    """Every row of a manifest, by T, name and gamma1."""
    found = [MethodCell(row, results.store.cell(row.cell)[0].ledger) for row in results.manifest.rows]
    return sorted(found, key=lambda cell: (cell.steps, cell.name, cell.gamma1))


def _sampler(part: Mapping[str, Any], steps: int) -> str:
    usual_lambda = steps - part.get("k", 1)
    hidden = (*_SCALES, *(["lambda_"] if part.get("lambda_") == usual_lambda else []))
    return _words(part, hidden, steps)


def _words(part: Mapping[str, Any], hidden: tuple[str, ...] = ("is", "version"), steps: int = 0) -> str:
    """A part of a ledger: its name, and the fields that are not as its class has them."""
    kind = str(part["is"])
    usual = {f.name: to_json(f.default) for f in fields(getattr(zz, kind)) if f.default is not MISSING}
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
