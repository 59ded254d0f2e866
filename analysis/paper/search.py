"""Table 14: the best guidance of each method, chosen on the reported prompts, and on prompts apart from them."""

import math
from collections.abc import Sequence

from zz.analysis.paper.claims import Order, judged, order, verdict
from zz.analysis.paper.spec import Spec
from zz.analysis.paper.table import Sheet
from zz.lab.results import Results
from zz.lab.scales import StandIns
from zz.lab.stats import Interval
from zz.lab.store.manifest import Row
from zz.lab.view import NO_STAND_IN, Table, Value, Verdict, View

REPORTED, HELD_OUT = "reported", "held out"
CHOSEN_ON = {REPORTED: "on the reported prompts, as the paper did", HELD_OUT: "on held-out prompts"}


def view(results: Results, spec: Spec, stand_ins: StandIns, models: Sequence[str], methods: Sequence[str]) -> View:
    """A table for each way to choose: each method at its best guidance by the first column, on the reported prompts."""
    sheet = Sheet(spec, results, stand_ins)
    spec = sheet.spec
    tables, orders, verdicts = [], list[tuple[str, Order]](), list[Verdict]()
    tables.append(_curve(sheet))
    for chosen_on, how in CHOSEN_ON.items():
        lines: list[tuple[Value, ...]] = []
        for model in models:
            best = {method: _best(sheet, f"{model} | {method}", chosen_on) for method in methods}
            for method, found in best.items():
                name = f"{model} | {method}"
                printed = [sheet.printed.get((name, column.head)) for column in spec.columns]
                said = [one.text if one else None for one in printed]
                if found is None:
                    blank: list[Value] = [x for one in said for x in (None, one)]
                    lines.append((name, sheet.fate(sheet.row(f"{name} | 0", REPORTED)), *blank))
                    continue
                gamma, label = found
                row = sheet.row(label, REPORTED)
                assert row is not None
                values: list[Value] = []
                for column, one in zip(spec.columns, said, strict=True):
                    if column.quantity == "wins":
                        standard = best["Standard"]
                        against = sheet.row(standard[1], REPORTED) if standard else None
                        same = against is None or against.id == row.id
                        mine = sheet.scorer_of(column.scorer)
                        rate = None if same or against is None else results.compare(row, against, mine).rate
                        values += [Interval(*(100 * x for x in rate)) if rate else None, one]
                    else:
                        x = sheet.found(label, column, REPORTED, row).value
                        values += [None if math.isnan(x.value) else x, one]
                lines.append((name, f"{gamma:g}", *values))
            if best["Standard"] and best["Z-Sampling"]:
                ours, theirs = (sheet.row(best[m][1], REPORTED) for m in ("Z-Sampling", "Standard"))  # type: ignore[index]
                assert ours is not None and theirs is not None
                for column in (c for c in spec.columns if c.quantity == "mean"):
                    said_so = f"{model}: Z-Sampling > Standard, best against best, {how}"
                    mine = sheet.scorer_of(column.scorer)
                    one_order = order(results, said_so, ours, theirs, column, mine, column.head, "Standard")
                    orders += [(said_so, one_order)] if one_order else []
            elif sheet.scale in ("mini", "smoke"):
                verdicts.append(Verdict(f"{model}: Z-Sampling > Standard, best against best, {how}", NO_STAND_IN))
        heads = ["", "gamma1"] + [text for column in spec.columns for text in (sheet.head(column), "printed")]
        tables.append(Table(f"{spec.title}: guidance chosen {how}", tuple(heads), tuple(lines)))
    found_all = judged([one for _, one in orders])
    for claim in dict.fromkeys(claim for claim, _ in orders):
        verdicts.append(verdict(claim, [one for one in found_all if one.order.claim == claim]))
    notes = tuple(f"Not said by the paper: {text}" for text in spec.unknown)
    return View(spec.title, spec.claim, tuple(tables), tuple(verdicts), (), notes)


def _scored(sheet: Sheet, label: str, prompts: str) -> tuple[float, Row] | None:
    row = sheet.row(label, prompts)
    if row is None or not sheet.there(row):
        return None
    found = sheet.found(label, sheet.spec.columns[0], prompts, row).value.value
    return None if math.isnan(found) else (found, row)


def _best(sheet: Sheet, head: str, prompts: str) -> tuple[float, str] | None:
    """The guidance, and the label, of a method's best row by the first column; None where it has none."""
    found = []
    for line in sheet.spec.rows:
        if line.label.rpartition(" | ")[0] == head and (scored := _scored(sheet, line.label, prompts)):
            found.append((scored[0], _gamma(sheet, scored[1]), line.label))
    return max(found, key=lambda one: one[0])[1:] if found else None


def _gamma(sheet: Sheet, row: Row) -> float:
    return float(sheet.results.store.cell(row.cell)[0].ledger["sampler"]["gamma1"])


def _curve(sheet: Sheet) -> Table:
    """What was searched over: the first column of each method by guidance, on both prompt sets."""
    column, lines = sheet.spec.columns[0], list[tuple[Value, ...]]()
    for line in sheet.spec.rows:
        both = [sheet.row(line, prompts) for prompts in (REPORTED, HELD_OUT)]
        if any(row is None or not sheet.there(row) for row in both):
            continue
        values: list[Value] = []
        for row, prompts in zip(both, (REPORTED, HELD_OUT), strict=True):
            assert row is not None
            one = sheet.found(line.label, column, prompts, row)
            values += [one.value, one.n]
        assert both[0] is not None
        lines.append((line.label.rpartition(" | ")[0], f"{_gamma(sheet, both[0]):g}", *values))
    heads = ("", "gamma1", f"{sheet.head(column)}, reported", "n", f"{sheet.head(column)}, held out", "n")
    return Table(f"{sheet.spec.title}: the search", heads, tuple(lines))


__all__ = ["view"]
