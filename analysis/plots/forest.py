"""What zigzag is made of, as a picture: its gain over standard sampling, the part that guidance has, and the rest."""

from collections.abc import Sequence
from pathlib import Path

from zz.analysis.decompose import Decomposition
from zz.analysis.plots.style import BLACK, BLUE, RED, plt, styled
from zz.lab.stats import ALPHA, Interval, holm

PARTS = {
    "gain": (RED, "o", -0.22, "zigzag - standard"),
    "guidance": (BLUE, "s", 0.0, "guidance-matched - standard"),
    "rest": (BLACK, "D", 0.22, "zigzag - guidance-matched (filled: left by Holm's correction)"),
}


def draw(found: Sequence[Decomposition], out: Path, score: str = "shapes_correct", most: int = 16) -> None:
    """Accuracy, for zigzags with their fields as they are by default, by T and gamma1; the rest is in the table."""
    corrected = holm([one.parts[score].p for one in found])
    sure = {id(one): p < ALPHA for one, p in zip(found, corrected, strict=True)}
    shown = [one for one in found if one.cell.kind == "Zigzag" and one.cell.by_default][:most]
    if not shown:
        return
    with styled():
        figure, ax = plt.subplots(figsize=(8.5, 0.34 * len(shown) + 1.5))
        for y, one in enumerate(shown):
            for part, (colour, marker, off, label) in PARTS.items():
                x: Interval = getattr(one.parts[score], part)
                ax.plot([100 * x.low, 100 * x.high], [y + off] * 2, color=colour, lw=1, alpha=0.6)
                face = colour if part != "rest" or sure[id(one)] else "white"
                named = label if y == 0 else None
                ax.plot(100 * x.value, y + off, marker, color=colour, mfc=face, ms=5, label=named)
        ax.axvline(0, color="0.3", lw=0.8)
        names = [f"{one.cell.name}, T = {one.cell.steps}, gamma1 = {one.cell.gamma1:g}" for one in shown]
        ax.set_yticks(range(len(shown)), names, fontsize=8)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_xlabel("accuracy, points, with 95 % intervals")
        ax.legend(loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=1, fontsize=8)
        figure.tight_layout()
        figure.savefig(out)
        plt.close(figure)
