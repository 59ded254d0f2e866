"""Scores against work: standard sampling by its steps as lines, every method beside them as a point with its name."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import matplotlib

from analysis.judge import Measures
from analysis.settings import NAMES
from analysis.ways import SOLVERS, WHOLE, Way
from zz.lab.stats import Interval

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

Point = tuple[Way, Measures]
STEPS = (4, 20)
STYLES = ("-", "--")  # of WHOLE
STANDARD = dict(zip(SOLVERS, ("#000000", "#56b4e9"), strict=True))  # the second as another solver's points
# of Okabe and Ito, told apart by colour-blind eyes; the marker says the same
FAMILIES = {
    "zigzag": ("#d55e00", "o"),
    "zigzag on another": ("#cc79a7", "D"),
    "another guidance": ("#009e73", "s"),
    "another solver": ("#56b4e9", "v"),
    "another sampler": ("#0072b2", "^"),
}
PANELS: dict[str, Callable[[Measures], Interval]] = {
    "accuracy, %": lambda x: Interval(*(100 * v for v in x.correct)),
    "Fréchet distance (lower is better)": lambda x: x.fd,
}


def family(way: Way) -> str:
    """What a method is, for its colour."""
    zigzags = ("Zigzag", "ImplicitZigzag", "FixedPoint")
    if way.kind in zigzags or way.sampler.get("inner", {}).get("is") in zigzags:
        return "zigzag" if way.usual and way.kind in zigzags else "zigzag on another"
    if way.kind == "Standard":
        return "another guidance" if way.ledger["solver"]["is"] == "DDIM" else "another solver"
    return "another guidance" if way.kind == "GuidanceMatched" else "another sampler"


def chosen(points: Sequence[Point], steps: int) -> list[Point]:
    """Each method with its fields as they are made, at the more accurate of its gamma1."""
    best: dict[str, Point] = {}
    for way, measures in points:
        scaled = way.gamma1 in WHOLE or way.ledger["guidance"]["is"] == "CFGpp"
        if way.steps == steps and way.as_made and scaled and not way.by_steps:
            known = best.get(way.name)
            if known is None or measures.correct.value > known[1].correct.value:
                best[way.name] = way, measures
    return list(best.values())


def draw(points: Sequence[Point], out: Path) -> None:
    """A row of panels for each T, a column for each score."""
    found = {steps: chosen(points, steps) for steps in STEPS}
    most = max(10, *(len(some) for some in found.values()))
    tall = len(STEPS) * (0.9 + 0.17 * most) + 0.8
    figure, axes = plt.subplots(len(STEPS), len(PANELS), figsize=(16, tall), squeeze=False)
    for row, (steps, some) in zip(axes, found.items(), strict=True):
        for ax, (title, read) in zip(row, PANELS.items(), strict=True):
            _panel(ax, points, some, read)
            ax.set_title(f"methods at T = {steps} (in brackets: gamma1)", fontsize=10, loc="left")
            ax.set_ylabel(title, fontsize=9)
            ax.set_xlabel("network rows an image", fontsize=9)
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            ls=style,
            marker=".",
            label=f"standard by steps, {NAMES.get(solver, solver)}, {gamma1:g}",
        )
        for solver, colour in STANDARD.items()
        for gamma1, style in zip(WHOLE, STYLES, strict=True)
    ]
    handles += [
        Line2D([], [], color=colour, marker=marker, ls="", label=name) for name, (colour, marker) in FAMILIES.items()
    ]
    figure.legend(handles=handles, loc="upper center", ncols=-(-len(handles) // 2), fontsize=8, frameon=False)
    above, below, apart = 0.85, 0.5, 0.8  # inches; apart are the rows
    each = (tall - above - below - apart * (len(STEPS) - 1)) / len(STEPS)
    edges = {"top": 1 - above / tall, "bottom": below / tall, "hspace": apart / each}
    figure.subplots_adjust(left=0.04, right=0.85, wspace=0.6, **edges)
    figure.savefig(out, dpi=100)
    plt.close(figure)


def _panel(ax: Axes, points: Sequence[Point], some: Sequence[Point], read: Callable[[Measures], Interval]) -> None:
    least = min((way.row.rows for way, _ in some), default=0)  # what standard sampling makes of less sets no scale
    points = [(way, x) for way, x in points if way.row.rows >= least]
    for solver, gamma1 in product(SOLVERS, WHOLE):
        colour, style = STANDARD[solver], STYLES[WHOLE.index(gamma1)]
        mine = [
            (way.row.rows, read(x))
            for way, x in points
            if way.by_steps and (way.solver, way.gamma1) == (solver, gamma1)
        ]
        line = sorted(mine, key=lambda one: one[0])
        ax.plot([rows for rows, _ in line], [x.value for _, x in line], style, color=colour, marker=".", lw=1)
        for rows, x in line:
            ax.plot([rows, rows], [x.low, x.high], color=colour, alpha=0.15, lw=1)
    placed = sorted(((read(measures), way) for way, measures in some), key=lambda one: one[0].value)
    for x, way in placed:
        colour, marker = FAMILIES[family(way)]
        ax.plot([way.row.rows] * 2, [x.low, x.high], color=colour, alpha=0.2, lw=1)
        ax.plot(way.row.rows, x.value, marker, color=colour, ms=5)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(lw=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    low, high = ax.get_ylim()
    for (x, way), y in zip(placed, spread_out([x.value for x, _ in placed], low, high), strict=True):
        colour = FAMILIES[family(way)][0]
        ax.annotate(
            f"{way.name} ({way.gamma1:g})",
            (way.row.rows, x.value),
            xytext=(1.05, y),
            textcoords=ax.get_yaxis_transform(),
            fontsize=7,
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.4, "lw": 0.6, "relpos": (0, 0.5), "shrinkB": 3},
        )
    ax.set_ylim(low, high)


def spread_out(values: Sequence[float], low: float, high: float) -> list[float]:
    """Places for names in a column beside ascending values: near them, within low..high, and none upon another."""
    apart = min((high - low) / max(1, len(values) - 1), (high - low) / 20)
    places: list[float] = []
    for value in values:
        places.append(max([value, low, *(place + apart for place in places[-1:])]))
    for i in reversed(range(len(places))):
        places[i] = min([places[i], high, *(place - apart for place in places[i + 1 : i + 2])])
    return places
