"""python -m zz.ls: the cells of a store, and how complete they are."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli import terminal
from zz.cli.config import command
from zz.lab.store import Store


def ls(configs: Sequence[DictConfig]) -> int:
    """List the store's cells; return the exit code."""
    store = Store(str(configs[0].store))
    terminal.show_store(terminal.console(), list(store.table()), str(store.root))
    return 0


def main() -> int:
    """The command."""
    return command(ls, "ls")


if __name__ == "__main__":
    sys.exit(main())
