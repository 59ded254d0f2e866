"""A table of the paper: values with intervals beside what is printed, the controls, and the status of each claim."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from zz.analysis.paper.claims import Judged, Order, judged, order, verdict
from zz.analysis.paper.printed import Printed, printed
from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.analysis.paper.values import Found, value
from zz.lab.results import Results
from zz.lab.scales import StandIns, scorer
from zz.lab.stats import Interval
from zz.lab.store.manifest import Row
from zz.lab.view import DIFFERS, NO_STAND_IN, NOT_RUN, REPRODUCED, WITHIN, Table, Value, Verdict, View

CONTROLS = {  # roles as a table calls them
    "standard": "standard",
    "guidance_matched": "guidance-matched",
    "compute_matched_predictions": "standard at equal predictions",
    "compute_matched_evals": "standard at equal evaluations",
}
HEAD = ("claim", "column", "against", "n", "difference", "winning rate, %", "p (Holm)", "smallest found", "status")


class Sheet:
    """A specification joined with what a store holds."""

    def __init__(self, spec: Spec, results: Results, stand_ins: StandIns) -> None:
        self.results, self.scale = results, results.manifest.scale
        self.scorer_of = partial(scorer, stand_ins=stand_ins, scale=self.scale)
        self.spec = replace(spec, columns=tuple(map(self._scaled, spec.columns)))
        self.printed = printed(spec.name)

    def _scaled(self, column: Column) -> Column:
        """A column whose factor is that of what stands for its metric: percent for what is right or wrong."""
        if column.quantity == "measured" or (mine := self.scorer_of(column.scorer)) == column.scorer:
            return column
        unit = (self.results.metrics.get(mine) or {}).get("unit")
        return replace(column, times=100 if unit == "correct" else 1)

    def say(self, text: str) -> str:
        """A text with the values that its labels have at this scale."""
        if self.scale in (None, "paper") or not self.spec.small:
            return text
        known = sorted(self.spec.small, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, known)), lambda found: self.spec.small[found[0]], text)

    def shown(self, view: View) -> View:
        """A view whose texts have these values."""

        def said(x: Value) -> Value:
            return self.say(x) if isinstance(x, str) else x

        tables = tuple(t._replace(lines=tuple(tuple(map(said, line)) for line in t.lines)) for t in view.tables)
        verdicts = tuple(v._replace(claim=self.say(v.claim)) for v in view.verdicts)
        return view._replace(tables=tables, verdicts=verdicts)

    def row(self, line: Line | str, prompts: str) -> Row | None:
        """The row of the store that a line is."""
        label = line if isinstance(line, str) else line.label
        return self.results.manifest.labelled(self.spec.label(label, prompts))

    def there(self, row: Row | None) -> bool:
        """Whether any of its pictures is."""
        return row is not None and self.results.there(row) > 0

    def controls(self, line: Line, row: Row | None) -> list[tuple[str, Row]]:
        """The controls that a line asks for, as far as they are there."""
        found = self.results.manifest.controls_of(row) if row and "controls=" in line.words else []
        return [(role, control) for role, control in found if role in CONTROLS and self.there(control)]

    def fate(self, row: Row | None) -> str:
        """Why a row has no values."""
        return NOT_RUN if row is not None or self.scale in (None, "paper") else NO_STAND_IN

    def found(self, line: str, column: Column, prompts: str, row: Row) -> Found:
        """One value."""
        other = self.spec.against.get(line)
        against = self.row(other, prompts) if other else None
        return value(self.results, row, column, self.mine(column), against)

    def said(self, line: str, column: Column, prompts: str) -> Printed | None:
        """What the paper prints there."""
        return self.printed.get((line, self.spec.head(column, prompts)))

    def mine(self, column: Column) -> str:
        """What a column's metric is at this scale."""
        return column.scorer if column.quantity == "measured" else self.scorer_of(column.scorer)

    def head(self, column: Column) -> str:
        """A column's head, with what stands for the paper's metric."""
        mine = self.mine(column)
        return column.head if mine == column.scorer else f"{column.head}: {mine}"


def view(results: Results, spec: Spec, stand_ins: StandIns) -> View:
    """Everything that a table shows."""
    sheet = Sheet(spec, results, stand_ins)
    spec = sheet.spec
    tables = [_values(sheet, prompts) for prompts in spec.sets]
    found = compared(sheet)
    if found:
        tables.append(_orders(spec, found))
    verdicts = list(_verdicts(sheet, found))
    if sheet.scale in (None, "paper"):
        numbers = list(_numbers(sheet))
        if numbers:
            heads = ("row", "column", "ours", "printed", "difference", "status")
            tables.append(Table(f"{spec.title}: ours beside what is printed", heads, tuple(numbers)))
    notes = [f"Not said by the paper: {text}" for text in spec.unknown]
    notes += sorted({f"{line}, {head}: {one.erratum}" for (line, head), one in sheet.printed.items() if one.erratum})
    return sheet.shown(View(spec.title, spec.claim, tuple(tables), tuple(verdicts), (), tuple(notes)))


