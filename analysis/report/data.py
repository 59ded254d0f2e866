"""What a page's script reads: places, scores, thumbnails and paired differences, as JSON of few bytes."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zz.analysis.report.cells import RowFacts
from zz.analysis.report.differences import Difference, all_pairs, controls
from zz.analysis.report.places import Board, Place
from zz.analysis.report.thumbnails import Thumbnails
from zz.lab.grid import text
from zz.lab.results import Results

UNSAFE = ("nsfw", "unsafe", "not_safe_for_work")  # fields of meta that say that a prompt is not safe for work
VALUES = 40  # that a field of meta has at most to be filtered by
SHORT = 60  # letters that such a value has at most


@dataclass
class Pool:
    """The places of all manifests of a page, each once."""

    places: list[Place] = field(default_factory=list)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, place: Place) -> int:
        """The place's number."""
        key = place.name, json.dumps(place.prompt.meta, sort_keys=True, default=str)
        if key not in self.numbers:
            self.numbers[key] = len(self.places)
            self.places.append(place)
        return self.numbers[key]

    def fields(self) -> dict[str, list[str]]:
        """Fields of meta that tell few kinds of prompts apart, and their values."""
        found: dict[str, dict[str, None]] = {}
        for place in self.places:
            for name, value in place.prompt.meta.items():
                if isinstance(value, str | int | float | bool):
                    found.setdefault(name, {})[text(value)] = None
        return {
            name: sorted(values)
            for name, values in found.items()
            if 1 < len(values) <= VALUES and max(map(len, values)) <= SHORT
        }

    def record(self) -> dict[str, Any]:
        """Texts, places and fields."""
        texts = list(dict.fromkeys(place.prompt.text for place in self.places))
        number = {text: i for i, text in enumerate(texts)}
        fields = self.fields()
        index = {name: {value: i for i, value in enumerate(values)} for name, values in fields.items()}
        places = []
        for place in self.places:
            meta = place.prompt.meta
            values = [index[name].get(text(meta[name]), -1) if name in meta else -1 for name in fields]
            places.append([number[place.prompt.text], place.seed, place.name, int(unsafe(meta)), values])
        return {"texts": texts, "places": places, "fields": [[name, values] for name, values in fields.items()]}


def unsafe(meta: Mapping[str, Any]) -> bool:
    """Whether a prompt's meta says that it is not safe for work."""
    return any(str(meta.get(name, "")).lower() in ("true", "1", "yes", "nsfw", "unsafe") for name in UNSAFE)


def record_of(
    results: Results,
    facts: Sequence[RowFacts],
    board: Board,
    kept: Sequence[int],
    differences: Iterable[Difference],
    pool: Pool,
    thumbnails: Thumbnails,
) -> dict[str, Any]:
    """A manifest, at the places that are kept, whose thumbnails are made."""
    rows, at = results.manifest.rows, np.array(kept, dtype=int)
    order, made = {name: i for i, name in enumerate(results.metrics)}, thumbnails.made
    return {
        "name": results.manifest.id,
        "rows": [
            [row.id, row.title, row.role, about.model, row.cell, about.frames] for row, about in _with(rows, facts)
        ],
        "controls": list(controls(results)),
        "alone": int(all_pairs(results)),
        "scores": [[name, about["unit"], better(about), about["kind"]] for name, about in results.metrics.items()],
        "costs": [[row.predictions, row.evals] for row in rows],
        "places": [pool.add(board.places[p]) for p in kept],
        "thumbs": [[made.get((row.cell, own[p] or ""), -1) for p in kept] for row, own in _with(rows, board.names)],
        "names": {i: [own[p] for p in kept] for i, own in enumerate(board.names) if _own(board, own, kept)},
        "points": {order[name]: [list(map(short, line[at])) for line in x] for name, x in board.points.items()},
        "diffs": [[order[d.score], d.row, d.against, d.n, *map(short, d.difference)] for d in differences],
    }


def better(about: Mapping[str, Any]) -> int:
    """1 where higher is better, -1 where lower is, 0 where neither."""
    return {True: 1, False: -1}.get(about["higher_is_better"], 0)


def short(x: float) -> float | None:
    """A number in six digits; None for what is no number, and for what has no bound."""
    if not math.isfinite(x):
        return None
    found = float(f"{x:.6g}")
    return int(found) if found.is_integer() else found


def dumped(record: Any) -> str:
    """JSON that may stand inside a script element, whatever is in its texts."""
    found = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (
        found.replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _own(board: Board, names: Sequence[str | None], kept: Sequence[int]) -> bool:
    """Whether a row's pictures have other names than those of the places."""
    return any(names[p] not in (None, board.places[p].name) for p in kept)


def _with(rows: Sequence[Any], others: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(rows, others, strict=True)


__all__ = ["Pool", "dumped", "record_of", "short", "unsafe"]
