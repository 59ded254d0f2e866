"""Loggers: what hears of a run. An error in one never stops the run."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from zz.lab.plan import Plan
from zz.lab.results import Results
from zz.lab.scoring.scoring import SlotScored
from zz.lab.slots import SlotDone
from zz.lab.store.manifest import Manifest
from zz.lab.store.store import Store

Say = Callable[[str], None]  # tells a person


class Start(NamedTuple):
    """What a logger is told before the first slot."""

    plan: Plan
    manifest: Manifest
    configs: Mapping[str, Mapping[str, Any]]  # by row, the resolved configuration that asked for it
    store: Store
    say: Say


@dataclass(frozen=True)
class Logger:
    """No-op base class: override the events you need."""

    def on_start(self, start: Start) -> None:
        """Before the first slot. A ValueError here refuses the run; later ones leave the logger out."""

    def on_slot(self, done: SlotDone) -> None:
        """After each slot, in the parent process."""

    def on_scored(self, done: SlotScored) -> None:
        """After each slot of the scoring pass."""

    def on_results(self, results: Results) -> None:
        """When everything is scored: the rows, with means and comparisons."""

    def on_sheet(self, path: Path) -> None:
        """When a contact sheet was written."""

    def on_end(self, made: int, missing: int) -> None:
        """After the last slot, however it ended."""


class Loggers:
    """Several loggers at once. One that raises after the start is left out from then on, and that is said once."""

    def __init__(self, loggers: Sequence[Logger], say: Say = lambda text: None) -> None:
        self.loggers, self.say = list(loggers), say

    def on_start(self, plan: Plan, manifest: Manifest, configs: Mapping[str, Mapping[str, Any]], store: Store) -> None:
        for logger in self.loggers:
            logger.on_start(Start(plan, manifest, configs, store, self.say))

    def on_slot(self, done: SlotDone) -> None:
        self._all("on_slot", done)

    def on_scored(self, done: SlotScored) -> None:
        self._all("on_scored", done)

    def on_results(self, results: Results) -> None:
        self._all("on_results", results)

    def on_sheet(self, path: Path) -> None:
        self._all("on_sheet", path)

    def on_end(self, made: int, missing: int) -> None:
        self._all("on_end", made, missing)

    def _all(self, event: str, *arguments: Any) -> None:
        for logger in list(self.loggers):
            try:
                getattr(logger, event)(*arguments)
            except Exception as error:  # whatever a logger's backend raises
                self.loggers.remove(logger)
                with contextlib.suppress(Exception):
                    name = type(logger).__name__
                    self.say(f"logger {name} failed and is left out: {error}")
