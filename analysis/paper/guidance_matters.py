"""Winning rates over standard sampling at the same scale, and at the effective guidance that was measured."""

from collections.abc import Mapping, Sequence

import numpy as np

from zz.analysis.paper.spec import Spec
from zz.analysis.paper.table import Sheet
from zz.analysis.paper.values import measured
from zz.lab.results import Results
from zz.lab.scales import StandIns
from zz.lab.stats import TIE, Interval, mean, share
from zz.lab.store.manifest import Row
from zz.lab.view import CONTRADICTED, DIFFERS, HOLDS, NOT_RUN, UNDECIDED, WITHIN, Table, Value, Verdict, View

OVER = ("winning rate over CFG", "winning rate over e-CFG")
HEAD = (
    *("", "n", "omega_e", "printed", "|v| / |d|", "steps left out", "2 gamma1 - gamma2"),
    *("over CFG, %", "printed", "over e-CFG, %", "printed", "d_eta, points"),
)
Wins = Mapping[int, float]  # prompt -> its winning rate


def view(results: Results, spec: Spec, stand_ins: StandIns) -> View:
    """A table for each prompt set, the means over the scores; another with each score; and what is claimed.

    The first row is standard sampling, which the others are compared with.
    """
    sheet = Sheet(spec, results, stand_ins)
    tables, each, verdicts = list[Table](), list[tuple[Value, ...]](), list[Verdict]()
    for prompts in spec.sets:
        lines = list[tuple[Value, ...]]()
        for line in spec.rows:
            row, name = sheet.row(line, prompts), spec.label(line.label, prompts)
            if row is None or not sheet.there(row):
                lines.append((line.label, sheet.fate(row), *([None] * (len(HEAD) - 2))))
                verdicts.append(Verdict(f"{name}: measured", sheet.fate(row)))
                continue
            found = _Found(sheet, row, prompts)
            lines.append((line.label, *found.shown(sheet, line.label, prompts)))
            each += [(name, sheet.head(column), *found.of_score(sheet.mine(column))) for column in spec.columns]
            if line != spec.rows[0]:
                verdicts += found.verdicts(name, "Z-Sampling" in line.label)
        tables.append(Table(f"{spec.title}: {prompts}, means over the scores", HEAD, tuple(lines)))
    heads = ("", "score", "over CFG, %", "over e-CFG, %", "d_eta, points")
    tables.append(Table(f"{spec.title}: each score", heads, tuple(each)))
    notes = [f"Not said: {text}" for text in spec.unknown]
    notes.append("Intervals are 95 % over prompts; verdicts rest on them, and are not corrected for their number")
    return View(spec.title, spec.claim, tuple(tables), tuple(verdicts), (), tuple(notes))


