"""`zz table rows= columns=`: two fields of a store's cells against each other."""

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from zz.cli.conf import Refusal
from zz.cli.terminal.console import warn
from zz.cli.terminal.tables import show_grid
from zz.diffusion.validate import as_tuple, check_text
from zz.lab.grid import Grid, everything, grids
from zz.lab.results import Results
from zz.lab.store.manifest import find
from zz.lab.store.store import Store

PLOTS = (".png", ".svg", ".pdf")
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


def show(out: Console, found: list[Grid]) -> None:
    """On the terminal, one table a grid."""
    for grid in found:
        show_grid(out, grid)


def rendered(form: str, found: list[Grid]) -> str:
    """As Markdown or LaTeX a table a grid; as CSV a line a place."""
    try:
        from zz.analysis.render import frame
    except ModuleNotFoundError as error:
        raise Refusal(f"format={form} needs {error.name}: pip install 'zz[analysis]'") from error
    if form == "csv":
        return str(frame.csv(frame.long(found)))
    return "\n".join(getattr(frame, form)(frame.of_grid(grid), grid.caption) for grid in found)


def plot(found: list[Grid], path: Path) -> None:
    """A panel a grid."""
    try:
        from zz.analysis.plots.grid import draw
    except ModuleNotFoundError as error:
        raise Refusal(f"out={path} needs {error.name}: pip install 'zz[analysis]'") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(found, path)
