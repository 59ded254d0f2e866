"""`zz table`: what a store holds of a run or an experiment, as a table. Makes nothing."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

import zz
from zz.cli import grid
from zz.cli.conf import Refusal
from zz.cli.config import store_of
from zz.cli.page import analysis, experiment_of
from zz.cli.terminal.console import console
from zz.cli.terminal.tables import show_by, show_cells, show_comparisons, show_grid
from zz.cli.terminal.view import show_view
from zz.diffusion.validate import as_tuple, check_text
from zz.lab.experiment import Layout
from zz.lab.record import revision
from zz.lab.results import Results
from zz.lab.store.manifest import find
from zz.lab.store.store import Store
from zz.lab.view import View

FORMATS = ("terminal", "markdown", "latex", "csv")
PLOTS = (".png", ".svg", ".pdf")


def table(configs: Sequence[DictConfig]) -> int:
    """Show or write the table of a manifest; return the exit code."""
    out = console()
    for config in configs:
        if config.format not in FORMATS:
            raise Refusal(f"format={config.format} is not known; known are {', '.join(FORMATS)}")
        for name in ("name", "by", "out"):
            check_text(name, None if name == "out" and isinstance(config.out, str) else config[name])
        store = store_of(config)
        store.check_format()
        if grid.asked(config):
            _grid(out, config, store)
            continue
        results = Results(store, find(store, config.name))
        experiment = experiment_of(results.manifest)
        layout = experiment.layout if experiment else Layout(**(results.manifest.layout or {}))
        scores = list(as_tuple(config.scores)) or [name for name in layout.scores if name in results.metrics]
        by = config.by or layout.by
        lacking = _lacking(results, out)
        if lacking and not config.allow_partial:
            what = "1 row lacks" if lacking == 1 else f"{lacking} rows lack"
            raise Refusal(f"{what} pictures: run the same words again, or say allow_partial=true")
        if experiment and experiment.view and not (config.scores or config.by):
            _view(out, config, experiment.view(results))
        elif experiment and experiment.page and config.out:
            Path(config.out).parent.mkdir(parents=True, exist_ok=True)
            _write(out, Path(config.out), experiment.page(results, Path(config.out).with_suffix("")))
        elif config.format == "terminal":
            _show(out, results, scores, by)
        else:
            frame = analysis("render.frame", f"format={config.format}")
            _give(out, config.out, getattr(frame, config.format)(frame.frame(results, scores, by)))
    return 0


def _grid(out: Console, config: DictConfig, store: Store) -> None:
    """On the terminal and as Markdown or LaTeX a table a grid, as CSV a line a place, as a picture a panel a grid."""
    found = grid.grids_of(config, store, out)
    if config.out and Path(config.out).suffix in PLOTS:
        draw = analysis("plots.grid", f"out={config.out}").draw
        with _written(config.out):
            Path(config.out).parent.mkdir(parents=True, exist_ok=True)
            draw(found, Path(config.out))
        out.print(escape(config.out), soft_wrap=True)
        return
    if config.format == "terminal" and not config.out:
        for one in found:
            show_grid(out, one)
        return
    form = "markdown" if config.format == "terminal" else config.format
    frame = analysis("render.frame", f"format={form}")
    if form == "csv":
        text = frame.csv(frame.long(found))
    else:
        text = "\n".join(getattr(frame, form)(frame.of_grid(one), one.caption) for one in found)
    _give(out, config.out, text)


def _give(out: Console, path: str | None, text: str) -> None:
    if path:
        _write(out, Path(path), text)
    else:
        print(text)  # noqa: T201


def _view(out: Console, config: DictConfig, view: View) -> None:
    """An experiment's own view: on the terminal, or its tables in another form; a page of Markdown has its figures."""
    if config.format == "terminal" and not config.out:
        show_view(out, view)
        return
    render, frame = (analysis(f"render.{name}", f"format={config.format}") for name in ("view", "frame"))
    path = Path(config.out) if config.out else None
    if path and path.suffix == ".md":
        with _written(path):
            path = render.write(view, path.with_suffix(""))
        _write(out, path, path.read_text(encoding="utf-8"))
        return
    form = "markdown" if config.format == "terminal" else config.format
    tables = [(render.table(one, unique=form == "csv"), one.title) for one in view.tables]
    texts = [frame.csv(one) if form == "csv" else getattr(frame, form)(one, title) for one, title in tables]
    _give(out, config.out, "\n".join(texts))


def _lacking(results: Results, out: Console) -> int:
    """Name the rows of which pictures are missing; return how many they are."""
    found = 0
    for row in results.manifest.rows:
        if (there := results.there(row)) < (wanted := row.wanted * row.repeats):
            found += 1
            out.print(f"[yellow]{escape(row.title)}: {there} of {wanted} images[/]", soft_wrap=True)
    return found


def _show(out: Console, results: Results, scores: list[str], by: str | None) -> None:
    if by:
        show_by(out, results, by, scores)
        return
    show_cells(out, results, scores)
    show_comparisons(out, results, True, scores)


def _head() -> str:
    """What made a page: the command, the commit, the date."""
    at = revision()
    commit = f"commit {at['revision'][:12]}{' with changes' if at['dirty'] else ''}" if at else f"zz {zz.__version__}"
    return f"<!-- python -m zz.table {shlex.join(sys.argv[1:])} | {commit} | {time.strftime('%Y-%m-%d')} -->\n"


def _write(out: Console, path: Path, text: str) -> None:
    with _written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((_head() if path.suffix == ".md" else "") + text, encoding="utf-8", errors="backslashreplace")
    out.print(escape(str(path)), soft_wrap=True)


@contextmanager
def _written(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refusal(f"out={path} cannot be written ({error.strerror}); choose another") from error
