"""What a field may hold. Each check raises ValueError with the field, the value and what is allowed."""

import math
from typing import Any


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
