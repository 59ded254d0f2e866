"""Where pictures look at their words, by sampler and leg (Figure 5), and how focused each map is."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zz.analysis.paper.claims import Order, judged, verdict
from zz.analysis.plots.style import plt, styled
from zz.data.base import Picture
from zz.lab.results import Results
from zz.lab.stats import mean, student
from zz.lab.store.manifest import Row
from zz.lab.view import NO_STAND_IN, NOT_RUN, Figure, Table, Verdict, View

EARLY, SHOWN = 5, 4  # steps that count as early; pictures of the figure


class Seen(NamedTuple):
    """A line of the figure: a row by its label, and a leg."""

    label: str
    leg: str


def view(results: Results, title: str, claim: str, lines: Mapping[str, Seen], ours: str, theirs: str) -> View:
    """Maps of the first prompts at the first step, and the entropy of the maps of the first steps.

    lines:  what each is called
    ours, theirs: lines of which the first is claimed to be more focused
    """
    rows = {name: results.manifest.labelled(seen.label) for name, seen in lines.items()}
    there = {name: row for name, row in rows.items() if row is not None and results.there(row)}
    if ours not in there or theirs not in there:
        status = NO_STAND_IN if results.manifest.scale in ("mini", "smoke") and not rows[ours] else NOT_RUN
        return View(title, claim, (), (Verdict(claim, status),))
    focus = {name: focused(results, row, lines[name].leg) for name, row in there.items()}
    table = Table(
        f"{title}: entropy of a word's map in the first {EARLY} steps; 1: everywhere alike, lower: more focused",
        ("", "entropy", "n"),
        tuple((name, mean(list(by_entry.values())), len(by_entry)) for name, by_entry in focus.items()),
    )
    both = sorted(focus[ours].keys() & focus[theirs].keys())
    d = np.array([focus[theirs][e] - focus[ours][e] for e in both])
    error = float(d.std(ddof=1) / np.sqrt(len(d))) if len(d) > 1 else float("nan")
    order = Order(claim, "entropy", theirs, len(both), mean(d), None, student(d), 2.8 * error)
    said = verdict(claim, judged([order]) if both else [])
    difference = order.difference
    evidence = f"entropy {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}] lower, n = {len(both)}"
    caption = f"{title}: attention to each prompt's words in its first step"
    figure = Figure("attention", caption, lambda out: draw(results, there, lines, out))
    return View(title, claim, (table,), (said._replace(evidence=evidence),), (figure,))


def focused(results: Results, row: Row, leg: str) -> dict[int, float]:
    """entry -> the mean over its words and early steps of the map's entropy, of that of a map that is flat."""
    found = {}
    for picture in results.pictures(row):
        words = _maps(results, row, picture, leg).values()
        entropies = [entropy(m) for maps, steps in words for m, i in zip(maps, steps, strict=True) if i < EARLY]
        if entropies:
            found[picture.entry] = float(np.mean(entropies))
    return found


def entropy(attention: np.ndarray) -> float:
    """Of a map as a distribution over its places, of the largest that there can be."""
    p = attention.astype(np.float64).ravel()
    p = p[p > 0] / p.sum()
    return float(-(p * np.log(p)).sum() / np.log(attention.size))


def _maps(
    results: Results, row: Row, picture: Picture, leg: str
) -> dict[str, tuple[Sequence[np.ndarray], Sequence[int]]]:
    """word -> its maps and their steps."""
    values = results.measured(row, "attention", picture) or {}
    names = [name.removesuffix(f".{leg}") for name in values if name.endswith(f".{leg}")]
    return {name: (list(values[f"{name}.{leg}"]), values[f"{name}.{leg}.step"].tolist()) for name in names}


def draw(results: Results, rows: Mapping[str, Row], lines: Mapping[str, Seen], out: Path) -> None:
    """A column a prompt and word; a line the picture, then its map in the first step."""
    first = next(iter(rows.values()))
    chosen = [
        (picture, word)
        for picture in results.pictures(first)[:SHOWN]
        for word in list(_maps(results, first, picture, lines[next(iter(rows))].leg))[:2]
    ]
    with styled():
        wide, tall = 1.15 * max(1, len(chosen)) + 1.2, 1.15 * 2 * len(rows) + 0.6
        figure, axes = plt.subplots(2 * len(rows), max(1, len(chosen)), figsize=(wide, tall), squeeze=False)
        figure.subplots_adjust(1.15 / wide, 0.01, 0.995, 1 - 0.5 / tall, 0.06, 0.06)
        for n, (name, row) in enumerate(rows.items()):
            for k, (picture, word) in enumerate(chosen):
                image = np.asarray(results.store.image(results.store.cell(row.cell)[0], picture.name))
                axes[2 * n, k].imshow(image, interpolation="nearest" if image.shape[0] < 128 else "auto")
                maps = _maps(results, row, picture, lines[name].leg).get(word)
                if maps:
                    axes[2 * n + 1, k].imshow(maps[0][0], cmap="viridis", interpolation="nearest")
                if n == 0:
                    axes[0, k].set_title(f"{picture.prompt.text.removeprefix('a photo of ')}\n“{word}”", fontsize=6)
            beside = "\n".join(textwrap.wrap(name, 13))
            axes[2 * n, 0].text(-0.08, -0.03, beside, transform=axes[2 * n, 0].transAxes, ha="right", va="center")
        for ax in axes.flat:
            ax.axis("off")
        figure.savefig(out)
        plt.close(figure)


__all__ = ["Seen", "draw", "entropy", "focused", "view"]
