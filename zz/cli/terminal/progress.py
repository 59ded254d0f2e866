"""Bars."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self

import rich.progress
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zz.cli.terminal.console import WIDE, warn
from zz.lab.cluster import Shard
from zz.lab.plan import Plan
from zz.lab.slots import SlotDone
from zz.lab.store.manifest import Manifest


class Bar:
    """One progress bar with a speed and an ETA; a line every tenth of the way where there is no terminal."""

    def __init__(self, out: Console, total: int, what: str, who: str = "") -> None:
        self.out, self.total, self.what, self.who, self.done = out, total, what, who, 0
        self.progress = rich.progress.Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            *([TextColumn("{task.fields[now]}", style="dim")] if out.width >= WIDE else []),
            console=out,
            disable=not out.is_terminal or not total,
        )
        self.task = self.progress.add_task(what, total=total, speed="", now="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def add(self, n: int, more: str = "", now: str = "") -> None:
        """`n` more are done. `more` stands beside the speed, `now` at the end of the line."""
        before, self.done = self.done, self.done + n
        task = self.progress.tasks[0]
        elapsed = task.elapsed or math.inf
        speed = f"{self.done / elapsed:.1f} {self.what}/s{more}"
        self.progress.update(self.task, advance=n, speed=speed, now=escape(now))
        if not self.out.is_terminal and self.total and self.done * 10 // self.total > before * 10 // self.total:
            left = max(0.0, elapsed / self.done * (self.total - self.done))
            line = f"{self.who}{self.done:>6}/{self.total} {self.what}  {speed}  ETA {left:.0f} s  {now}"
            self.out.print(escape(line.rstrip()), soft_wrap=True)


class Progress(Bar):
    """The bar of a whole sweep, with a second one for the row under way."""

    def __init__(self, out: Console, plan: Plan, manifest: Manifest, shard: Shard) -> None:
        who = f"[{shard.rank + 1}/{shard.world}] " if shard.world > 1 else ""
        super().__init__(out, -(-plan.images // shard.world), "images", who)
        self.title = {row.id: row.title for row in manifest.rows}
        self.wanted = {job.id: -(-n // shard.world) for job, n in zip(plan.jobs, plan.missing, strict=True)}
        self.made = dict.fromkeys(self.wanted, 0)
        self.predictions, self.peak = 0, 0
        several = sum(n > 0 for n in plan.missing) > 1
        self.row = self.progress.add_task("", total=1, speed="", now="", visible=several)

    def slot(self, done: SlotDone) -> None:
        """A slot is done."""
        self.made[done.row] += len(done.names)
        self.predictions += len(done.names) * (done.predictions - done.shared_predictions)
        self.peak = max(self.peak, done.peak_bytes)
        elapsed = self.progress.tasks[0].elapsed or math.inf
        more = f"  {self.predictions / elapsed:,.0f} predictions/s  {self.peak / 1e9:.1f} GB"
        now, total, completed = escape(self.title[done.row]), self.wanted[done.row], self.made[done.row]
        self.progress.update(self.row, total=total, completed=completed, description="cell", now=now)
        self.add(len(done.names), more, done.prompt)

    def message(self, text: str) -> None:
        """Something that a person should know."""
        warn(self.out, text)
