"""A score's paired difference to standard sampling over a swept field, with the controls: one panel a T."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zz.analysis.plots.style import METHODS, plt, styled
from zz.lab.stats import Interval


class Curve(NamedTuple):
    """One method over the swept field, and how it is called."""

    method: str  # of METHODS
    label: str
    points: Mapping[float, Interval]


class Panel(NamedTuple):
    """One number of steps: curves, and levels that do not depend on the field."""

    title: str
    curves: Sequence[Curve]
    levels: Mapping[str, Interval]
    marked: float | None = None  # a value of the field to mark, such as gamma1
    zero: bool = True  # whether zero is a level that matters


def draw(panels: Sequence[Panel], field: str, quantity: str, out: Path) -> None:
    """Write the picture."""
    with styled():
        figure, axes = plt.subplots(1, len(panels), figsize=(max(4.6, 3.6 * len(panels) + 0.6), 3.8), squeeze=False)
        for ax, panel in zip(axes[0], panels, strict=True):
            if panel.zero:
                ax.axhline(0, color="0.3", lw=0.8)
            if panel.marked is not None:
                ax.axvline(panel.marked, color="0.3", lw=0.8, ls=":")
            for label, level in panel.levels.items():
                colour = METHODS["compute_matched"][0]
                ax.axhspan(level.low, level.high, color=colour, alpha=0.2, lw=0)
                ax.axhline(level.value, color=colour, lw=1, ls="--", label=label)
            for n, curve in enumerate(panel.curves):
                colour, marker = METHODS[curve.method]
                wide = max((max(c.points) - min(c.points) for c in panel.curves if c.points), default=1.0)
                shift = 0.006 * wide * (n - (len(panel.curves) - 1) / 2)
                x = [value + shift for value in curve.points]
                y = [point.value for point in curve.points.values()]
                errors = [
                    [p.value - p.low for p in curve.points.values()],
                    [p.high - p.value for p in curve.points.values()],
                ]
                ax.errorbar(x, y, errors, color=colour, marker=marker, ms=4, lw=1.2, capsize=2, label=curve.label)
            ax.set_title(panel.title, fontsize=9)
            ax.set_xlabel(field)
        axes[0, 0].set_ylabel(quantity)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=min(len(labels), 2 * len(panels)), fontsize=8)
        lines = -(-len(labels) // max(1, min(len(labels), 2 * len(panels))))
        figure.tight_layout(rect=(0, 0.03 + 0.06 * lines, 1, 1))
        figure.savefig(out)
        plt.close(figure)
