"""Two scorers beside each other: how far apart they are on the same pictures."""

from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any

from rich.console import Console
from rich.table import Table

from zz.cli.conf import Refusal
from zz.cli.terminal.tables import numbered
from zz.lab.results import Results
from zz.lab.scoring.parity import parity
from zz.lab.store.manifest import Row
from zz.scorers.base import ImageScorer, Metric


def check_parity(names: Any, metrics: Mapping[str, Metric]) -> list[str]:
    """The two scorers that `parity=` names; none if it names none."""
    if not names:
        return []
    if not isinstance(names, list | tuple) or len(names) != 2 or len(set(names)) < 2:
        raise Refusal(f"parity={names} must be two scorers, such as [hps_v21,hpsv2_official]")
    for name in names:
        if name not in metrics:
            named = ",".join(dict.fromkeys([*metrics, *names]))
            raise Refusal(f"parity={name} is none of the scorers asked for; name it there too: scorers=[{named}]")
        if not isinstance(metrics[name], ImageScorer):
            raise Refusal(f"parity={name} is of a set of pictures; parity is of scorers of one picture")
    first, second = (metrics[name].unit for name in names)
    if first != second:
        raise Refusal(f"parity={list(names)}: one says {first}, the other {second}; give both one scale")
    return list(names)


def show_parity(out: Console, results: Results, names: Sequence[str]) -> None:
    """A line a row: the largest and the mean difference, and the picture that has the largest."""
    ours, theirs = names
    table = Table(title=f"{ours} - {theirs}")
    for head in ("pictures", "largest", "at", "mean", "shift", "only one has"):
        table.add_column(head, justify="left" if head == "at" else "right")
    rows = [row for row in results.manifest.rows if {ours, theirs} <= set(row.scorers or {})]
    lines = []
    for row in rows:
        one = parity(_by_picture(results, row, ours), _by_picture(results, row, theirs))
        shown = ["-" if isnan(x) else f"{x:.2g}" for x in (one.largest, one.mean, one.shift)]
        only = str(one.only_ours + one.only_theirs)
        lines.append([str(one.pictures), shown[0], one.at or "", shown[1], shown[2], only])
    numbered(out, table, [row.title for row in rows], lines, "cell")


def _by_picture(results: Results, row: Row, name: str) -> dict[str, float]:
    x = results.values(row, name)
    found = {p.name: float(x[p.entry, p.repeat]) for p in results.pictures(row)}
    return {name: value for name, value in found.items() if isfinite(value)}
