"""What a field may hold, read off its annotation. A ValueError says the field, the value and what is allowed."""

import math
import re
import shlex
from collections.abc import Iterable
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
        _check_is_text(name, value)
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
    """A text that can be written as UTF-8, or None."""
    if value is None:
        return
    _check_is_text(name, value)
    if "\0" in value:
        raise ValueError(f"{name}={value!r} holds a NUL character; take it out")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}={value!a} is not UTF-8; write it, or rename the file, in UTF-8") from None


def _check_is_text(name: str, value: Any) -> None:
    """A text, and nothing that YAML reads as something else: a number, true, null."""
    if not isinstance(value, str):
        raise ValueError(f"{name}={value!r} must be a text; quote it: {typed(name, value)}")


def typed(key: str, *values: Any, listed: bool = False) -> str:
    """The word of a shell's command line that sets `key` to a text, or to a list of texts, whatever is in them."""
    said = [quoted(_plain(value)) for value in values]
    return shlex.quote(f"{key}=[{','.join(said)}]" if listed else f"{key}={said[0]}")


def quoted(text: str) -> str:
    """A text as YAML and Hydra read it: a plain word as it is, anything else in double quotes."""
    if re.fullmatch(r"[A-Za-z_/][\w./-]*", text, re.A) and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    text = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + (r"\"" if found[2] else ""), text)
    return '"' + text.replace("${", r"\${") + '"'


def _plain(value: Any) -> str:
    """A value as YAML writes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(_plain, value))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def as_tuple(value: Any) -> tuple[Any, ...]:
    """The values of a field that takes several: a text, or whatever else is no list, is one."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)