class _Found:
    """What is known of one row: its scale by picture, and its wins by prompt over both controls."""

    def __init__(self, sheet: Sheet, row: Row, prompts: str) -> None:
        self.results, self.row = sheet.results, row
        self.standard = sheet.row(sheet.spec.rows[0], prompts)
        controls = dict(self.results.manifest.controls_of(row))
        self.e_cfg = row if row == self.standard else controls.get("e_cfg")  # standard sampling is its own
        self.scorers = tuple(dict.fromkeys(map(sheet.mine, sheet.spec.columns)))
        self.omega, self.whole, self.left_out = (
            measured(self.results, row, f"effective_guidance.{name}") for name in ("omega_e", "omega_v", "left_out")
        )

    def wins(self, against: Row | None, scorers: Sequence[str]) -> Wins:
        """By prompt, the mean over scores and pictures of 1, 1/2 and 0."""
        if against is None:
            return {}
        found = [won(self.results, self.row, against, scorer) for scorer in scorers]
        return {entry: float(np.mean([one[entry] for one in found])) for entry in set.intersection(*map(set, found))}

    def of_score(self, *scorers: str) -> tuple[Value, Value, Value]:
        """Both rates, and by how much they differ, in points."""
        plain, effective = (self.wins(against, scorers) for against in (self.standard, self.e_cfg))
        return rate(plain), rate(effective), fall(plain, effective)

    def shown(self, sheet: Sheet, label: str, prompts: str) -> tuple[Value, ...]:
        """Its line, after the label."""
        plain, effective, lost = self.of_score(*self.scorers)
        said = [sheet.printed.get((label, f"{prompts} | {head}")) for head in ("omega_e", *OVER)]
        texts = [one.text if one else None for one in said]
        omega, whole, left_out = (
            mean(list(some.values())) if some else None for some in (self.omega, self.whole, self.left_out)
        )
        n, first = len(self.wins(self.standard, self.scorers)), self.first_order
        expected = None if first is None else f"{first:g}"
        return n, omega, texts[0], whole, left_out, expected, plain, texts[1], effective, texts[2], lost

    @property
    def first_order(self) -> float | None:
        """2 gamma1 - gamma2 of zigzag, gamma1 of standard sampling, by classifier-free guidance; None: of others."""
        ledger = self.results.store.cell(self.row.cell)[0].ledger
        sampler, guidance = ledger["sampler"], ledger["guidance"]
        if guidance["is"] != "CFG" or guidance["rescale"]:
            return None
        if sampler["is"] == "Zigzag" and (sampler["k"], sampler["rounds"]) == (1, 1):
            return 2 * float(sampler["gamma1"]) - float(sampler["gamma2"])
        return float(sampler["gamma1"]) if sampler["is"] == "Standard" else None

    def verdicts(self, name: str, zigzag: bool) -> list[Verdict]:
        """Of each method that its rate falls; of zigzag also that it is ahead all the same, and the first order."""
        _, effective, lost = self.of_score(*self.scorers)
        found = [_above(f"{name}: its winning rate falls at equal effective guidance", lost, 0, "points")]
        if zigzag:
            found.append(_above(f"{name}: it is ahead of e-CFG", effective, 50, "%"))
            claim, first = f"{name}: omega_e is 2 gamma1 - gamma2", self.first_order
            if first is None or not self.omega:
                return [*found, Verdict(claim, NOT_RUN)]
            omega = mean(list(self.omega.values()))
            status = WITHIN if omega.low <= first <= omega.high else DIFFERS
            said = f"{omega.value:.2f} [{omega.low:.2f}, {omega.high:.2f}] where the first order says {first:g}"
            found.append(Verdict(claim, status, said))
        return found


def won(results: Results, ours: Row, theirs: Row, scorer: str) -> Wins:
    """By prompt, how many of its pictures beat those of the same seed; ties count one half."""
    if scorer not in (ours.scorers or {}) or scorer not in (theirs.scorers or {}):
        return {}
    a, b = (results.by_picture(row, scorer) for row in (ours, theirs))
    sign = 1 if results.metrics[scorer]["higher_is_better"] else -1
    better = {entry: sign * (np.array(a[entry]) - np.array(b[entry])) for entry in a.keys() & b.keys()}
    return {entry: float(np.mean((1.0 + (d > TIE) - (d < -TIE)) / 2)) for entry, d in better.items()}


def rate(wins: Wins) -> Interval | None:
    """In percent; None where nothing was compared."""
    return Interval(*(100 * x for x in share(list(wins.values())))) if wins else None


def fall(plain: Wins, effective: Wins) -> Interval | None:
    """d_eta in points: by how much the rate falls, prompt by prompt, with the interval of a share."""
    both = sorted(plain.keys() & effective.keys())
    found = share([(1 + plain[entry] - effective[entry]) / 2 for entry in both]) if both else None
    return Interval(*(100 * (2 * x - 1) for x in found)) if found else None


def _above(claim: str, found: Value, least: float, unit: str) -> Verdict:
    if not isinstance(found, Interval):
        return Verdict(claim, NOT_RUN)
    status = HOLDS if found.low > least else CONTRADICTED if found.high < least else UNDECIDED
    return Verdict(claim, status, f"{found.value:.1f} {unit} [{found.low:.1f}, {found.high:.1f}]")


__all__ = ["fall", "rate", "view", "won"]
