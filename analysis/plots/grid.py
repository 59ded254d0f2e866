"""A score over one field, a line a value of another: what a sweep looks like."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from zz.analysis.plots.style import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY, YELLOW, plt, styled
from zz.lab.grid import Grid, text

COLOURS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK, YELLOW)
MARKERS = "osv^DPX*"


def draw(grids: Sequence[Grid], out: Path) -> None:
    """Write the picture: a panel for each grid."""
    with styled():
        wide = 3.4 * len(grids) + 0.8
        figure, axes = plt.subplots(1, len(grids), figsize=(max(wide, 4.4), 3.4), squeeze=False, sharey=True)
        for ax, grid in zip(axes[0], grids, strict=True):
            numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x in grid.row_values)
            places = [float(x) if numeric else float(i) for i, x in enumerate(grid.row_values)]
            spread = 0.01 * (max(places) - min(places) or 1.0)
            for n, column in enumerate(grid.column_values):
                found = [(x, grid.at(value, column)) for x, value in zip(places, grid.row_values, strict=True)]
                points = [(x, one.value) for x, one in found if one and one.n]
                x = [at + spread * (n - (len(grid.column_values) - 1) / 2) for at, _ in points]
                y = [value.value for _, value in points]
                errors = [[v.value - v.low for _, v in points], [v.high - v.value for _, v in points]]
                style = {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n % len(MARKERS)]}
                label = f"{grid.columns} = {text(column)}" if grid.columns else None
                ax.errorbar(x, y, errors, ms=4, lw=1.2 if numeric else 0, elinewidth=1, capsize=2, label=label, **style)
            if not numeric:
                ax.set_xticks(places, [text(value) for value in grid.row_values], rotation=30, ha="right")
            elif all(float(x).is_integer() for x in places):
                ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            if grid.shown != "mean":
                ax.axhline(0.5 if grid.shown == "wins" else 0.0, color="0.3", lw=0.8)
            ax.set_title(grid.of)
            ax.set_xlabel(grid.rows)
        axes[0, 0].set_ylabel(grids[0].quantity)
        if grids[0].columns:
            axes[0, -1].legend(fontsize=8)
        figure.tight_layout()
        figure.savefig(out)
        plt.close(figure)
