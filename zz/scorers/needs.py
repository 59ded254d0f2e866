"""What a metric needs that is not on the machine yet; it is brought before anything is made."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from zz.hub.files import resolve
from zz.hub.location import find, is_id
from zz.hub.present import absent
from zz.scorers.base import Metric


def steps(metric: Metric) -> dict[str, Callable[[], Any]]:
    """What brings each thing, by its title. A step raises ValueError where it cannot be had."""
    needs, field = metric.needs, f"scorers={metric.name}"
    found: dict[str, Callable[[], Any]] = {}
    lack = absent(needs.extras)
    if remedy := needs.environment or (f"pip install {' '.join(lack)}" if lack else ""):
        found[field] = partial(_refuse, field, remedy)
    found |= {f"{field}: {file.name}": partial(file.fetch, field) for file in needs.files}
    for name in needs.weights:
        if is_id(name) and not Path(resolve(name)).is_dir():
            found[f"{field}: {name}"] = partial(_bring, field, name)
    return found


def bring(metric: Metric) -> None:
    """All of it. Raises ValueError with the field, what lacks, and the remedy."""
    for step in steps(metric).values():
        try:
            step()
        except ValueError as error:
            raise ValueError(f"{error}; or make the pictures first and score them later: scorers=[]") from error


def _bring(field: str, name: str) -> None:
    find(field, name, ("config.json",)).bring("")


def _refuse(field: str, remedy: str) -> None:
    raise ValueError(f"{field} cannot run here: {remedy}")


__all__ = ["bring", "steps"]
