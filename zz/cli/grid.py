"""`zz table rows= columns=`: two fields of a store's cells against each other."""

from omegaconf import DictConfig
from rich.console import Console

from zz.cli.conf import Refusal
from zz.cli.terminal.console import warn
from zz.diffusion.validate import as_tuple, check_text
from zz.lab.grid import Grid, everything, grids
from zz.lab.results import Results
from zz.lab.store.manifest import find
from zz.lab.store.store import Store

OF_GRIDS = ("columns", "score", "dataset", "against", "show")


def asked(config: DictConfig) -> bool:
    """Whether a config asks for a grid. Raises Refusal where it half does."""
    if config.rows is None:
        for name in (*OF_GRIDS, "where"):
            if config[name]:
                raise Refusal(f"{name}={config[name]} goes with rows=FIELD, such as rows=lambda")
        return False
    for name in ("rows", *OF_GRIDS):
        check_text(name, config[name] if config[name] is None else str(config[name]))
    return True


def grids_of(config: DictConfig, store: Store, out: Console) -> list[Grid]:
    """What a config asks for: of one manifest where it names one, and else of everything that the store holds."""
    manifest = find(store, config.name) if config.name else everything(store, lambda text: warn(out, text))
    return grids(
        Results(store, manifest),
        config.rows,
        config.columns,
        config.score,
        dataset=config.dataset,
        where=[str(word) for word in as_tuple(config.where)],
        against=None if config.against is None else str(config.against),
        shown=config.show,
        by=config.by,
    )
