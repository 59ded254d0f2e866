"""The page of the comparison: methods at one guidance and T, against standard sampling and the controls."""

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pandas

from zz.analysis.cells import MethodCell, cells
from zz.analysis.measures import SOFT, Measurer, Measures
from zz.analysis.plots.accuracy import draw
from zz.analysis.render.markdown import head, line, percent, plus_minus, points
from zz.data.shapes_prompts import TAGS
from zz.lab.results import Results

HEAD = ("", "predictions", "evaluations", "accuracy %", *TAGS, "strict %", *SOFT, "FD", "diversity")
AGAINST = ("", "against", "accuracy, points", "alignment: wins %", "alignment", "similarity: wins %")
ORDER = ("Standard", "compute", "GuidanceMatched", "Zigzag")


class Setting:
    """Methods over the same prompts that differ in nothing but the sampler, and in the steps that a control adds."""

    def __init__(self, name: str, found: Sequence[MethodCell]) -> None:
        self.name = name
        self.cells = sorted(found, key=lambda c: (ORDER.index(c.kind) if c.kind in ORDER else len(ORDER), c.name))


def settings(results: Results) -> list[Setting]:
    """A setting for each prompt list, T and gamma1 that has standard sampling."""
    found: dict[tuple[Any, ...], list[MethodCell]] = {}
    for cell in cells(results):
        schedule = cell.ledger["schedule"]
        T = schedule["steps"] if cell.kind == "compute" else cell.steps
        found.setdefault((cell.row.dataset, cell.row.wanted, T, cell.gamma1), []).append(cell)
    named = {
        where: Setting(f"{where[0]}, {where[1]} prompts, T = {where[2]}, gamma1 = {where[3]:g}", some)
        for where, some in sorted(found.items(), key=lambda item: item[0])
        if any(cell.kind == "Standard" for cell in some) and len(some) > 1
    }
    return list(named.values())


def page(results: Results, out: Path) -> str:
    """Write OUT.csv, one line a row, and OUT.png, accuracy by method; return the text."""
    measurer = Measurer(results)
    text, records = ["# Zigzag and its controls on the shapes model\n"], []
    shown: list[tuple[str, list[tuple[MethodCell, Measures]]]] = []
    parted = settings(results)
    beside = {cell.row.id for setting in parted for cell in setting.cells}
    alone = [cell for cell in cells(results) if cell.row.id not in beside]
    lacking = [f"- {c.name}, T = {c.steps}, gamma1 = {c.gamma1:g}: no standard sampling like it" for c in alone]
    for setting in parted:
        entries, measured = range(setting.cells[0].row.wanted), []
        for cell in setting.cells:
            if (n := len(measurer.scored(cell))) == len(entries):
                measured.append((cell, measurer.measure(cell, entries)))
            else:
                lacking.append(f"- {setting.name}, {cell.name}: {n} of {len(entries)} made and scored")
        text += [f"\n## {setting.name}\n", *_scores(measured), "", *_against(results, measured, measurer)]
        records += [_record(setting.name, cell, measures) for cell, measures in measured]
        if len(measured) > 2:
            shown.append((setting.name, measured))
    if lacking:
        text += ["\n## Left out above\n", *lacking]
    out.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(records).to_csv(out.with_suffix(".csv"), index=False)
    draw(shown, out.with_suffix(".png"))
    return "\n".join(text) + "\n"


def _scores(measured: Sequence[tuple[MethodCell, Measures]]) -> Iterator[str]:
    yield head(HEAD)
    for cell, x in measured:
        soft = [plus_minus(x.soft[name], digits) for name, digits in zip(SOFT, (3, 1, 3), strict=True)]
        tags = ["-" if isnan(x.by_tag[tag].value) else f"{100 * x.by_tag[tag].value:.0f}" for tag in TAGS]
        cost = [str(cell.row.predictions), str(cell.row.evals)]
        of_sets = [plus_minus(x.fd, 2), plus_minus(x.diversity, 2)]
        yield line([cell.name, *cost, percent(x.correct), *tags, percent(x.strict), *soft, *of_sets])


def _against(results: Results, measured: Sequence[tuple[MethodCell, Measures]], measurer: Measurer) -> Iterator[str]:
    """Each row that was asked for against the controls that the manifest names."""
    yield head(AGAINST)
    here = {cell.row.id: cell for cell, _ in measured}
    for cell, _ in measured:
        for role, row in results.manifest.controls_of(cell.row):
            if row.id in here:
                found = measurer.compare(cell, here[row.id], range(cell.row.wanted))
                alignment = found["shapes_alignment"]
                shown = [points(found["shapes_correct"].difference), percent(alignment.rate)]
                soft = f"{alignment.difference.value:+.3f}"
                yield line([cell.name, role, *shown, soft, percent(found["shapes_similarity"].rate)])


def _record(setting: str, cell: MethodCell, measures: Measures) -> dict[str, Any]:
    found: dict[str, Any] = {"setting": setting, "T": cell.steps, "gamma1": cell.gamma1, "method": cell.name}
    found |= {"n": measures.n, "key": cell.row.cell, "predictions": cell.row.predictions, "evals": cell.row.evals}
    return found | measures.record()
