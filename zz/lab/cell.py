"""A cell: one recipe for pictures, known by everything that moves their numbers but prompt and seed.

Its ledger is a whitelist. Devices, workers, batch sizes, paths, prompt sets and limits are not in it, so they can
neither split nor orphan results. It knows no torch.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

FORMAT = 2  # raised when the same ledger comes to mean other pictures


@dataclass(frozen=True)
class Cell:
    """One cell. `ledger` holds plain values only: None, bools, numbers, strings, lists and mappings."""

    ledger: Mapping[str, Any]

    @classmethod
    def of(cls, **parts: Any) -> "Cell":
        """From objects: frozen dataclasses become their class name, version and fields."""
        return cls({"format": FORMAT} | {name: to_json(part) for name, part in parts.items()})

    @cached_property
    def key(self) -> str:
        """16 hex digits of the ledger's SHA-256."""
        text = json.dumps(self.ledger, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def flat(self) -> dict[str, Any]:
        """The ledger as dotted names."""
        found: dict[str, Any] = {}

        def walk(prefix: str, value: Any) -> None:
            if isinstance(value, Mapping):
                for key, inner in value.items():
                    walk(f"{prefix}.{key}" if prefix else str(key), inner)
            else:
                found[prefix] = value

        walk("", self.ledger)
        return found

    @property
    def title(self) -> str:
        """The cell in a few words: the sampler, and whatever is not as usual; of pictures from elsewhere their name."""
        if "pictures" in self.ledger:
            return str(self.ledger["pictures"]["name"])
        words = [_words(self.ledger["sampler"]), f"T={self.ledger['steps']}"]
        for part, usual in (
            ("schedule", "ModelSchedule"),
            ("solver", "DDIM"),
            ("guidance", "CFG rescale=0 rescale_on=eps"),
        ):
            if part in self.ledger and (shown := _words(self.ledger[part])) != usual:
                words.append(f"{part}={shown}" if " " not in shown else f"{part}=({shown})")
        if self.ledger.get("negative_prompt"):
            words.append(f"negative_prompt={self.ledger['negative_prompt']}")
        return " ".join(words)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and other.key == self.key


def row_id(key: str, prompts: str) -> str:
    """The name of a row: a cell, by its key, over a prompt list, by its digest."""
    return hashlib.sha256(f"{key}/{prompts}".encode()).hexdigest()[:16]


def to_json(value: Any) -> Any:
    """A value as JSON would hold it: whole floats become ints (gamma2=0 is gamma2=0.0), long tuples their digest."""
    if is_dataclass(value) and not isinstance(value, type):
        version = getattr(type(value), "version", None)
        named = {"is": type(value).__name__} | ({} if version is None else {"version": version})
        told = {f.name: getattr(value, f.name) for f in fields(value)}
        usual = [f.name for f in fields(value) if f.metadata.get("reading") and told[f.name] == f.default]
        return named | {name: to_json(inner) for name, inner in told.items() if name not in usual}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        if len(value) > 64:
            return "sha256:" + hashlib.sha256(json.dumps([to_json(v) for v in value]).encode()).hexdigest()[:16]
        return [to_json(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a cell's ledger holds plain values, not a {type(value).__name__}")


def titles(cells: Sequence[Cell]) -> dict[str, str]:
    """By key: each cell's title, with whatever else tells it from the others (another size, another model ...)."""
    flat = {cell.key: cell.flat() for cell in cells}
    names = dict.fromkeys(name for ledger in flat.values() for name in ledger)
    made = [ledger for ledger in flat.values() if "pictures.name" not in ledger]
    differ = [name for name in names if len({repr(ledger.get(name)) for ledger in made}) > 1]
    shown = (
        "sampler",
        "steps",
        "schedule",
        "solver",
        "guidance",
        "negative_prompt",
        "format",
        "pictures",
    )
    more = [name for name in differ if name.split(".")[0] not in shown and not name.endswith(".version")]
    found = {cell.key: _with(cell.title, flat[cell.key], more) for cell in cells}
    if len(set(found.values())) < len(found):  # told apart by versions only
        versions = [name for name in differ if name.endswith(".version")]
        found = {key: _with(title, flat[key], versions) for key, title in found.items()}
    return found


def _with(title: str, flat: Mapping[str, Any], names: Sequence[str]) -> str:
    return " ".join([title, *(f"{name}={_short(flat[name])}" for name in names if name in flat)])


def _short(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


_OWN = {"is": "ModelSchedule"}
_USUAL = {"k": 1, "rounds": 1, "inversion": "exact", "network_time": "t", "v_at": "t", "diffuse": "last"}


def _words(part: Mapping[str, Any]) -> str:
    """A part of the ledger as its name and what is unusual of its fields."""
    fields = ((k, v) for k, v in part.items() if k not in ("is", "version") and _USUAL.get(k) != v)
    shown = [f"{k.rstrip('_')}={f'({_words(v)})' if isinstance(v, Mapping) else v}" for k, v in fields if v != _OWN]
    return " ".join([str(part["is"]), *shown])
