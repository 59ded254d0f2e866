"""One JSON line an event."""

import contextlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zz.diffusion.validate import validate
from zz.lab.loggers.base import Logger, Start
from zz.lab.results import Results
from zz.lab.scoring.scoring import SlotScored
from zz.lab.slots import SlotDone
from zz.lab.stats import Interval


@dataclass(frozen=True)
class EventLog(Logger):
    """One JSON line an event.

    path: the file, appended to
    """

    path: str = "events.jsonl"

    def __post_init__(self) -> None:
        validate(self, "logger.jsonl")

    def on_start(self, start: Start) -> None:
        try:
            Path(self.path).open("a").close()
        except OSError as error:
            raise ValueError(
                f"logger.jsonl.path={self.path} cannot be written ({error.strerror}); choose another"
            ) from error
        plan, manifest = start.plan, start.manifest
        rows = [{"row": row.id, "cell": row.cell, "title": row.title, "role": row.role} for row in manifest.rows]
        self._write("start", asked=plan.asked, images=plan.images, manifest=manifest.id, rows=rows)
        for row, config in start.configs.items():
            self._write("config", row=row, config=config)

    def on_slot(self, done: SlotDone) -> None:
        what = {"row": done.row, "cell": done.cell.key, "pictures": done.names}
        self._write("slot", **what, seconds=done.seconds, device=done.device)

    def on_scored(self, done: SlotScored) -> None:
        self._write("scored", metric=done.metric, row=done.row, scored=done.scored)

    def on_results(self, results: Results) -> None:
        for row in results.manifest.rows:
            means = {name: _finite(results.mean(row, name)) for name in row.scorers or {}}
            self._write("result", row=row.id, title=row.title, role=row.role, means=means)

    def on_sheet(self, path: Path) -> None:
        self._write("sheet", path=str(path))

    def on_end(self, made: int, missing: int) -> None:
        self._write("end", made=made, missing=missing)

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"time": time.time(), "event": event, **fields}, default=str) + "\n"
        with contextlib.suppress(OSError), Path(self.path).open("a", encoding="utf-8") as f:
            f.write(line)


def _finite(x: Interval) -> dict[str, float | None]:
    """JSON has no nan and no infinity: null where there is no value, or no bound."""
    return {name: part if math.isfinite(part) else None for name, part in x._asdict().items()}
