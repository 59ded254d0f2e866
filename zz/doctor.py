"""python -m zz.doctor: what zz.run would still need with the same words. Makes nothing, downloads no weights."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli import terminal
from zz.cli.config import build, command, store_of
from zz.lab.health import machine, place, room
from zz.run import size_of


def doctor(configs: Sequence[DictConfig]) -> int:
    """Show what is here and what is missing; return the exit code, 1 if anything is missing."""
    out, shown, whole = terminal.console(), [], True
    for config in configs:
        model, runner, store, size = build(config.model), build(config.runner), store_of(config), size_of(config)
        if (asked := (model, runner, store.root, size)) in shown:
            continue
        shown.append(asked)
        free = room(runner)
        checks = [*machine(runner, free), *model.health(size, runner.precision, free), place(store)]
        terminal.show_checks(out, f"{model.name}, precision {runner.precision}", checks)
        whole = whole and all(check.state != "missing" for check in checks)
    return 0 if whole else 1


def main() -> int:
    """The command."""
    return command(doctor, "config")


if __name__ == "__main__":
    sys.exit(main())
