"""`zz ls`: the cells of a store, and how complete they are."""

from collections.abc import Sequence

from omegaconf import DictConfig

from zz.cli.config import store_of
from zz.cli.terminal.console import console
from zz.cli.terminal.tables import show_store
from zz.lab.cell import titles


def ls(configs: Sequence[DictConfig]) -> int:
    """List the cells of each store; return the exit code."""
    for config in configs:
        store = store_of(config)
        found = list(store.cells())
        title = titles([one.cell for one in found])
        show_store(console(), found, [title[one.cell.key] for one in found], str(store.root))
    return 0
