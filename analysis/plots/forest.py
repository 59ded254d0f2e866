"""What zigzag is made of, as a picture: its gain over standard sampling, the part that guidance has, and the rest."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zz.analysis.decompose import Parts
from zz.analysis.plots.style import BLACK, BLUE, RED, plt, styled
from zz.lab.stats import Interval

PARTS = {
    "gain": (RED, "o", -0.22, "zigzag - standard"),
    "guidance": (BLUE, "s", 0.0, "guidance-matched - standard"),
    "rest": (BLACK, "D", 0.22, "zigzag - guidance-matched (filled: left by Holm's correction)"),
}


class Branch(NamedTuple):
    """One line of the picture.

    parts: of accuracy, 0 to 1
    sure:  whether the rest is left by the correction
    """

    name: str
    parts: Parts
    sure: bool


def draw(shown: Sequence[Branch], out: Path) -> None:
    """The three parts of each, with their intervals; nothing where there are none."""
    if not shown:
        return
    with styled():
        figure, ax = plt.subplots(figsize=(8.5, 0.34 * len(shown) + 1.5))
        for y, one in enumerate(shown):
            for part, (colour, marker, off, label) in PARTS.items():
                x: Interval = getattr(one.parts, part)
                ax.plot([100 * x.low, 100 * x.high], [y + off] * 2, color=colour, lw=1, alpha=0.6)
                face = colour if part != "rest" or one.sure else "white"
                named = label if y == 0 else None
                ax.plot(100 * x.value, y + off, marker, color=colour, mfc=face, ms=5, label=named)
        ax.axvline(0, color="0.3", lw=0.8)
        ax.set_yticks(range(len(shown)), [one.name for one in shown], fontsize=8)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_xlabel("accuracy, points, with 95 % intervals")
        ax.legend(loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=1, fontsize=8)
        figure.tight_layout()
        figure.savefig(out)
        plt.close(figure)


__all__ = ["Branch", "draw"]
