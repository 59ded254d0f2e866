"""`zz doctor`: what zz.run would still need with the same words. Makes nothing; downloads only if it is told to."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from zz.cli.conf import Refusal
from zz.cli.config import build, metrics_of, resolved, store_of
from zz.cli.request import recipe_of
from zz.cli.terminal.checks import show_checks
from zz.cli.terminal.console import console
from zz.data.base import PromptSet
from zz.hub.check import Check
from zz.hub.present import file_check, model_check, package_check
from zz.lab.job import Recipe
from zz.lab.machine import disk, machine, room
from zz.lab.store.store import Store
from zz.models.doctor import health
from zz.scorers.base import Metric
from zz.scorers.needs import steps


class _Asked(NamedTuple):
    """What is looked at together: all of one model in one store."""

    recipes: list[Recipe]
    prompt_sets: dict[PromptSet, None]
    metrics: dict[Metric, None]


def doctor(configs: Sequence[DictConfig]) -> int:
    """Show what is here and what is missing; return the exit code, 1 if anything is missing."""
    out, whole = console(), True
    asked: dict[tuple[Any, ...], _Asked] = {}
    for config in configs:
        values, store = resolved(config), store_of(config)
        if not isinstance(config.download, bool):
            raise Refusal(f"download={config.download} must be true or false")
        recipe = recipe_of(values)
        key = (recipe.model, recipe.size, build(config.runner), store.root)
        one = asked.setdefault(key, _Asked([], {}, {}))
        one.recipes.append(recipe)
        if values.get("dataset"):
            one.prompt_sets[build(values["dataset"])] = None
        one.metrics.update(dict.fromkeys(metrics_of(values).values()))
    if configs[0].download:
        whole = _download(out, asked)
    for (model, size, runner, root), one in asked.items():
        store = Store(root)
        store.check_format()
        free = room(runner)
        checks = [*machine(runner, free), *health(model, size, runner.precision, free)]
        checks += [*_fit(one.recipes, checks), disk(store)]
        checks += [check for found in one.prompt_sets for check in _prompt_set(found)]
        checks += [check for metric in one.metrics for check in _metric(metric)]
        show_checks(out, f"{model.name}, precision {runner.precision}", checks)
        lack = any(check.state == "missing" for check in checks)
        if lack and not configs[0].download:
            out.print("`python -m zz.doctor download=true` with the same words downloads what can be", soft_wrap=True)
        whole = whole and not lack
    return 0 if whole else 1


def _fit(recipes: Sequence[Recipe], checks: Sequence[Check]) -> list[Check]:
    """Whether sampler, guidance, schedule and steps go with the model, where its configurations are here and right."""
    states = {check.name: check.state for check in checks}
    if states.get("facts", "ok") != "ok" or "missing" in (states.get("lora"), states.get("npnet")):
        return []
    try:
        named = {f"{found.sampler.name}, {found.steps} steps": None for found in (one.resolved() for one in recipes)}
    except ValueError as error:
        return [Check("recipe", "missing", "these words do not go together", str(error))]
    return [Check("recipe", "ok", "; ".join(named))]


def _prompt_set(asked: PromptSet) -> list[Check]:
    title = f"dataset {asked.name}"
    found = [file_check(title, file) for file in asked.files]
    if all(check.state == "ok" for check in found):  # and it reads, which costs little
        try:
            found.append(Check(title, "ok", f"{len(asked.prompts):,} prompts"))
        except ValueError as error:
            found.append(Check(title, "missing", "it cannot be read", str(error)))
    return found


def _metric(metric: Metric) -> list[Check]:
    title = f"scorer {metric.name}"
    try:
        needs = metric.needs
        if not (needs.weights or needs.files):
            metric.settings()  # refuses a file that is not there
    except ValueError as error:
        return [Check(title, "missing", "it lacks what it reads", str(error))]
    found = [file_check(title, file) for file in needs.files] + [model_check(title, name) for name in needs.weights]
    found += [package_check(title, needs.extras)] if needs.extras else []
    if needs.environment:
        found.append(Check(title, "missing", "its environment is not there", needs.environment))
    return found


def _download(out: Console, asked: Mapping[tuple[Any, ...], _Asked]) -> bool:
    """Bring what is not here, each with its progress; whether all came."""
    work: dict[str, Callable[[], Any]] = {}
    for (model, *_), one in asked.items():
        work[f"model={model.name}"] = partial(getattr, model, "identity")  # a digest needs all of its files
        for found in one.prompt_sets:
            field = f"dataset={found.name}"
            work |= {f"{field}: {file.name}": partial(file.fetch, field) for file in found.files}
        for metric in one.metrics:
            work |= steps(metric)
    came = True
    for title, bring in work.items():
        out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
        try:
            bring()
        except ValueError as error:  # the others are brought all the same
            came = False
            out.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
    return came