def compared(sheet: Sheet) -> list[Judged]:
    """Every order that the spec claims, and each zigzag against its controls, corrected together."""
    orders: list[Order | None] = []
    spec, results = sheet.spec, sheet.results
    for prompts in spec.sets:
        for claim in spec.claims:
            ours, theirs = sheet.row(claim.better, prompts), sheet.row(claim.worse, prompts)
            if ours is None or theirs is None or not (sheet.there(ours) and sheet.there(theirs)):
                continue
            for column in _columns(spec, claim):
                head = spec.head(column, prompts)
                mine = sheet.mine(column)
                orders.append(order(results, _said(claim), ours, theirs, column, mine, head, claim.worse))
        for line in spec.rows:
            row = sheet.row(line, prompts)
            for role, control in sheet.controls(line, row):
                if role == "standard" or row is None:
                    continue
                for column in (c for c in spec.columns if c.quantity in ("mean", "overall")):
                    said, head = f"{line.label} > its controls", spec.head(column, prompts)
                    mine = sheet.mine(column)
                    orders.append(order(results, said, row, control, column, mine, head, CONTROLS[role]))
    return judged([one for one in orders if one is not None])


def _columns(spec: Spec, claim: Claim) -> list[Column]:
    return [c for c in spec.columns if c.head in claim.columns or not claim.columns]


def _said(claim: Claim) -> str:
    return f"{claim.better} > {claim.worse}"


def _values(sheet: Sheet, prompts: str) -> Table:
    """The table of one prompt set: ours and the paper's by column, each zigzag's controls below it."""
    spec, lines = sheet.spec, []
    known = any(sheet.said(line.label, c, prompts) for line in spec.rows for c in spec.columns)
    for line in spec.rows:
        row = sheet.row(line, prompts)
        if row is None or not sheet.there(row):
            cells: list[Value] = [sheet.fate(row), None, None, None]
            for column in spec.columns:
                cells += [None, *_printed(sheet, line.label, column, prompts, known)]
            lines.append((line.label, *cells))
            continue
        lines.append((line.label, *_line(sheet, line.label, prompts, row, known)))
        for role, control in sheet.controls(line, row):
            lines.append((f"    {CONTROLS[role]}", *_line(sheet, "", prompts, control, known)))
    heads = ["", "n", "predictions", "evaluations", "seconds"]
    for column in spec.columns:
        heads += [sheet.head(column), *(["printed"] if known else [])]
    return Table(f"{spec.title}{': ' if prompts else ''}{prompts}", tuple(heads), tuple(lines))


def _line(sheet: Sheet, label: str, prompts: str, row: Row, known: bool) -> Iterator[Value]:
    found = [sheet.found(label, column, prompts, row) for column in sheet.spec.columns]
    yield max((one.n for one in found), default=0)
    yield from (row.predictions, row.evals, sheet.results.seconds(row))
    for column, one in zip(sheet.spec.columns, found, strict=True):
        yield None if math.isnan(one.value.value) else one.value
        yield from _printed(sheet, label, column, prompts, known)


def _printed(sheet: Sheet, label: str, column: Column, prompts: str, known: bool) -> Iterator[Value]:
    if known:
        said = sheet.said(label, column, prompts)
        yield said.text + (" (!)" if said.erratum else "") if said else None


def _orders(spec: Spec, found: list[Judged]) -> Table:
    lines = []
    for one, p, status in found:
        rate = Interval(*(100 * x for x in one.rate)) if one.rate else None
        smallest = None if math.isnan(one.smallest) else f"{one.smallest:.2g}"
        lines.append((one.claim, one.column, one.against, one.n, one.difference, rate, f"{p:.2g}", smallest, status))
    return Table(f"{spec.title}: paired differences, positive as claimed", HEAD, tuple(lines))


def _verdicts(sheet: Sheet, found: list[Judged]) -> Iterator[Verdict]:
    spec = sheet.spec
    for claim in spec.claims:
        mine = [one for one in found if one.order.claim == _said(claim)]
        if not mine:
            rows = [sheet.row(label, prompts) for label in (claim.better, claim.worse) for prompts in spec.sets]
            lacking = next((row for row in rows if row is None or not sheet.there(row)), None)
            yield Verdict(_said(claim), sheet.fate(lacking))
            continue
        yield verdict(_said(claim), mine)
    for line in spec.rows:
        by_role: Mapping[str, list[Judged]] = {
            role: [o for o in found if o.order.claim == f"{line.label} > its controls" and o.order.against == role]
            for role in CONTROLS.values()
        }
        for role, mine in by_role.items():
            if mine:
                yield verdict(f"{line.label} > {role} (a control, not the paper's)", mine)._replace(control=True)


def _numbers(sheet: Sheet) -> Iterator[tuple[Value, ...]]:
    """Each printed number beside ours: reproduced to its rounding, within our interval, or not."""
    for prompts in sheet.spec.sets:
        for line in sheet.spec.rows:
            row = sheet.row(line, prompts)
            for column in sheet.spec.columns:
                said = sheet.said(line.label, column, prompts)
                if said is None:
                    continue
                head = sheet.spec.head(column, prompts)
                if row is None or not sheet.there(row):
                    yield line.label, head, None, said.text, None, NOT_RUN
                    continue
                found = sheet.found(line.label, column, prompts, row).value
                off = found.value - said.value
                status = REPRODUCED if abs(off) <= said.rounding else DIFFERS
                if status == DIFFERS and found.low <= said.value <= found.high:
                    status = WITHIN
                yield line.label, head, found, said.text, f"{off:+.3g}", status if not math.isnan(off) else NOT_RUN


__all__ = ["Sheet", "compared", "view"]
