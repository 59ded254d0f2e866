"""Pictures of the same prompts and seeds, a line a method: the paper's qualitative figures."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zz.analysis.paper import table
from zz.analysis.paper.spec import Spec
from zz.analysis.plots.style import BLUE, RED, plt, styled
from zz.data.base import Picture
from zz.lab.results import Results
from zz.lab.scales import StandIns
from zz.lab.store.manifest import Row
from zz.lab.view import Figure, View

MOST = 6  # prompts that are shown


def view(results: Results, spec: Spec, stand_ins: StandIns) -> View:
    """The table of the rows, and a grid of their first pictures."""
    sheet = table.Sheet(spec, results, stand_ins)
    figures = []
    for prompts in spec.sets:
        found = {line.label: sheet.row(line, prompts) for line in spec.rows}
        rows = {sheet.say(label): row for label, row in found.items() if row is not None and sheet.there(row)}
        if rows:
            name = prompts.lower().replace(" ", "_") or "pictures"
            caption = f"{spec.title}{': ' if prompts else ''}{prompts}, the first prompts, not chosen"
            figures.append(Figure(name, caption, lambda out, rows=rows: draw(results, rows, out)))  # type: ignore[misc]
    return table.view(results, spec, stand_ins)._replace(figures=tuple(figures))


def draw(results: Results, rows: Mapping[str, Row], out: Path) -> None:
    """Write the grid: a line a row, a column a prompt; a frame says whether a picture is right, where that is known."""
    pictures = shown(results, list(rows.values()))
    with styled():
        size = (1.25 * len(pictures) + 1.6, 1.3 * len(rows) + 0.6)
        figure, axes = plt.subplots(len(rows), max(1, len(pictures)), figsize=size, squeeze=False)
        for line, (label, row) in zip(axes, rows.items(), strict=True):
            right = _right(results, row)
            for ax, picture in zip(line, pictures, strict=False):
                image = results.store.image(results.store.cell(row.cell)[0], picture.name)
                ax.imshow(np.asarray(image), interpolation="nearest" if image.width < 128 else "auto")
                ax.set_xticks([])
                ax.set_yticks([])
                ax.grid(False)
                for spine in ax.spines.values():
                    spine.set_visible(picture.name in right)
                    spine.set_color(BLUE if right.get(picture.name) else RED)
                    spine.set_linewidth(2)
            line[0].set_ylabel("\n".join(textwrap.wrap(label, 16)), rotation=0, ha="right", va="center", fontsize=8)
        for ax, picture in zip(axes[0], pictures, strict=False):
            text = picture.prompt.text if len(picture.prompt.text) < 90 else f"{picture.prompt.text[:88]} ..."
            ax.set_title("\n".join(textwrap.wrap(text, 18)), fontsize=7)
        figure.tight_layout()
        figure.savefig(out)
        plt.close(figure)


def shown(results: Results, rows: list[Row]) -> list[Picture]:
    """The first pictures that every row has."""
    names = [{p.name for p in results.pictures(row)} for row in rows]
    there = [
        set(results.store.there(results.store.cell(row.cell)[0], sorted(own)))
        for row, own in zip(rows, names, strict=True)
    ]
    common = set.intersection(*there)
    return [picture for picture in results.pictures(rows[0]) if picture.name in common][:MOST]


def _right(results: Results, row: Row) -> dict[str, bool]:
    """By picture, of the first score that says only right or wrong."""
    for name, about in (row.scorers or {}).items():
        if about["unit"] == "correct":
            x = results.values(row, name)
            return {
                p.name: bool(x[p.entry, p.repeat] > 0.5)
                for p in results.pictures(row)
                if np.isfinite(x[p.entry, p.repeat])
            }
    return {}


__all__ = ["draw", "shown", "view"]
