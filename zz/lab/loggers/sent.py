"""What of a row was sent to a logger's destination: kept in the store, so that no number is sent twice.

It is noted before the numbers go out: one that is killed in between loses a number of that destination, which the store
still has, rather than send it twice.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zz.lab.store.atomic import StoreError, read_json, write_json


@dataclass
class Sent:
    """One row, or a manifest's tables.

    step:    the next step of the history
    slots:   how many slots are in it
    parts:   by part, digests of what was sent of it
    numbers: what was sent as holding for the whole
    """

    path: Path
    step: int = 0
    slots: int = 0
    parts: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Sent":
        """As it is noted; nothing, where that is torn."""
        try:
            found = read_json(path)
            parts, numbers = dict(found["parts"]), dict(found["numbers"])
            return cls(path, int(found["step"]), int(found["slots"]), parts, numbers)
        except (StoreError, TypeError, KeyError, ValueError):
            return cls(path)

    def has(self, part: str, content: Any) -> bool:
        """Whether a part with this content was sent."""
        return _digest(content) in self.parts.get(part, ())

    def note(self, part: str, content: Any) -> None:
        """A part with this content is about to be sent."""
        self.parts.setdefault(part, []).append(_digest(content))
        self.write()

    def changed(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Those of the numbers that were not sent as they are."""
        return {name: x for name, x in numbers.items() if self.numbers.get(name) != x}

    def write(self) -> None:
        """Keep it."""
        write_json(self.path, {name: value for name, value in asdict(self).items() if name != "path"})


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
