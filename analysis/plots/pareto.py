"""Accuracy against work: the methods that no other beats for as few evaluations, by name; the rest is in the table."""

from collections.abc import Sequence
from pathlib import Path

from zz.analysis.cells import MethodCell
from zz.analysis.measures import Measures
from zz.analysis.pairs import WHOLE, by_steps
from zz.analysis.plots.style import BLACK, RED, SKY, interval, plt, styled

Point = tuple[MethodCell, Measures]


def front(points: Sequence[Point]) -> list[Point]:
    """The points that are more accurate than every cheaper one, from the cheapest."""
    found: list[Point] = []
    for cell, measures in sorted(points, key=lambda one: (one[0].row.evals, -one[1].correct.value)):
        if not found or measures.correct.value > found[-1][1].correct.value:
            found.append((cell, measures))
    return found


def draw(points: Sequence[Point], out: Path) -> None:
    """One panel: standard sampling by its steps as a line, all others as pale dots, the front by name."""
    with styled():
        figure, ax = plt.subplots(figsize=(8.5, 5))
        others = [one for one in points if not by_steps(one[0])]
        ax.plot(
            [c.row.evals for c, _ in others],
            [100 * m.correct.value for _, m in others],
            "o",
            color="0.8",
            ms=4,
            label="a method (see the table)",
        )
        for solver, colour in (("DDIM", BLACK), ("EulerAncestral", SKY)):
            mine = [(c, m) for c, m in points if by_steps(c) and c.solver == solver and c.gamma1 == WHOLE[0]]
            mine.sort(key=lambda one: one[0].row.evals)
            name = "DDIM" if solver == "DDIM" else "Euler ancestral"
            x, y = [c.row.evals for c, _ in mine], [100 * m.correct.value for _, m in mine]
            ax.plot(
                x, y, "-", color=colour, marker=".", lw=1.2, label=f"standard by steps, {name}, gamma1 = {WHOLE[0]:g}"
            )
        best = front(points)
        for n, (cell, measures) in enumerate(best):
            middle, low, high = (100 * x for x in measures.correct)
            interval(
                ax,
                cell.row.evals,
                (middle, low, high),
                RED,
                "D",
                label="no cheaper one is as accurate" if not n else None,
            )
        last = -1e9
        bottom, top = ax.get_ylim()
        for cell, measures in best:
            height = max(100 * measures.correct.value, last + (top - bottom) / 26)  # names do not lie upon each other
            last = height
            text = f"{cell.name}, {cell.gamma1:g}, T = {cell.steps}"
            ax.annotate(
                text,
                (cell.row.evals, 100 * measures.correct.value),
                xytext=(1.02, height),
                textcoords=ax.get_yaxis_transform(),
                fontsize=8,
                va="center",
                annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": RED, "alpha": 0.4, "lw": 0.6},
            )
        ax.set_xscale("log")
        ax.set_xlabel("network evaluations an image")
        ax.set_ylabel("accuracy, %")
        ax.set_title("Accuracy for the work (named: method, gamma1, T)", loc="left")
        ax.legend(loc="lower right", fontsize=8)
        figure.subplots_adjust(left=0.08, right=0.68, top=0.93, bottom=0.1)
        figure.savefig(out)
        plt.close(figure)
