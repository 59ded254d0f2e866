"""What a store holds of a row, as numbers for a logger: by slot, by step of sampling, as a whole; and pictures.

All of it is read from the store, so that a run's numbers are the same whether they are sent while it works, when it is
resumed elsewhere, or a year later by zz.log. What is not finite is left out.
"""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL.Image import Image

from zz.data.base import Picture
from zz.lab.cell import Cell
from zz.lab.grid import Value, fields_of, short, text
from zz.lab.measurements.effective_guidance import EffectiveGuidance
from zz.lab.measurements.reflections import TheoremTerms
from zz.lab.results import Comparison, Results
from zz.lab.stats import Interval, mean
from zz.lab.store.atomic import scan
from zz.lab.store.manifest import Row
from zz.lab.store.store import Store

Numbers = dict[str, float]

# Of a reflection's leg: |tau1|^2, |tau2|^2, and its share of Theorem 2's sum, of which delta is the total.
THEOREMS = {"tau1": "tau1", "tau2": "tau2", "gain": "delta"}

SIDE = 384  # pixels of a preview's longer side, at most
OVER = ("score/", "winning/")  # what is shown over a field that was swept


class SlotEvents:
    """The slots of a row as its cell's event log tells them, whoever made them: what is new at each reading."""

    def __init__(self, path: Path, row: str) -> None:
        self.path, self.row = path, row
        self.found: list[Numbers] = []
        self._read, self._made = 0, set[str]()

    def read(self) -> list[Numbers]:
        """All of them, by now. A line that is torn, or not yet whole, is none."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                with contextlib.suppress(ValueError):
                    self._add(json.loads(line))
        return self.found

    def _add(self, event: Any) -> None:
        if not isinstance(event, dict) or (event.get("event"), event.get("row")) != ("slot", self.row):
            return
        made, seconds = event.get("pictures") or [], event.get("seconds") or math.nan
        if not made:  # it was measured only
            return
        self._made.update(made)
        numbers = {"images": len(self._made), "throughput/images_per_second": len(made) / seconds}
        for name, key in (("predictions", "made/predictions"), ("evals", "made/evals")):
            if name in event:
                numbers[key] = event[name]
        if event.get("peak_bytes"):
            numbers["memory/peak_gb"] = event["peak_bytes"] / 1e9
        self.found.append(finite(numbers))


def about(store: Store, row: Row, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a row is: the fields of its recipe, where it is in the store, the configuration that asked for it."""
    fields = fields_of(store, row)
    named = {"dataset": row.dataset, "n": row.wanted, "repeats": row.repeats, "role": row.role, "title": row.title}
    where = {"row": row.id, "cell": row.cell, "labels": list(row.labels)}
    return {**short(fields), **named, **where, "recipe": fields, "config": dict(config or {})}


def whole(results: Results, row: Row, comparisons: Sequence[Comparison]) -> Numbers:
    """Means, set metrics and winning rates with their 95 % intervals; predictions, evaluations and seconds an image."""
    found: Numbers = {
        "cost/images": results.there(row),
        "cost/predictions": row.predictions,
        "cost/evals": row.evals,
        "cost/seconds": results.seconds(row) or math.nan,
    }
    for name in row.scorers or {}:
        found |= _interval(f"score/{name}", results.mean(row, name))
        found[f"score/{name}/n"] = results.scored(row, name)
    for one in comparisons:
        if one.row.id == row.id:
            found |= _interval(f"winning/{one.score}/{one.role}", one.winning.rate)
            found |= _interval(f"difference/{one.score}/{one.role}", one.winning.difference)
            found[f"winning/{one.score}/{one.role}/n"] = one.winning.n
    return finite(found)


def curves(results: Results, row: Row) -> list[Numbers]:
    """By step of sampling: tau1, tau2, delta and omega_e as far as they were measured, each a mean over pictures."""
    by_step: dict[int, dict[str, list[float]]] = {}

    def add(steps: Iterable[float], name: str, values: Iterable[float]) -> None:
        for step, value in zip(steps, values, strict=True):
            by_step.setdefault(int(step), {}).setdefault(name, []).append(float(value))

    for picture in results.pictures(row):
        if found := results.measured(row, TheoremTerms.name, picture):
            for name, shown in THEOREMS.items():
                add(found["step"], shown, found[name])
        if (found := results.measured(row, EffectiveGuidance.name, picture)) and "kept" in found:
            kept = found["kept"].astype(bool)
            add(found["step"][kept], "omega_e", found["projected"][kept])
    lines: list[Numbers] = []
    for step, values in sorted(by_step.items()):
        line: Numbers = {"sampling_step": step}
        for name, some in values.items():
            line |= _interval(f"trajectory/{name}", mean(some))
        lines.append(finite(line))
    return lines


