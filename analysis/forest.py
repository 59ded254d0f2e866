"""What zigzag is made of, as a picture: its gain over standard sampling, the part that guidance has, and the rest."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import matplotlib

from analysis.ingredients import FALSE, Ingredient
from zz.lab.stats import Interval, holm

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SCORES = {"shapes_correct": ("accuracy, points", 100.0), "shapes_alignment": ("alignment, soft score", 1.0)}
PARTS = {"gain": ("#d55e00", "o", -0.2), "guidance": ("#0072b2", "s", 0.0), "rest": ("#000000", "D", 0.2)}
LABELS = {"gain": "zigzag - standard", "guidance": "guidance-matched - standard", "rest": "zigzag - guidance-matched"}


def draw(found: Sequence[Ingredient], out: Path) -> None:
    """A line for each zigzag whose gap is not below zero (those would set the scale), a column for each score."""
    shown = [one for one in found if one.way.gamma2 is not None and one.way.gamma2 <= one.way.gamma1]
    if not shown:
        return
    tall = 0.24 * len(shown) + 1.3
    figure, axes = plt.subplots(1, len(SCORES), figsize=(13, tall), sharey=True)
    for ax, (score, (title, scale)) in zip(axes, SCORES.items(), strict=True):
        sure = [p < FALSE for p in holm([one.parts[score].p for one in found])]
        _column(ax, shown, score, scale, [s for one, s in zip(found, sure, strict=True) if one in shown])
        ax.set_xlabel(title, fontsize=9)
    names = [f"{one.way.name}   {one.way.gamma1:g}, {one.way.gamma2:g}   T = {one.way.steps}" for one in shown]
    axes[0].set_yticks(range(len(shown)), names, fontsize=7)
    axes[0].set_ylim(len(shown) - 0.5, -0.5)
    axes[0].set_title("zigzag   gamma1, gamma2   T", fontsize=9, loc="right", x=-0.02)
    handles, labels = axes[0].get_legend_handles_labels()
    by_name = dict(zip(labels, handles, strict=True))
    figure.legend(by_name.values(), by_name, loc="upper center", ncols=len(by_name), fontsize=8, frameon=False)
    figure.subplots_adjust(left=0.3, right=0.98, wspace=0.05, top=1 - 0.6 / tall, bottom=0.5 / tall)
    figure.savefig(out, dpi=100)
    plt.close(figure)


def _column(ax: Axes, shown: Sequence[Ingredient], score: str, scale: float, sure: Sequence[bool]) -> None:
    for y, one in enumerate(shown):
        for part, (colour, marker, off) in PARTS.items():
            x: Interval = getattr(one.parts[score], part)
            full = part != "rest" or sure[y]
            ax.plot([scale * x.low, scale * x.high], [y + off] * 2, color=colour, lw=1, alpha=0.6)
            face = colour if full else "white"
            ax.plot(scale * x.value, y + off, marker, color=colour, mfc=face, ms=4, label=LABELS[part])
    ends = 0
    for _, group in groupby(one.way.steps for one in shown):
        ends += len(list(group))
        ax.axhline(ends - 0.5, color="0.7", lw=0.8)
    ax.axvline(0, color="0.3", lw=0.8)
    ax.grid(axis="x", lw=0.3)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
