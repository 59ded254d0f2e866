"""`zz ls`: the cells of a store, and how complete they are."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli.config import store_of
from zz.cli.terminal.console import console
from zz.cli.terminal.tables import show_store
from zz.lab.cell import titles
from zz.lab.store.store import StoreError


def ls(configs: Sequence[DictConfig]) -> int:
    """List the cells of each store, and name what cannot be read; return the exit code."""
    problems = list[StoreError]()
    for config in configs:
        store = store_of(config)
        found = list(store.cells(problems.append))
        title = titles([one.cell for one in found])
        show_store(console(), found, [title[one.cell.key] for one in found], str(store.root))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201
    return 2 if problems else 0
