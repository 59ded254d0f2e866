"""The guidance gap: each zigzag against standard sampling by gamma2, paired, with its controls beside it.

    python -m analysis.gap --store store --out docs/gap.png

Reads the store only. Every point is a mean paired difference to standard sampling at the same gamma1 and steps,
with its 95 % interval over prompts.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib

from zz.lab.stats import Interval, mean
from zz.lab.store import Row, Store

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

LINES = {  # label, colour, marker
    "zigzag": ("zigzag", "#c0392b", "o"),
    "guidance": ("guidance-matched control", "#2471a3", "s"),
}


class Group:
    """Cells that differ in nothing but the sampler, and in the steps that a compute control adds."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.standard: Row | None = None
        self.zigzag: dict[float, Row] = {}
        self.guidance: dict[float, Row] = {}
        self.compute: dict[int, Row] = {}  # by steps


def groups(store: Store) -> dict[str, Group]:
    """Sort the store's zigzag, guidance_matched and standard cells by everything else in their ledgers."""
    found: dict[str, Group] = {}
    for row in store.table():
        ledger: dict[str, Any] = dict(row.cell.ledger)
        sampler, schedule, steps = ledger.pop("sampler"), ledger.pop("schedule"), ledger.pop("steps")
        stretched = schedule["is"] == "Uniform"
        if stretched:  # the compute-matched control of a cell of so many steps
            schedule, own = schedule["base"], schedule["steps"]
        name = repr(
            (sorted(ledger.items(), key=lambda kv: kv[0]), schedule, own if stretched else steps, sampler["gamma1"])
        )
        group = found.setdefault(name, Group(own if stretched else steps))
        if sampler["is"] == "Standard":
            if stretched:
                group.compute[steps] = row
            else:
                group.standard = row
        elif sampler["is"] in ("Zigzag", "GuidanceMatched") and sampler["k"] == sampler["rounds"] == 1:
            place = group.zigzag if sampler["is"] == "Zigzag" else group.guidance
            if sampler["lambda_"] == steps - 1 and sampler.get("inversion", "exact") == "exact":
                place[float(sampler["gamma2"])] = row
    return {name: g for name, g in found.items() if g.standard and len(g.zigzag) > 1}


class Differences:
    """Mean paired differences to a group's standard sampling in one score."""

    def __init__(self, group: Group, score: str, store: Store) -> None:
        self.score, self.store = score, store
        assert group.standard is not None
        self.base = self._scores(group.standard)

    def of(self, row: Row) -> Interval:
        mine = self._scores(row)
        return mean([mine[i] - self.base[i] for i in sorted(mine.keys() & self.base.keys())])

    def _scores(self, row: Row) -> dict[int, float]:
        (name,) = [n for n in row.scores if n.rpartition("-")[0] == self.score]
        return self.store.scores(row.cell, name)


def draw(ax: Axes, group: Group, difference: Differences) -> None:
    """Zigzag and its guidance-matched control over gamma2; equal compute as levels."""
    ax.axhline(0, color="black", lw=0.8)
    for steps, row in sorted(group.compute.items()):
        value, low, high = difference.of(row)
        ax.axhspan(low, high, color="#7d8b8c", alpha=0.2, lw=0)
        ax.axhline(value, color="#7d8b8c", lw=1, ls="--", label=f"standard at T = {steps} (equal compute)")
        print(f"T={group.steps} {difference.score} standard at T={steps}: {value:+.4g} [{low:+.4g}, {high:+.4g}]")
    for shift, (name, rows) in ((-0.02, ("zigzag", group.zigzag)), (0.02, ("guidance", group.guidance))):
        label, colour, marker = LINES[name]
        found = {gamma2: difference.of(row) for gamma2, row in sorted(rows.items())}
        y = [d.value for d in found.values()]
        errors = [[d.value - d.low for d in found.values()], [d.high - d.value for d in found.values()]]
        x = [gamma2 + shift for gamma2 in found]
        ax.errorbar(x, y, errors, label=label, color=colour, marker=marker, ms=4, lw=1.2, capsize=2)
        for gamma2, d in found.items():
            what = f"T={group.steps} {difference.score} {name} gamma2={gamma2:g}"
            print(f"{what}: {d.value:+.4g} [{d.low:+.4g}, {d.high:+.4g}]")


def main() -> int:
    """Draw one column for each group, one row for each score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="store")
    parser.add_argument("--scores", nargs="+", default=["log_odds", "atypicality"])
    parser.add_argument("--out", type=Path, default=Path("gap.png"))
    args = parser.parse_args()
    store = Store(args.store)
    found = sorted(groups(store).values(), key=lambda g: g.steps)
    if not found:
        print(
            f"{store.root} holds no sweep over gamma2 with its standard sampling; make one with experiment=mixture_gap"
        )
        return 2
    figure, axes = plt.subplots(
        len(args.scores), len(found), figsize=(4.2 * len(found), 3.4 * len(args.scores)), squeeze=False, sharex=True
    )
    for c, group in enumerate(found):
        for r, score in enumerate(args.scores):
            ax = axes[r, c]
            assert group.standard is not None
            gamma1 = group.standard.cell.ledger["sampler"]["gamma1"]
            group.guidance[float(gamma1)] = group.standard  # without a gap it is its own control
            ax.axvline(gamma1, color="black", lw=0.8, ls=":")
            draw(ax, group, Differences(group, score, store))
            ax.set_title(f"T = {group.steps}, gamma1 = {gamma1}" if r == 0 else "")
            ax.set_ylabel(f"{score}: difference to standard" if c == 0 else "")
            ax.set_xlabel("gamma2" if r == len(args.scores) - 1 else "")
            ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[0]:
        ax.legend(frameon=False, fontsize=7, loc="lower left")
    figure.tight_layout()
    figure.savefig(args.out, dpi=110)
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
