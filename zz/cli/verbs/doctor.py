"""`zz doctor`: what zz.run would still need with the same words. Makes nothing, downloads no weights."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from zz.cli.config import build, resolved, store_of
from zz.cli.request import recipe_of
from zz.cli.terminal.checks import show_checks
from zz.cli.terminal.console import console
from zz.hub.check import Check
from zz.lab.job import Recipe
from zz.lab.machine import disk, machine, room
from zz.lab.store.store import Store
from zz.models.doctor import health


def doctor(configs: Sequence[DictConfig]) -> int:
    """Show what is here and what is missing; return the exit code, 1 if anything is missing."""
    out, whole = console(), True
    asked: dict[tuple[Any, ...], list[Recipe]] = {}  # by what is looked at once
    for config in configs:
        recipe, store = recipe_of(resolved(config)), store_of(config)
        asked.setdefault((recipe.model, recipe.size, build(config.runner), store.root), []).append(recipe)
    for (model, size, runner, root), recipes in asked.items():
        store = Store(root)
        store.check_format()
        free = room(runner)
        checks = [*machine(runner, free), *health(model, size, runner.precision, free)]
        checks += [*_fit(recipes, checks), disk(store)]
        show_checks(out, f"{model.name}, precision {runner.precision}", checks)
        whole = whole and all(check.state != "missing" for check in checks)
    return 0 if whole else 1


def _fit(recipes: Sequence[Recipe], checks: Sequence[Check]) -> list[Check]:
    """Whether sampler, guidance, schedule and steps go with the model, where its configurations are here and right."""
    states = {check.name: check.state for check in checks}
    if states.get("facts", "ok") != "ok" or states.get("lora") == "missing":
        return []
    try:
        named = {f"{found.sampler.name}, {found.steps} steps": None for found in (one.resolved() for one in recipes)}
    except ValueError as error:
        return [Check("recipe", "missing", "these words do not go together", str(error))]
    return [Check("recipe", "ok", "; ".join(named))]
