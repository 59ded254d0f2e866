"""What a field may hold, read off its annotation. A ValueError says the field, the value and what is allowed."""

import math
from dataclasses import fields
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints


class Range(NamedTuple):
    """Bounds of a number, both allowed: `Annotated[float, Range(0, 1)]`."""

    low: float = -math.inf
    high: float = math.inf


Positive = Annotated[int, Range(1)]  # a whole number of at least 1
Proportion = Annotated[float, Range(0, 1)]

# `field(default=..., metadata=READING)` is a choice that came later. At its default a cell's ledger leaves it out, so
# that the keys of results from before there was a choice still stand.
READING = {"reading": True}


def validate(of: Any, group: str, keys: frozenset[str] = frozenset()) -> None:
    """Check every field of a dataclass against its annotation.

    float is a finite number, int a whole number of at least 0, `Range` bounds either; Literal is one of its values,
    bool true or false, `X | None` also None, a class an object of it. Other annotations are not looked at.

    group: the configuration group that the fields are set in, for the message: "sampler" says sampler.NAME
    keys:  fields that are set by a key of their own at the top level instead
    """
    owner: Any = type(of)
    for name, kind in _annotations(owner):
        shown = name.rstrip("_") if name in keys else f"{group}.{name}"
        _check(shown, getattr(of, name), kind)


@lru_cache(maxsize=256)
def _annotations(kind: type) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((f.name, hints[f.name]) for f in fields(kind) if f.init)


def _check(name: str, value: Any, kind: Any) -> None:
    if get_origin(kind) in (Union, UnionType):
        inner = [k for k in get_args(kind) if k is not NoneType]
        if value is None and len(inner) < len(get_args(kind)):
            return
        if len(inner) == 1:
            _check(name, value, inner[0])
        return
    bounds = Range()
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        bounds = next((m for m in more if isinstance(m, Range)), bounds)
    if kind is float:
        check_number(name, value, *bounds)
    elif kind is int:
        least = int(max(0, bounds.low))
        check_count(name, value, least)
        check_number(name, value, least, bounds.high)
    elif kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name}={value!r} must be true or false")
    elif kind is str:
        if not isinstance(value, str):
            raise ValueError(f"{name}={value!r} must be a text; quote it")
    elif get_origin(kind) is Literal:
        check_choice(name, value, get_args(kind))
    elif kind is not Any and isinstance(kind, type) and not isinstance(value, kind):
        raise ValueError(f"{name}={value!r} must be a {kind.__name__}")


def check_count(name: str, value: Any, least: int = 0) -> None:
    """A whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {least}")


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """A finite number within low..high."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be a finite number")
    if not low <= value <= high:
        allowed = f"lies outside {low:g}..{high:g}" if high < math.inf else f"must be at least {low:g}"
        raise ValueError(f"{name}={value!r} {allowed}")


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """One of `known`."""
    if value not in known:
        raise ValueError(f"{name}={value!r} is not known; known are {', '.join(known)}")


def check_text(name: str, value: Any) -> None:
    """A text, or None."""
    if not isinstance(value, str | None):
        raise ValueError(f"{name}={value!r} must be a text; quote it")
