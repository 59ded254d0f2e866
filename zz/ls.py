"""python -m zz.ls: the cells of a store, and how complete they are."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli import terminal
from zz.cli.config import command, store_of


def ls(configs: Sequence[DictConfig]) -> int:
    """List the store's cells; return the exit code."""
    store = store_of(configs[0])
    terminal.show_store(terminal.console(), list(store.table()), str(store.root))
    return 0


def main() -> int:
    """The command."""
    return command(ls, "ls")


if __name__ == "__main__":
    sys.exit(main())
