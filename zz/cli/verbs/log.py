"""`zz log`: send what a store holds to loggers, as if they had been there from the start. Makes nothing."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from zz.cli.conf import Refusal
from zz.cli.config import build, nodes, resolved, store_of
from zz.cli.terminal.console import console, warn
from zz.diffusion.validate import as_tuple, check_text
from zz.lab.loggers.rows import RowLogger, Sender
from zz.lab.results import Results
from zz.lab.store.manifest import Manifest, Row, find, merged, names
from zz.lab.store.store import Store, StoreError


def log(configs: Sequence[DictConfig]) -> int:
    """Send what was not sent yet; return the exit code."""
    out = console()
    for config in configs:
        store, loggers = store_of(config), _loggers(resolved(config))
        manifests = _manifests(store, as_tuple(config.name) if config.name is not None else (), out)
        store.check_writable()  # where it is noted what was sent
        for logger in loggers:
            if logger.enabled:
                _send(out, logger, store, manifests)
    return 0


def _loggers(config: Mapping[str, Any]) -> list[RowLogger]:
    found = {name: build(node) for name, node in nodes("logger", config).items()}
    if not found:
        raise Refusal("logger= is needed: wandb, tensorboard or csv, or several: logger=[wandb,csv]")
    for name, logger in found.items():
        if not isinstance(logger, RowLogger):
            raise Refusal(f"logger={name} hears of runs alone; zz.log takes wandb, tensorboard and csv")
    return list(found.values())


def _manifests(store: Store, asked: Sequence[str], out: Console) -> list[Manifest]:
    """Those that are asked for, or all, the oldest first."""
    store.check_format()
    for name in asked:
        check_text("name", name)
    if asked:
        return [find(store, name) for name in asked]
    found = []
    for name in reversed(names(store)):
        try:
            found.append(find(store, name))
        except StoreError as error:
            warn(out, str(error))
    if not found:
        raise StoreError(f"store: {store.root} holds no manifest; zz.run writes one")
    return found


def _send(out: Console, logger: RowLogger, store: Store, manifests: Sequence[Manifest]) -> None:
    logger.check()
    rows = merged([row for manifest in manifests for row in manifest.rows])
    groups = {row.id: manifest for manifest in manifests for row in manifest.rows if row.role == "asked"}
    groups = {row.id: m for m in manifests for row in m.rows} | groups
    sender = Sender(logger, store, Manifest("store", rows), _configs(store, rows), partial(warn, out), groups)
    try:
        sender.results(Results(store, sender.manifest))
        for manifest in manifests:
            sender.tables(Results(store, manifest))
        sender.close()
    except StoreError:
        raise
    except Exception as error:  # whatever a logger's backend raises
        raise Refusal(f"logger={logger.name} failed ({error}); the same command sends what was not sent") from error
    news = sum(row.id in sender.sent for row in rows)
    out.print(f"{logger.name}: {news} of {len(rows)} rows had something new")


def _configs(store: Store, rows: Sequence[Row]) -> dict[str, Mapping[str, Any]]:
    """By row, the configuration that its last run noted."""
    cells = {row.cell: store.cell(row.cell)[0] for row in rows}
    records = {record.get("row"): record.get("config") for cell in cells.values() for record in store.runs(cell)}
    return {row.id: found for row in rows if isinstance(found := records.get(row.id), Mapping)}


__all__ = ["log"]
