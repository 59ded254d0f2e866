"""Accuracy by method with its interval: one panel a setting, the band is standard sampling's."""

from collections.abc import Sequence
from pathlib import Path

from zz.analysis.cells import MethodCell
from zz.analysis.measures import Measures
from zz.analysis.plots.style import METHODS, plt, styled

KINDS = {
    "Standard": "standard",
    "compute": "compute_matched",
    "GuidanceMatched": "guidance_matched",
    "Zigzag": "zigzag",
}


def draw(settings: Sequence[tuple[str, Sequence[tuple[MethodCell, Measures]]]], out: Path) -> None:
    """Write the picture; beside the names stand the network evaluations an image."""
    if not settings:
        return
    columns = min(3, len(settings))
    rows, most = -(-len(settings) // columns), max(len(found) for _, found in settings)
    with styled():
        size = (5.2 * columns, rows * (0.9 + 0.26 * most))
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
        for ax in axes.flat[len(settings) :]:
            ax.remove()
        for ax, (name, found) in zip(axes.flat, settings, strict=False):
            middle, low, high = (100 * x for x in found[0][1].correct)
            ax.axvspan(low, high, color=METHODS["standard"][0], alpha=0.08, lw=0)
            left = max(0.0, middle - 32)
            for y, (cell, measures) in enumerate(found):
                value, below, above = (100 * x for x in measures.correct)
                colour, marker = METHODS[KINDS.get(cell.kind, "resampling")]
                if value < left:
                    ax.annotate(f"← {value:.0f} %", (left + 0.5, y), va="center", fontsize=7, color=colour)
                else:
                    ax.plot([below, above], [y, y], color=colour, lw=1.2)
                    ax.plot(value, y, marker, color=colour, ms=5)
            names = [f"{cell.name}  ({cell.row.evals})" for cell, _ in found]
            ax.set_yticks(range(len(found)), names, fontsize=7)
            ax.set_ylim(len(found) - 0.5, -0.5)
            ax.set_xlim(left, min(100.0, middle + 16))
            ax.set_title(name, fontsize=8)
            ax.set_xlabel("accuracy, %", fontsize=8)
        figure.tight_layout()
        figure.savefig(out)
        plt.close(figure)
