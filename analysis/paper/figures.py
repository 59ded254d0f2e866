"""Figures that are drawn from rows: winning rates as bars, a score over a swept field, a score by its cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from zz.analysis.paper import table
from zz.analysis.paper.spec import Column, Spec
from zz.analysis.plots import bars, curves
from zz.lab.results import Results
from zz.lab.scales import StandIns
from zz.lab.stats import Interval
from zz.lab.store.manifest import Row
from zz.lab.view import Figure, View

HALF = 50.0  # percent: neither side wins


class Curve(NamedTuple):
    """A line of a plot: rows by their labels, over a field of their ledgers."""

    method: str  # of the plots' style
    label: str
    rows: tuple[str, ...]
    role: str | None = None  # not the rows themselves but their controls of this role


def winning_bars(results: Results, spec: Spec, stand_ins: StandIns, ours: str) -> View:
    """The table, and bars of the winning rates of a row over the one that it is compared with."""
    sheet = table.Sheet(spec, results, stand_ins)
    groups = {}
    for prompts in spec.sets:
        row = sheet.row(ours, prompts)
        if row is None or not sheet.there(row):
            continue
        found = {sheet.head(c): sheet.found(ours, c, prompts, row).value for c in sheet.spec.columns}
        groups[prompts] = {head: x for head, x in found.items() if not math.isnan(x.value)}
    return _with(table.view(results, spec, stand_ins), "winning rates, %", bars.draw, groups)


def swept(
    results: Results, spec: Spec, stand_ins: StandIns, field: str, lines: Sequence[Curve], against: str, column: Column
) -> View:
    """The table, and a column's paired difference to one row over a field; winning rates as points above 50 %.

    field:   of the rows' samplers, such as gamma2
    against: the row that all are compared with; "" for each row's own by `spec.against`
    """
    sheet = table.Sheet(spec, results, stand_ins)
    ((prompts, _),) = spec.sets.items()
    drawn, scorer = [], sheet.mine(column)
    for curve in lines:
        points: dict[float, Interval] = {}
        for label in curve.rows:
            row, other = sheet.row(label, prompts), sheet.row(against or spec.against[label], prompts)
            if row is None or other is None or not (sheet.there(row) and sheet.there(other)):
                continue
            x = float(_field(results, row, field))
            mine = dict(results.manifest.controls_of(row)).get(curve.role or "") if curve.role else row
            if mine is not None and sheet.there(mine) and scorer in (mine.scorers or {}):
                found = results.compare(mine, other, scorer)
                if found.n:
                    points[x] = (
                        Interval(*(100 * r - HALF for r in found.rate))
                        if column.quantity == "wins"
                        else found.difference
                    )
        if points:
            drawn.append(curves.Curve(curve.method, curve.label, dict(sorted(points.items()))))
    quantity = "winning rate less 50 %, points" if column.quantity == "wins" else "difference to standard"
    panel = curves.Panel(f"{spec.title}: {sheet.head(column)}", drawn, {})
    view = table.view(results, spec, stand_ins)
    if not drawn:
        return view
    draw = partial(_curves, panels=[panel], field=field.rstrip("_"), quantity=quantity)
    return view._replace(figures=(Figure("curve", f"{spec.title}: {quantity}, over {field.rstrip('_')}", draw),))


def cost(results: Results, spec: Spec, stand_ins: StandIns, lines: Sequence[Curve]) -> View:
    """The table, and the first column against evaluations, predictions and seconds an image."""
    sheet = table.Sheet(spec, results, stand_ins)
    ((prompts, _),) = spec.sets.items()
    column, panels = sheet.spec.columns[0], []
    costs: Mapping[str, Callable[[Row], float | None]] = {
        "network evaluations an image": lambda row: row.evals,
        "guided predictions an image": lambda row: row.predictions,
        "seconds an image": results.seconds,
    }
    for name, of in costs.items():
        drawn = []
        for curve in lines:
            points: dict[float, Interval] = {}
            for label in curve.rows:
                row = sheet.row(label, prompts)
                if row is not None and sheet.there(row) and (x := of(row)) is not None:
                    points[x] = sheet.found(label, column, prompts, row).value
            if points:
                drawn.append(curves.Curve(curve.method, curve.label, dict(sorted(points.items()))))
        if drawn:
            panels.append(curves.Panel(name, drawn, {}, None, False))
    view = table.view(results, spec, stand_ins)
    if not panels:
        return view
    draw = partial(_curves, panels=panels, field="", quantity=sheet.head(column))
    return view._replace(figures=(Figure("cost", f"{spec.title}: {sheet.head(column)} by cost", draw),))


def _field(results: Results, row: Row, field: str) -> Any:
    ledger = results.store.cell(row.cell)[0].ledger
    return ledger["sampler"].get(field, ledger.get(field))


def _curves(out: Any, panels: Any, field: str, quantity: str) -> None:
    curves.draw(panels, field, quantity, out)


def _with(view: View, caption: str, draw: Callable[..., None], groups: Mapping[str, Mapping[str, Interval]]) -> View:
    if not any(groups.values()):
        return view
    figure = Figure("bars", f"{view.title}: {caption}", lambda out: draw(groups, out))
    return view._replace(figures=(figure,))


__all__ = ["Curve", "cost", "swept", "winning_bars"]
