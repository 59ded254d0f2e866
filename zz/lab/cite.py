"""What a store's rows used, and the references of it: methods, guidances, models, prompt sets, metrics."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zz.lab.store.manifest import Row
from zz.lab.store.store import Store

FILE = "references.bib"  # in zz, and in an extension's package
_ENTRY = re.compile(r"^@(?P<kind>\w+)\s*\{\s*(?P<key>[^,\s]+)\s*,.*?^\}", re.S | re.M)
_USED_BY = re.compile(r",?[ \t]*\n?[ \t]*usedby\s*=\s*[{\"]([^}\"]*)[}\"]")
OWN = {  # nothing to cite: this project's own, a plain choice, or a class that stands for several models
    *("Standard", "ModelSchedule", "Explicit", "LogUniform", "UniformInTime", "Mixture", "Pictures", "Discrete"),
    *(
        "StableDiffusion",
        "model:mixture",
        "model:shapes",
        "model:shapes_v",
        "model:shapes_turbo",
        "model:shapes_flow",
        "model:shapes_xl",
        "model:shapes_dit",
        "model:shapes_motion",
        "model:shapes_turbo_free",
        "PairGuidance",
        "Guider",
        "dataset:inline",
        "dataset:cross",
        "dataset:text",
        "dataset:table",
    ),
    *("dataset:mixture", "dataset:quick", "dataset:shapes_tune", "dataset:shapes_motion", "dataset:shapes_motion_tune"),
    *("scorer:motion_correct", "scorer:motion_fd", "scorer:log_odds", "scorer:atypicality"),
    *("scorer:cleanliness", "scorer:shapes_diversity", "measurement:residuals"),
}


class Reference(NamedTuple):
    """An entry of BibTeX, and the words of what it is cited for."""

    key: str
    text: str
    of: frozenset[str]


def references(files: Sequence[Path]) -> list[Reference]:
    """The entries of BibTeX files, in order. Raises ValueError where a key comes twice."""
    found: dict[str, Reference] = {}
    for path in files:
        for match in _ENTRY.finditer(path.read_text(encoding="utf-8")):
            key, text = match["key"], match[0]
            of = _USED_BY.search(text)
            if key in found:
                raise ValueError(f"{path} has a second entry {key}; give it another key")
            found[key] = Reference(key, _USED_BY.sub("", text), frozenset(of[1].split() if of else ()))
    return list(found.values())


def used(store: Store, rows: Sequence[Row]) -> dict[str, None]:
    """What rows used: classes of their ledgers, and model:NAME, dataset:NAME, scorer:NAME, measurement:NAME."""
    found: dict[str, None] = {}
    for row in rows:
        cell, record = store.cell(row.cell)
        found |= dict.fromkeys(_of_ledger(cell.ledger))
        if name := record.get("model"):
            found[f"model:{name}"] = None
        found[f"dataset:{row.dataset}"] = None
        found |= dict.fromkeys(f"scorer:{name}" for name in row.scorers or {})
        found |= dict.fromkeys(f"measurement:{name.rpartition('-')[0]}" for name in store.measurements(cell))
    return found


def _of_ledger(part: Mapping[str, Any]) -> Iterator[str]:
    for name, value in part.items():
        if name == "is":
            yield str(value)
        elif name == "pipeline":
            yield "pretrained"
        elif name in ("lora", "npnet", "rescale") and value:
            yield name
        if isinstance(value, Mapping):
            yield from _of_ledger(value)


def cited(known: Sequence[Reference], words: Mapping[str, None]) -> tuple[list[Reference], list[str]]:
    """The references for what was used, and what of it has none."""
    found = [one for one in known if one.of & words.keys()]
    named = frozenset[str]().union(*(one.of for one in known))
    return found, [word for word in words if word not in named and word not in OWN]


__all__ = ["FILE", "Reference", "cited", "references", "used"]
