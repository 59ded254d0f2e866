"""The page of the guidance gap: zigzag against standard sampling by gamma2, with its controls."""

from pathlib import Path

from zz.analysis.cells import MethodCell, cells
from zz.analysis.plots.curves import Curve, Panel, draw
from zz.analysis.render.markdown import percent, signed, table
from zz.lab.results import Results
from zz.lab.stats import Interval, mean

TEXT = """# The guidance gap on the exact model

Each zigzag against standard sampling at the same gamma1 and steps, by gamma2: mean paired difference and winning rate,
with 95 % intervals over prompts. `guidance_matched` is standard sampling at the guidance that the zigzag amounts to.

"""


def page(results: Results, out: Path) -> str:
    """Write OUT.png, the first score's curves; return the text with a table for each score.

    Raises ValueError where there is no zigzag, or one without its standard sampling.
    """
    everything = cells(results)
    roles = [dict(results.manifest.controls_of(c.row)) for c in everything if c.kind == "Zigzag"]
    if not roles or not all("standard" in found for found in roles):
        raise ValueError(
            f"{results.store.root} holds no zigzag, or one without standard sampling; run the experiment first"
        )
    score = next(iter(results.metrics))
    panels, text = [], [TEXT]
    for steps in sorted({c.steps for c in everything if c.kind == "Zigzag"}):
        zigzags = {float(c.gamma2 or 0): c for c in everything if c.kind == "Zigzag" and c.steps == steps}
        standard = _control(results, zigzags[min(zigzags)], "standard", everything)
        controls = {g: _control(results, c, "guidance_matched", everything) for g, c in zigzags.items()}
        level = _control(results, zigzags[min(zigzags)], "compute_matched_predictions", everything)
        curves = [
            Curve("zigzag", "zigzag", {g: _difference(results, c, standard, score) for g, c in zigzags.items()}),
            Curve(
                "guidance_matched",
                "guidance-matched",
                {g: _difference(results, c, standard, score) for g, c in controls.items()},
            ),
        ]
        label = f"standard, {level.row.predictions} predictions"
        levels = {label: _difference(results, level, standard, score)}
        panels.append(Panel(f"T = {steps}, gamma1 = {standard.gamma1:g}", curves, levels, standard.gamma1))
        for name, about in results.metrics.items():
            text.append(f"\n## T = {steps}, {name} ({about['unit']})\n")
            lines = []
            for gamma2, zigzag in zigzags.items():
                line = [f"{gamma2:g}"]
                for other in (standard, controls[gamma2], level):
                    found = results.compare(zigzag.row, other.row, name)
                    line += [
                        signed(found.difference, 1 if abs(found.difference.value) > 10 else 3),
                        percent(found.rate),
                    ]
                lines.append(line)
            against = ("standard", "wins %", "guidance-matched", "wins %", "equal predictions", "wins %")
            text.append(table(["gamma2", *against], lines))
    rows = results.manifest.rows
    short = [
        (row, name, n) for row in rows for name in results.metrics if (n := results.scored(row, name)) < row.wanted
    ]
    if short:
        text.append("\n## Of fewer prompts than were asked for\n")
        text += [f"- {name} of {row.title}: {n} of {row.wanted}" for row, name, n in short]
    draw(panels, "gamma2", f"{score}: difference to standard", out.with_suffix(".png"))
    return "\n".join(text) + "\n"


def _control(results: Results, cell: MethodCell, role: str, everything: list[MethodCell]) -> MethodCell:
    """A row's control in a role; where it has none (no gap), standard sampling."""
    found = dict(results.manifest.controls_of(cell.row))
    row = found.get(role) or found["standard"]
    return next(c for c in everything if c.row.id == row.id)


def _difference(results: Results, ours: MethodCell, theirs: MethodCell, name: str) -> Interval:
    a, b = results.scores(ours.row, name), results.scores(theirs.row, name)
    return mean([a[e] - b[e] for e in sorted(a.keys() & b.keys())])
