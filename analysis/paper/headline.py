"""The two numbers of the paper's abstract and introduction: the best winning rate, and the time that is saved."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from zz.analysis.paper.spec import Spec
from zz.analysis.paper.table import Sheet
from zz.lab.results import Results
from zz.lab.scales import StandIns
from zz.lab.stats import Interval
from zz.lab.store.manifest import Row
from zz.lab.view import (
    CONTRADICTED,
    DIFFERS,
    HOLDS,
    NO_STAND_IN,
    NOT_RUN,
    UNDECIDED,
    WITHIN,
    Table,
    Value,
    Verdict,
    View,
)

FEWEST = 20  # prompts that draws of them can stand for others
DRAWS = 2000  # of prompts, for the interval of what is saved
PRINTED_RATE, PRINTED_SAVED = 94.0, 36.0


def view(results: Results, claim: str, rates: Spec, costs: Spec, stand_ins: StandIns) -> View:
    """A table and a verdict for each.

    rates: rows of which the best winning rate is taken
    costs: standard sampling and zigzag at several costs, labelled `Standard...` and `Z-Sampling...`
    """
    tables, verdicts = [], []
    for make in (lambda: _rate(results, rates, stand_ins), lambda: _saved(results, costs, stand_ins)):
        table, verdict = make()
        verdicts.append(verdict)
        tables += [table] if table else []
    return View("Headline numbers", claim, tuple(tables), tuple(verdicts))


def _rate(results: Results, spec: Spec, stand_ins: StandIns) -> tuple[Table | None, Verdict]:
    sheet = Sheet(spec, results, stand_ins)
    column = next(c for c in sheet.spec.columns if c.quantity == "wins")
    found = {}
    for line in spec.rows:
        row = sheet.row(line, "")
        if row is not None and sheet.there(row) and line.label in spec.against:
            found[line.label] = sheet.found(line.label, column, "", row)
    claim = f"The winning rate over standard sampling goes up to {PRINTED_RATE:.0f} %"
    if not found:
        return None, Verdict(claim, NO_STAND_IN if sheet.scale in ("mini", "smoke") else NOT_RUN)
    best = max(found, key=lambda label: found[label].value.value)
    rate = found[best].value
    status = WITHIN if rate.low <= PRINTED_RATE <= rate.high else DIFFERS
    lines = tuple((label, one.value, one.n) for label, one in found.items())
    said = f"best of {len(found)}: {rate.value:.0f} % [{rate.low:.0f}, {rate.high:.0f}], {best}"
    return Table("Winning rates over standard sampling, %", ("", "rate", "n"), lines), Verdict(claim, status, said)


def _saved(results: Results, spec: Spec, stand_ins: StandIns) -> tuple[Table | None, Verdict]:
    sheet = Sheet(spec, results, stand_ins)
    scorer = sheet.mine(sheet.spec.columns[0])
    sides: dict[str, list[tuple[Row, Mapping[int, float]]]] = {"Standard": [], "Z-Sampling": []}
    for line in spec.rows:
        row = sheet.row(line, "")
        if row is None or not sheet.there(row) or "ref_0_22" in line.label:
            continue
        sides["Standard" if line.label.startswith("Standard") else "Z-Sampling"].append(
            (row, results.scores(row, scorer))
        )
    claim = f"Zigzag reaches the best of standard sampling with {PRINTED_SAVED:.0f} % less"
    if not all(sides.values()):
        return None, Verdict(claim, NOT_RUN)
    both = sorted(set.intersection(*(set(scores) for side in sides.values() for _, scores in side)))
    costs = {name: np.array([row.evals for row, _ in side]) for name, side in sides.items()}
    values = {name: np.array([[scores[e] for e in both] for _, scores in side]) for name, side in sides.items()}
    rng = np.random.default_rng(0)
    drawn = [saved(costs, values, rng.integers(0, len(both), len(both))) for _ in range(DRAWS)]
    seen = saved(costs, values, np.arange(len(both)))
    reached = np.array([x for x in drawn if not math.isnan(x)])
    often = len(reached) / DRAWS
    span = Interval(seen, *np.percentile(reached, (2.5, 97.5))) if len(reached) else Interval(seen, math.nan, math.nan)
    lines: list[tuple[Value, ...]] = [
        (row.labels[0] if row.labels else row.title, row.evals, results.mean(row, scorer), len(both))
        for side in sides.values()
        for row, _ in side
    ]
    said = f"it reaches it in {100 * often:.0f} % of {DRAWS:,} draws of {len(both)} prompts"
    if len(reached):
        all_of_them = (
            "not on all of them" if math.isnan(seen) else f"on all of them with {seen:.0f} % fewer evaluations"
        )
        said += f", {all_of_them}; where it does, [{span.low:.0f}, {span.high:.0f}] % fewer"
    status = UNDECIDED
    if len(both) < FEWEST:
        said += f"; fewer than {FEWEST} prompts decide nothing"
    elif often > 0.975 and span.low > 0:
        status = HOLDS if span.high >= PRINTED_SAVED else DIFFERS
    elif often < 0.025 or span.high < 0:
        status = CONTRADICTED
    heads = ("", "evaluations", sheet.head(sheet.spec.columns[0]), "n")
    return Table("Score by cost", heads, tuple(lines)), Verdict(claim, status, said)


def saved(
    costs: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray], chosen: Sequence[int] | np.ndarray
) -> float:
    """How much less, in percent, the cheapest zigzag costs that is as good as the best standard sampling; nan if none.

    costs:  by side, of each setting
    values: by side, (settings, prompts)
    chosen: the prompts that are looked at
    """
    standard, zigzag = (values[name][:, chosen].mean(1) for name in ("Standard", "Z-Sampling"))
    best = int(standard.argmax())
    as_good = costs["Z-Sampling"][zigzag >= standard[best]]
    return float(100 * (1 - as_good.min() / costs["Standard"][best])) if len(as_good) else math.nan


__all__ = ["saved", "view"]
