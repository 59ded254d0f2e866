"""GenEval's rules (Ghosh et al., 2023): what was detected, against what the prompt asks for.

Any detector will do: the rules see classes, boxes, scores and colours only. They are written from the protocol of
the authors' evaluation, and keep its habits: of each class the best-scoring `count` objects are looked at, more than
`count` are no fault unless `exclude` says so, and things that the prompt does not name are ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot
from typing import Any

THRESHOLD, COUNTING_THRESHOLD = 0.3, 0.9  # of Mask2Former's scores; counting asks for more
AT_MOST = 16  # objects of a class
SHRINK = 0.1  # of both objects' widths: so much offset is no offset
TOWARDS = 0.5  # least share of the offset along an axis for a relation


@dataclass(frozen=True)
class Detection:
    """One object that a detector found.

    box:     left, top, right, bottom, y downwards, in pixels
    score:   the detector's confidence, 0..1
    colours: how well each colour fits, 0..1; the best is its colour
    """

    box: tuple[float, float, float, float]
    score: float = 1.0
    colours: Mapping[str, float] = field(default_factory=dict)

    @property
    def colour(self) -> str | None:
        return max(self.colours, key=self.colours.__getitem__, default=None)


Objects = Mapping[str, Sequence[Detection]]  # by class


def kept(objects: Objects, threshold: float = THRESHOLD, at_most: int = AT_MOST) -> dict[str, list[Detection]]:
    """The objects above a score, best first, so many of each class."""
    return {
        name: [d for d in _best_first(found) if d.score > threshold][:at_most]
        for name, found in objects.items()
        if found
    }


def verdict(objects: Objects, meta: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a picture is right, and all that is wrong with it, one line each.

    objects: what counts as detected (see `kept`)
    meta:    GenEval's record: include [{class, count, color?, position? [relation, index of the target]}], exclude
    """
    faults: list[str] = []
    groups: list[list[Detection] | None] = []  # the objects that meet each demand; None where it is not met
    for item in meta.get("include", ()):
        name, count = item["class"], item["count"]
        found = _best_first(objects.get(name, ()))[:count]
        fault = None
        if len(found) < count:
            fault = f"expected at least {count} {name}, found {len(found)}"
        elif "color" in item and (colours := [d.colour for d in found]).count(item["color"]) < count:
            fault = f"expected {count} {name} in {item['color']}, found {', '.join(map(str, colours))}"
        elif "position" in item:
            way, target = item["position"]
            fault = _misplaced(name, found, way, groups[target])
        groups.append(None if fault else found)
        faults += [fault] if fault else []
    for item in meta.get("exclude", ()):
        if (there := len(objects.get(item["class"], ()))) >= item["count"]:
            faults.append(f"expected fewer than {item['count']} {item['class']}, found {there}")
    return not faults, "\n".join(faults)


def relations(a: Detection, b: Detection) -> frozenset[str]:
    """Where a lies as seen from b: none, one or two of left of, right of, above, below."""
    across, down = _offset(a, b)
    named = {"left of": -across, "right of": across, "above": -down, "below": down}
    return frozenset(way for way, share in named.items() if share > TOWARDS)


def alignment(objects: Objects, meta: Mapping[str, Any], low: float = 0.5, high: float = 0.8) -> float:
    """The share of what the prompt asks for that is there, 0..1: softer than `verdict`, so that small gains show.

    Every demand is one part, and the parts weigh the same: a class in its number; its colour; its position; and,
    where a number is exact, no more of it. A part is partly met by too few or too many, by a colour that is near, by
    a relation that is nearly so, and by an object of a score between `low` (0) and `high` (1).

    objects: everything that the detector suspects, also what it would reject
    meta:    as in `verdict`
    """
    parts: list[float] = []
    groups: list[list[tuple[Detection, float]]] = []
    for item in meta.get("include", ()):
        name, count = item["class"], item["count"]
        all_found = _best_first(objects.get(name, ()))
        found = [(d, min(1.0, max(0.0, (d.score - low) / (high - low)))) for d in all_found[:count]]
        parts.append(sum(trust for _, trust in found) / count)
        if "color" in item:
            parts.append(sum(trust * d.colours.get(item["color"], 0.0) for d, trust in found) / count)
        if "position" in item:
            way, target = item["position"]
            near = [ta * tb * _towards(a, b, way) for a, ta in found for b, tb in groups[target]]
            parts.append(min(near, default=0.0) if len(found) == count else 0.0)
        groups.append(found)
    for item in meta.get("exclude", ()):
        trusts = [min(1.0, max(0.0, (d.score - low) / (high - low))) for d in objects.get(item["class"], ())]
        allowed = item["count"] - 1
        excess = max(0.0, sum(trusts) - allowed) / max(allowed, 1)
        # nothing there is not "no more than asked for": an empty picture earns nothing
        parts.append(min(1.0, sum(trusts) / max(allowed, 1)) * max(0.0, 1 - excess))
    return sum(parts) / len(parts) if parts else 1.0


def _misplaced(name: str, found: Sequence[Detection], way: str, others: Sequence[Detection] | None) -> str | None:
    if others is None:
        return f"no target for {name} to be {way}"
    for a in found:
        for b in others:
            if way not in (there := relations(a, b)):
                return f"expected {name} {way} target, found {' and '.join(sorted(there)) or 'no relation'}"
    return None


def _offset(a: Detection, b: Detection) -> tuple[float, float]:
    """From b's centre to a's, each axis shrunk by a share of both widths, over the length before it was shrunk."""
    shrunk, raw = [], []
    for low, high in ((0, 2), (1, 3)):
        offset = (a.box[low] + a.box[high] - b.box[low] - b.box[high]) / 2
        widths = a.box[high] - a.box[low] + b.box[high] - b.box[low]
        left = max(0.0, abs(offset) - SHRINK * widths)
        raw.append(offset)
        shrunk.append(left if offset > 0 else -left)
    length = hypot(*raw)
    if max(map(abs, shrunk)) < 1e-3:
        return 0.0, 0.0
    return shrunk[0] / length, shrunk[1] / length


def _towards(a: Detection, b: Detection, way: str) -> float:
    across, down = _offset(a, b)
    share = {"left of": -across, "right of": across, "above": -down, "below": down}[way]
    return min(1.0, max(0.0, share / TOWARDS))


def _best_first(found: Sequence[Detection]) -> list[Detection]:
    return sorted(found, key=lambda d: -d.score)
