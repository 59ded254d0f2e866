"""How many claims hold, by experiment: the paper's own, and those of zigzag against its controls."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.patches import Rectangle

from zz.analysis.plots.style import BLUE, GREEN, ORANGE, RED, SKY, YELLOW, plt, styled
from zz.lab.view import (
    CONTRADICTED,
    DIFFERS,
    HOLDS,
    MIXED,
    NO_STAND_IN,
    NOT_RUN,
    PARTLY,
    REPRODUCED,
    UNDECIDED,
    WITHIN,
    Verdict,
)

COLOURS = {
    HOLDS: BLUE,
    REPRODUCED: BLUE,
    WITHIN: GREEN,
    PARTLY: SKY,
    UNDECIDED: "0.75",
    MIXED: YELLOW,
    DIFFERS: ORANGE,
    CONTRADICTED: RED,
    NOT_RUN: "0.9",
    NO_STAND_IN: "white",
}


def draw(verdicts: Mapping[str, Sequence[Verdict]], out: Path) -> None:
    """A bar an experiment: its claims by status; on the left the paper's, on the right those against controls."""
    sides = {"claims of the paper": False, "zigzag ahead of its controls": True}
    names = [name for name, some in verdicts.items() if some]
    with styled():
        figure, axes = plt.subplots(1, 2, figsize=(9, 0.5 + 0.19 * max(4, len(names))), sharey=True)
        for ax, (title, control) in zip(axes, sides.items(), strict=True):
            for y, name in enumerate(names):
                left = 0
                for status, colour in COLOURS.items():
                    n = sum(one.status == status and one.control == control for one in verdicts[name])
                    if n:
                        ax.barh(y, n, left=left, color=colour, edgecolor="0.4", lw=0.5, height=0.75)
                        left += n
            ax.set_title(title, fontsize=9)
            ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=6.5)
            ax.set_ylim(len(names) - 0.4, -0.6)
            ax.set_xlabel("claims", fontsize=8)
            ax.grid(False, axis="y")
        there = {one.status for some in verdicts.values() for one in some}
        shown = [status for status in COLOURS if status in there]
        handles = [Rectangle((0, 0), 1, 1, fc=COLOURS[s], ec="0.4", lw=0.5) for s in shown]
        figure.legend(handles, shown, loc="lower center", ncols=len(shown), fontsize=7.5, bbox_to_anchor=(0.5, -0.02))
        figure.tight_layout(rect=(0, 0.025, 1, 1))
        figure.savefig(out, bbox_inches="tight")
        plt.close(figure)


__all__ = ["draw"]
