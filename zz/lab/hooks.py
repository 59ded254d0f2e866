"""Windows on a run: they are told what happens, and the run does not depend on them."""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from zz.lab.cell import Cell
from zz.lab.planner import Plan


class SlotDone(NamedTuple):
    """One batch of pictures, made and written."""

    cell: Cell
    indices: tuple[int, ...]  # the pictures written
    seconds: float  # on the device, encoding and decoding and writing among them
    predictions: int  # guided predictions an image, counted
    rows: int  # network rows an image, counted
    shared_predictions: int  # of them, how many were answered from a trajectory that began alike
    shared_rows: int
    device: str  # and its makers' name for it
    failed: Mapping[int, str]  # prompts of which no picture came, and why
    prompt: str  # the last one
    memory: int  # peak, bytes


@dataclass(frozen=True)
class Hooks:
    """The window that nobody looks through. Others override what they want to hear of."""

    def on_start(self, plan: Plan) -> None:
        """Before the first slot."""

    def on_slot(self, done: SlotDone) -> None:
        """After each slot, in the parent process."""

    def on_end(self, made: int, missing: int) -> None:
        """After the last slot, however it ended."""


@dataclass(frozen=True)
class EventLog(Hooks):
    """One JSON line an event.

    path: the file, appended to
    """

    path: str = "events.jsonl"

    def on_start(self, plan: Plan) -> None:
        try:
            Path(self.path).open("a").close()
        except OSError as error:
            raise ValueError(f"logger.path={self.path} cannot be written ({error.strerror}); choose another") from error
        self._write("start", asked=plan.asked, cells=[j.cell.key for j in plan.jobs], images=plan.images)

    def on_slot(self, done: SlotDone) -> None:
        self._write("slot", cell=done.cell.key, indices=done.indices, seconds=done.seconds, device=done.device)

    def on_end(self, made: int, missing: int) -> None:
        self._write("end", made=made, missing=missing)

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"time": time.time(), "event": event, **fields}) + "\n"
        with contextlib.suppress(OSError), Path(self.path).open("a", encoding="utf-8") as f:
            f.write(line)  # a window that breaks later must not end the run
