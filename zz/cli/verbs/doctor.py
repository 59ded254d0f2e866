"""`zz doctor`: what zz.run would still need with the same words. Makes nothing, downloads no weights."""

from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli.config import build, store_of
from zz.cli.request import size_of
from zz.cli.terminal.checks import show_checks
from zz.cli.terminal.console import console
from zz.lab.machine import disk, machine, room
from zz.models.doctor import health


def doctor(configs: Sequence[DictConfig]) -> int:
    """Show what is here and what is missing; return the exit code, 1 if anything is missing."""
    out, shown, whole = console(), [], True
    for config in configs:
        model, runner, store, size = build(config.model), build(config.runner), store_of(config), size_of(config)
        if (asked := (model, runner, store.root, size)) in shown:
            continue
        store.check_format()
        shown.append(asked)
        free = room(runner)
        checks = [*machine(runner, free), *health(model, size, runner.precision, free), disk(store)]
        show_checks(out, f"{model.name}, precision {runner.precision}", checks)
        whole = whole and all(check.state != "missing" for check in checks)
    return 0 if whole else 1
