"""The store's cells as experiments: methods at one guidance and number of steps, with their controls beside them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zz.lab.store import Row, Store

USUAL = {"version": 1, "k": 1, "rounds": 1, "inversion": "exact", "network_time": "t", "v_at": "t"}
NAMES = {
    "Standard": "standard",
    "Zigzag": "zigzag",
    "GuidanceMatched": "guidance-matched",
    "EndToEnd": "end to end",
    "Resampling": "resampling",
    "ImplicitZigzag": "implicit zigzag",
    "FixedPoint": "fixed point",
    "CFGpp": "CFG++",
    "Interval": "interval",
    "EulerAncestral": "Euler ancestral",
    "EulerAncestralStored": "Euler ancestral (stored)",
    "DPMpp2M": "DPM-Solver++(2M)",
}


def guided_plainly(ledger: Mapping[str, Any]) -> bool:
    """Whether a cell has one network, and classifier-free guidance as it is."""
    guidance = ledger["guidance"]
    return guidance["is"] == "CFG" and not guidance["rescale"] and ledger["model"]["is"] != "Networks"


def usual(ledger: Mapping[str, Any]) -> bool:
    """Whether it has DDIM besides: what samplers are compared under."""
    return guided_plainly(ledger) and ledger["solver"]["is"] == "DDIM"


def gamma1(sampler: Mapping[str, Any]) -> float:
    """A sampler's own, or that of the one inside it."""
    return float(sampler["gamma1"]) if "gamma1" in sampler else gamma1(sampler["inner"])


@dataclass(frozen=True)
class Arm:
    """One cell of a setting.

    sampler:   its ledger of the sampler
    stretched: whether it is a compute control: standard sampling with more steps over the same range
    """

    name: str
    row: Row
    sampler: dict[str, Any]
    stretched: bool

    @property
    def kind(self) -> str:
        return "compute" if self.stretched else str(self.sampler["is"])

    @property
    def predictions(self) -> int:
        return self.row.predictions

    @property
    def rows(self) -> int:
        return self.row.rows


@dataclass
class Setting:
    """Cells that differ in nothing but the sampler, and in the steps that a compute control adds."""

    dataset: str  # digest
    steps: int
    gamma1: float
    precision: str
    seed: int
    arms: list[Arm] = field(default_factory=list)

    def rivals(self, arm: Arm) -> Iterator[Arm]:
        """What an arm is compared with: standard; a zigzag's guidance-matched control; standard for the same work."""
        if arm.kind == "Standard":
            return
        yield from (other for other in self.arms if other.kind == "Standard")
        if arm.kind in ("compute", "GuidanceMatched"):
            return
        own = ("gamma1", "gamma2", "lambda_", "k", "rounds")
        for other in self.arms:
            if other.kind == "GuidanceMatched" and arm.kind == "Zigzag":
                if all(other.sampler[name] == arm.sampler[name] for name in own):
                    yield other
            elif other.kind == "compute" and (
                other.predictions == arm.predictions or 0 <= other.rows - arm.rows < other.rows // other.predictions
            ):
                yield other


def settings(store: Store) -> list[Setting]:
    """Those that hold standard sampling and something else under the usual guidance, by dataset, steps and gamma1."""
    found: dict[str, Setting] = {}
    for row in store.table():
        ledger: dict[str, Any] = dict(row.cell.ledger)
        if not usual(ledger):
            continue
        sampler, schedule, steps = ledger.pop("sampler"), ledger.pop("schedule"), ledger.pop("steps")
        stretched = schedule["is"] == "Uniform"
        own = schedule["steps"] if stretched else steps
        base = schedule["base"] if stretched else schedule
        if stretched and sampler["is"] != "Standard":
            continue
        name = repr((sorted(ledger.items(), key=lambda item: item[0]), base, own, gamma1(sampler)))
        setting = found.setdefault(
            name,
            Setting(str(ledger["dataset"]), own, gamma1(sampler), str(ledger["precision"]), int(ledger["seed"])),
        )
        named = f"standard, {steps} steps" if stretched else _name(sampler, own)
        setting.arms.append(Arm(named, row, sampler, stretched))
    order = ["Standard", "compute", "GuidanceMatched", "Zigzag"]
    for setting in found.values():
        setting.arms.sort(key=lambda arm: (order.index(arm.kind) if arm.kind in order else len(order), arm.name))
    whole = [s for s in found.values() if len(s.arms) > 1 and s.arms[0].kind == "Standard"]
    return sorted(whole, key=lambda s: (s.dataset, s.precision, s.seed, s.steps, s.gamma1))


def _name(sampler: dict[str, Any], steps: int) -> str:
    shown = {
        name: value for name, value in sampler.items() if name not in ("is", "gamma1") and USUAL.get(name) != value
    }
    if shown.get("lambda_") == steps - 1:
        del shown["lambda_"]
    words = [f"{name.rstrip('_')}={value}" for name, value in shown.items()]
    return " ".join([NAMES.get(sampler["is"], sampler["is"]), *words])
