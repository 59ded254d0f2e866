"""Theorems 1 to 3, measured: the latent difference, what the theorems say of it, and the sums that they compare."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from zz.analysis.paper.values import measured
from zz.analysis.plots import curves
from zz.lab.results import Results
from zz.lab.stats import Interval, mean, proportion
from zz.lab.store.manifest import Row
from zz.lab.view import CONTRADICTED, HOLDS, NOT_RUN, UNDECIDED, Figure, Table, Value, Verdict, View

HEAD = (
    *(
        "",
        "gap",
        "n",
        "observed difference",
        "Theorem 2: sum over legs",
        "Theorem 3: predicted",
        "predicted / observed",
    ),
    *("sum of squares", "square of sum", "sum of squares is larger, %"),
)
CLOSE = 1e-3  # relative: an identity in float32


def view(results: Results, title: str, claim: str, heads: Sequence[str], samplers: Sequence[str]) -> View:
    """One line a row, by its gap; the identities, and the inequality that the paper goes on from."""
    lines, figures, verdicts = list[tuple[Value, ...]](), [], list[Verdict]()
    for head in heads:
        drawn = []
        for sampler in samplers:
            rows = _rows(results, f"{head} | {sampler} | ")
            found = [_line(results, label, row) for label, row in rows]
            lines += [line for line, _ in found]
            verdicts += _verdicts(f"{head}, {sampler}", [sums for _, sums in found], sampler == "zigzag")
            if sampler == "zigzag":
                drawn = [sums for _, sums in found if sums["n"]]
        if drawn:
            named = (("zigzag", "observed", "delta"), ("guidance_matched", "predicted by Theorem 3", "semantic"))
            some = [
                curves.Curve(method, label, {one["gap"]: mean(list(one[key].values())) for one in drawn})
                for method, label, key in named
            ]
            draw = partial(_draw, panels=[curves.Panel(head, some, {})])
            caption = f"{head}: the latent difference of zigzag, observed and as Theorem 3 predicts it, by the gap"
            figures.append(Figure(head.lower().replace(" ", "_"), caption, draw))
    return View(title, claim, (Table(title, HEAD, tuple(lines)),), tuple(verdicts), tuple(figures))


def _rows(results: Results, begins: str) -> list[tuple[str, Row]]:
    found = [(label, row) for row in results.manifest.rows for label in row.labels if label.startswith(begins)]
    return [(label, row) for label, row in found if results.there(row)]


def _line(results: Results, label: str, row: Row) -> tuple[tuple[Value, ...], dict[str, Any]]:
    sampler = results.store.cell(row.cell)[0].ledger["sampler"]
    name = label.rpartition(" | ")[0]
    gap = float(sampler["gamma1"]) - float(sampler["gamma2"])
    names = ("delta", "gain", "semantic", "sum_of_squares", "square_of_sum")
    sums: dict[str, Any] = {name: measured(results, row, f"reflections.{name}") for name in names}
    sums |= {"gap": gap, "n": len(sums["delta"])}
    if not sums["n"]:
        return (name, f"{gap:g}", 0, *([None] * 7)), sums
    each = {name: np.array(list(sums[name].values())) for name in names}
    larger = int((each["sum_of_squares"] >= each["square_of_sum"] * (1 - CLOSE)).sum())
    share = Interval(*(100 * x for x in proportion(larger, sums["n"])))
    ratio = mean(each["semantic"] / np.maximum(each["delta"], 1e-30))
    shown = [mean(each[name]) for name in names]
    return (name, f"{gap:g}", sums["n"], shown[0], shown[1], shown[2], ratio, shown[3], shown[4], share), sums


def _verdicts(where: str, found: Sequence[dict[str, Any]], stepwise: bool) -> list[Verdict]:
    some = [one for one in found if one["n"]]
    if not some:
        return [Verdict(f"{where}: measured", NOT_RUN)]
    delta = np.concatenate([list(one["delta"].values()) for one in some])
    verdicts = []
    if stepwise:
        gain = np.concatenate([list(one["gain"].values()) for one in some])
        off = float(np.max(np.abs(gain - delta) / np.maximum(delta, 1e-30)))
        said = f"largest relative difference {off:.1e} over {len(delta)} pictures"
        verdicts.append(Verdict(f"{where}: Theorem 2's identity", HOLDS if off < CLOSE else CONTRADICTED, said))
        wide = [one for one in some if one["gap"] > 0]
        if len(wide) > 1:
            order = [float(np.mean(list(one["delta"].values()))) for one in sorted(wide, key=lambda one: one["gap"])]
            rising = all(a < b for a, b in pairwise(order))
            said = "mean observed difference by rising gap: " + ", ".join(f"{x:.3g}" for x in order)
            verdicts.append(
                Verdict(f"{where}: a wider gap moves the latent more", HOLDS if rising else CONTRADICTED, said)
            )
    squares, square = (
        np.concatenate([list(one[key].values()) for one in some]) for key in ("sum_of_squares", "square_of_sum")
    )
    share = proportion(int((squares >= square * (1 - CLOSE)).sum()), len(squares))
    status = HOLDS if share.value == 1 else CONTRADICTED if share.high < 1 else UNDECIDED
    said = f"of {len(squares)} pictures {100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    verdicts.append(Verdict(f"{where}: the sum of squares is at least the square of the sum", status, said))
    return verdicts


def _draw(out: Any, panels: Any) -> None:
    curves.draw(panels, "gap", "sum over steps of |x_t - x~_t|^2", out)


__all__ = ["view"]