def measured(store: Store, row: Row) -> list[tuple[str, int]]:
    """Which measurements there are of a row's cell, and of how many pictures: whether curves have changed."""
    cell = store.cell(row.cell)[0]
    return [
        (name, len(scan(store.folder(cell) / "measured" / name, ".npz")))
        for name in store.measurements(cell)
        if name.rpartition("-")[0] in (TheoremTerms.name, EffectiveGuidance.name)
    ]


class Pair(NamedTuple):
    """One prompt and seed: a picture by each of some rows, and what each scored."""

    picture: Picture
    images: Mapping[str, Image]  # by the row's role; the row itself: "this"
    scores: Mapping[str, float]  # by role and score, "this: hps_v21"


def partners(results: Results, row: Row) -> dict[str, Row]:
    """A row and its controls, by role: standard sampling first."""
    controls = dict(results.manifest.controls_of(row))
    first = {"standard": controls.pop("standard")} if "standard" in controls else {}
    return {**first, "this": row, **controls}


def common(results: Results, rows: Mapping[str, Row], most: int) -> list[Picture]:
    """The first pictures that all of these rows have."""
    store, found = results.store, list[Picture]()
    there = [store.names(_cell(store, one)) for one in rows.values()]
    for picture in results.pictures(rows["this"]):
        if len(found) == most:
            break
        if all(picture.name in names for names in there):
            found.append(picture)
    return found


def pairs(results: Results, rows: Mapping[str, Row], pictures: Sequence[Picture]) -> list[Pair]:
    """These pictures side by side."""
    found = []
    for picture in pictures:
        images = {role: results.store.image(_cell(results.store, one), picture.name) for role, one in rows.items()}
        scores: Numbers = {}
        for role, one in rows.items():
            for name, about_it in (one.scorers or {}).items():
                if about_it["kind"] == "image" and one.prompts == rows["this"].prompts:
                    scores[f"{role}: {name}"] = float(results.values(one, name)[picture.entry, picture.repeat])
        found.append(Pair(picture, images, finite(scores)))
    return found


def preview(image: Image) -> Image:
    """A picture as it is shown beside others: the picture itself is in the store."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return small


def sweeps(results: Results) -> list[tuple[str, list[Numbers]]]:
    """Each field that the rows asked for differ in by number, such as gamma2: their scores over it, all else equal.

    One curve for each choice of the other fields: its name says them.
    """
    asked = [row for row in results.manifest.rows if row.role == "asked"]
    fields = {row.id: short(fields_of(results.store, row)) for row in asked}
    names = dict.fromkeys(name for row in asked for name in fields[row.id])
    differ = [name for name in names if len({text(fields[row.id].get(name)) for row in asked}) > 1]
    comparisons, found = results.comparisons(), list[tuple[str, list[Numbers]]]()
    for name in (n for n in differ if all(_number(fields[row.id].get(n)) for row in asked if n in fields[row.id])):
        groups: dict[str, list[Row]] = {}
        for row in (row for row in asked if name in fields[row.id]):
            others = [f"{other}={text(fields[row.id].get(other))}" for other in differ if other != name]
            groups.setdefault(" ".join(others), []).append(row)
        for rest, rows in groups.items():
            if len({fields[row.id][name] for row in rows}) == len(rows) > 1:
                label = f"{name} ({rest})" if rest else name
                found.append((label, [_point(results, row, name, fields[row.id], comparisons) for row in rows]))
    return found


def _point(
    results: Results, row: Row, name: str, fields: Mapping[str, Value], comparisons: Sequence[Comparison]
) -> Numbers:
    numbers = {n.removeprefix("score/"): x for n, x in whole(results, row, comparisons).items() if n.startswith(OVER)}
    return {name: float(fields[name]), **numbers}


def _number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _interval(name: str, x: Interval) -> Numbers:
    return {name: x.value, f"{name}/low": x.low, f"{name}/high": x.high}


def finite(numbers: Mapping[str, float]) -> Numbers:
    """Those that are finite, as floats."""
    return {name: float(x) for name, x in numbers.items() if math.isfinite(x)}


def _cell(store: Store, row: Row) -> Cell:
    return store.cell(row.cell)[0]
