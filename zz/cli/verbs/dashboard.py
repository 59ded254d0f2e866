"""`zz dashboard`: a Weights & Biases workspace and report of what `logger=wandb` sent, as code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from zz.cli.conf import Refusal
from zz.cli.config import store_of
from zz.cli.experiment import find as find_experiment
from zz.cli.experiment import known
from zz.cli.terminal.console import console, warn
from zz.diffusion.validate import check_text
from zz.lab.loggers.wandb import WandB
from zz.lab.results import Results
from zz.lab.store.atomic import StoreError
from zz.lab.store.manifest import Manifest, find


def dashboard(configs: Sequence[DictConfig]) -> int:
    """Write the dashboard as JSON, and save it on the server if asked to; return the exit code."""
    out = console()
    for config in configs:
        _dashboard(out, config)
    return 0


def _dashboard(out: Console, config: DictConfig) -> None:
    for name in ("out", "name", "project", "entity"):
        check_text(name, config[name] if config[name] is None else str(config[name]))
    if not isinstance(config.save, bool):
        raise Refusal(f"save={config.save} must be true or false")
    if not config.out or Path(config.out).is_dir():
        raise Refusal(f"out={config.out} must be a file: out=dashboard.json")
    where = WandB(project=str(config.project), entity=config.entity)  # refuses what the server would
    store = store_of(config)
    manifest = find(store, config.name)
    results = Results(store, manifest)
    try:
        from zz.analysis import dashboard as made
    except ModuleNotFoundError as error:
        raise Refusal(f"zz.dashboard needs {error.name}: pip install 'zz[wandb]'") from error
    entity = where.entity or (_own(config) if config.save else "")
    some = made.parts(results)
    space = made.workspace(manifest.name, entity, where.project, some)
    text = made.report(manifest.name, entity, where.project, some, _says(out, manifest, results))
    try:
        Path(config.out).write_text(made.preview(space, text), encoding="utf-8")
    except OSError as error:
        raise Refusal(f"out={config.out} cannot be written ({error.strerror}); choose another") from error
    panels = sum(len(part.panels) for part in some)
    out.print(f"{escape(str(config.out))}: {len(some)} sections, {panels} panels", soft_wrap=True)
    if not config.save:
        out.print("save=true puts it on the server")
        return
    for thing in (space, text):
        out.print(escape(str(_saved(config, thing).url)), soft_wrap=True)


def _own(config: DictConfig) -> str:
    """The account's own entity."""
    import wandb

    try:
        found = wandb.Api(timeout=15).default_entity
    except Exception as error:  # no account, no network, a wrong key
        raise _unreachable(config, error) from error
    if not found:
        raise Refusal("entity=null: the account has none of its own; say entity=NAME")
    return str(found)


def _saved(config: DictConfig, thing: Any) -> Any:
    try:
        return thing.save()
    except Exception as error:  # whatever the server answers, or does not
        raise _unreachable(config, error) from error


def _unreachable(config: DictConfig, error: Exception) -> Refusal:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Refusal(f"save=true: Weights & Biases refuses or cannot be reached ({why}); {config.out} is written")


def _says(out: Console, manifest: Manifest, results: Results) -> list[str]:
    """What the experiment claims, and what was found."""
    name = manifest.experiment or manifest.name
    if name not in known():
        return [f"{len(manifest.rows)} rows of {manifest.id}."]
    experiment = find_experiment(name)
    lines = [experiment.claim]
    if experiment.view:
        try:
            view = experiment.view(results)
        except (StoreError, ValueError, LookupError) as error:
            warn(out, f"{name}: its claims cannot be told of what is there ({error})")
        else:
            lines += [f"{v.status}: {v.claim} ({v.evidence})" for v in view.verdicts]
    return lines


__all__ = ["dashboard"]
