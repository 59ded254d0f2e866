"""What scores are called: a metric's name and identity, a picture's name with the meta that was read, and a set's."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from zz.data.base import Picture, PromptList
from zz.lab.cell import Cell, to_json
from zz.lab.store.store import Store
from zz.scorers.base import Features, ImageScorer, Metric, SetMetric
from zz.scorers.interval import Interval


def about(metric: Metric | Features) -> dict[str, Any]:
    """A metric's version and settings, as JSON would hold them; a set metric's with those of its features."""
    found = {"name": metric.name, "version": metric.version, "settings": to_json(metric.settings())}
    if isinstance(metric, SetMetric):
        found["features"] = identity(metric.features)
    return found


def identity(metric: Metric | Features) -> str:
    """A name, and 8 hex digits of version and settings: numbers of two versions never mix."""
    return f"{metric.name}-{Cell(about(metric)).key[:8]}"


def score_name(scorer: ImageScorer, picture: Picture) -> str:
    """What a picture's score is called: the picture's name, and a digest of the meta that the scorer reads."""
    return meta_name(picture.name, scorer.reads, picture.prompt.meta)


def score_names(reads: tuple[str, ...], prompts: PromptList, limit: int | None) -> list[str]:
    """What the scores of a list's pictures are called, in order."""
    return _score_names(reads, prompts, len(prompts.entries[:limit])) if reads else prompts.names(limit)


@lru_cache(maxsize=32)
def _score_names(reads: tuple[str, ...], prompts: PromptList, n: int) -> list[str]:
    pictures, names = prompts.pictures(n), prompts.names(n)
    return [meta_name(name, reads, p.prompt.meta) for p, name in zip(pictures, names, strict=True)]


def meta_name(name: str, reads: tuple[str, ...], meta: Mapping[str, Any]) -> str:
    """A changed record is scored anew, while the picture stays; fields that are not read cost nothing."""
    if not reads:
        return name
    read = {field: meta.get(field) for field in reads}
    text = json.dumps(read, sort_keys=True, ensure_ascii=False, default=str)
    return f"{name}-{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()[:8]}"


def kept(
    store: Store, metric: str, cell: str, pictures: Sequence[Picture], reads: tuple[str, ...] = ()
) -> Interval | None:
    """What was kept of a metric, by its identity, for these pictures of a cell; None if nothing was."""
    known = store.kept(set_name(metric, cell, pictures, reads))
    if not isinstance(known, list) or len(known) != 3 or known[0] is None:
        return None
    value, low, high = known
    return Interval(float(value), -math.inf if low is None else float(low), math.inf if high is None else float(high))


def set_name(metric: str, cell: str, pictures: Sequence[Picture], reads: tuple[str, ...] = ()) -> str:
    """What a set metric of these pictures, and of the fields of meta that it reads, is kept as."""
    named = [(meta_name(picture.name, reads, picture.prompt.meta), picture.prompt.text) for picture in pictures]
    read = json.dumps([cell, named])
    return f"{metric}-{hashlib.sha256(read.encode()).hexdigest()[:16]}"
