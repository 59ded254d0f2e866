"""The page of an experiment: shown on the terminal, and written into the store, with its figures beside it."""

from importlib import import_module
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from zz.cli.conf import Refusal
from zz.cli.config import build, metrics_of, resolved
from zz.cli.experiment import at, find, known, makes_nothing, named
from zz.cli.terminal.console import warn
from zz.cli.terminal.view import show_view
from zz.diffusion.validate import as_tuple
from zz.lab.experiment import Experiment, Study
from zz.lab.results import Results
from zz.lab.store.atomic import clear_errors
from zz.lab.store.manifest import Manifest
from zz.lab.store.store import Store
from zz.sampling import pair
from zz.scorers.needs import bring


def analysis(module: str, word: str) -> Any:
    """A module of zz.analysis. Raises Refusal with the extra where a package lacks."""
    try:
        return import_module(f"zz.analysis.{module}")
    except ModuleNotFoundError as error:
        raise Refusal(f"{word} needs {error.name}: pip install 'zz[analysis]'") from error


def experiment_of(manifest: Manifest) -> Experiment | None:
    """The experiment whose rows a manifest holds, where it is known here."""
    name = manifest.experiment or manifest.name
    return find(name) if name in known() else None


def has_view(manifest: Manifest) -> bool:
    """Whether an experiment says what its rows show."""
    experiment = experiment_of(manifest)
    return experiment is not None and experiment.view is not None


def only_shown(config: DictConfig) -> Manifest | None:
    """The manifest, without rows, of an experiment that makes no pictures at its scale."""
    name, scale = config.get("experiment"), config.get("scale")
    if not name or not makes_nothing(str(name), scale):
        return None
    return Manifest(named(str(name), scale), (), None, str(name), scale)


def study(config: DictConfig, store: Store, manifest: Manifest) -> None:
    """Make what an experiment makes by itself, where it does. Raises Refusal and ValueError with the remedy."""
    experiment, _ = at(str(manifest.experiment), [f"scale={manifest.scale}"] if manifest.scale else [])
    if experiment.study is None:
        return
    store.check_writable()
    values = resolved(config)
    pictures = tuple(str(path) for path in as_tuple(values["pictures"]))
    if manifest.scale == "paper" and len(pictures) != len(experiment.given):
        raise Refusal(
            f"pictures={','.join(pictures) or '[]'}: experiment={manifest.experiment} starts from "
            f"{len(experiment.given)} pictures, of {' and '.join(experiment.given)}; name their files in this order"
        )
    metrics = metrics_of(values)
    for metric in metrics.values():
        bring(metric)
    experiment.study(
        Study(
            store=store,
            model=build(values["model"]),
            metrics=metrics,
            steps=values["steps"],
            size=pair(values["size"]),
            limit=values["limit"],
            pictures=pictures,
            name=f"study-{manifest.name}",
        )
    )


def show_and_write(out: Console, store: Store, manifest: Manifest) -> int:
    """Show the view of an experiment, and write its page into the store; return the exit code."""
    experiment = experiment_of(manifest)
    assert experiment is not None and experiment.view is not None
    view = experiment.view(Results(store, manifest))
    show_view(out, view)
    if store.writable():
        path = store.root / "pages" / manifest.name
        try:
            with clear_errors(path):
                page = analysis("render.view", "its page").write(view, path)
            out.print(f"page: {escape(str(page))}", soft_wrap=True)
        except Refusal as error:  # the table is shown all the same
            warn(out, str(error))
    return 0
