"""Loggers of rows: what the store holds of each row, sent to somewhere else, each number once.

While a run works a thread of its own does the sending, so that nothing waits on a slow disk or a server. Of several
tasks the first one sends for all; of several runs over one row, whoever holds the row's lease.
"""

import hashlib
import queue
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from zz.diffusion.validate import Positive, Range, validate
from zz.lab.cluster import Shard
from zz.lab.lease import Leases
from zz.lab.loggers import history
from zz.lab.loggers.base import Logger, Say, Start
from zz.lab.loggers.sent import Sent
from zz.lab.loggers.sink import About, Sink
from zz.lab.results import Comparison, Results
from zz.lab.slots import SlotDone
from zz.lab.store.manifest import Manifest, Row
from zz.lab.store.store import Store

LOOK = 15.0  # seconds between two looks at what other tasks have made
LEASE = 120.0  # seconds after which a row that another run sends is taken for abandoned


@dataclass(frozen=True)
class RowLogger(Logger):
    """One history a row, kept apart by the row's id; what was sent is noted in the store.

    patience: seconds that the end of a run waits for what is still to be sent
    open:     rows that are open at once; the one that was longest without news is closed for another
    """

    name: ClassVar[str]
    patience: Annotated[float, Range(0)] = 20
    open: Positive = 8
    _running: "list[_Thread]" = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        validate(self, f"logger.{self.name}")

    @abstractmethod
    def destination(self, store: Store) -> str:
        """Where it sends to: what was sent is noted apart for each."""

    @abstractmethod
    def sink(self, about: About, say: Say) -> Sink:
        """Open a row there, in the thread that sends."""

    @property
    def shown(self) -> int:
        """How many pairs of pictures of a row are shown."""
        return 0

    @property
    def enabled(self) -> bool:
        """Whether there is anything to send to."""
        return True

    def check(self) -> None:
        """Raise ValueError, with the field and the remedy, where nothing can be sent."""

    def on_start(self, start: Start) -> None:
        if self.enabled:
            self.check()
        if not self.enabled or Shard.here().rank or not start.store.writable():
            return
        self._running.clear()
        self._running.append(_Thread(Sender(self, start.store, start.manifest, start.configs, start.say)))

    def on_slot(self, done: SlotDone) -> None:
        for thread in self._running:
            thread.do(lambda sender: sender.slots([done.row]))

    def on_results(self, results: Results) -> None:
        for thread in self._running:
            thread.do(lambda sender: sender.results(results))
            thread.do(lambda sender: sender.tables(results))

    def on_end(self, made: int, missing: int) -> None:
        for thread in self._running:
            thread.end(self.patience)
        self._running.clear()


class Sender:
    """Sends what is new.

    configs: by row, as `Start` has them
    groups:  by row, the manifest that it belongs to, where that is another one
    """

    def __init__(
        self,
        logger: RowLogger,
        store: Store,
        manifest: Manifest,
        configs: Mapping[str, Mapping[str, Any]],
        say: Say,
        groups: Mapping[str, Manifest] | None = None,
    ) -> None:
        self.logger, self.store, self.manifest, self.configs, self.say = logger, store, manifest, configs, say
        self.groups = groups or {}
        digest = hashlib.sha256(logger.destination(store).encode()).hexdigest()[:8]
        self.where = f"{logger.name}-{digest}"
        self.leases = Leases(LEASE)
        self._events: dict[str, history.SlotEvents] = {}
        self._abouts: dict[str, About] = {}
        self._open: OrderedDict[str, tuple[Sink, Path]] = OrderedDict()
        self._complete: dict[str, bool] = {}
        self.sent = set[str]()  # whose numbers went out

    def slots(self, rows: list[str] | None = None) -> None:
        """What slots made, by whomever. rows: only of these"""
        for row in self.manifest.rows if rows is None else [self.manifest.row(id) for id in rows]:
            if row.id not in self._events:
                self._events[row.id] = history.SlotEvents(self._folder(row) / "events.jsonl", row.id)
            found, path = self._events[row.id].read(), self._noted(row)
            if len(found) <= Sent.read(path).slots or not (sink := self._opened(self._about(row), path)):
                continue
            sent = Sent.read(path)
            new, step = found[sent.slots :], sent.step
            sent.slots, sent.step = len(found), sent.step + len(new)
            sent.write()
            for n, numbers in enumerate(new):
                sink.log(step + n, numbers)

    def results(self, results: Results) -> None:
        """Everything else of the rows: means and winning rates, curves, pictures."""
        self.manifest = results.manifest
        self.slots()
        comparisons = results.comparisons()
        for row in self.manifest.rows:
            self._complete[row.id] = results.complete(row)
            self._results(results, row, comparisons)

    def _results(self, results: Results, row: Row, comparisons: list[Comparison]) -> None:
        path, about = self._noted(row), self._about(row)
        self._whole(about, path, history.whole(results, row, comparisons))
        if measured := history.measured(self.store, row):
            self._part(about, path, "curves", measured, lambda s, sent: _log(s, sent, history.curves(results, row)))
        if row.role != "asked" or not self.logger.shown:
            return
        rows = history.partners(results, row)
        pictures = history.common(results, rows, self.logger.shown)
        if pictures:
            names = [[one.id for one in rows.values()], [p.name for p in pictures], sorted(row.scorers or {})]
            self._part(
                about,
                path,
                "pictures",
                names,
                lambda s, sent: s.pictures(_next(sent), history.pairs(results, rows, pictures)),
            )

    def tables(self, results: Results) -> None:
        """Of a manifest as a whole: its cells, its comparisons, and scores over each field that was swept."""
        manifest, comparisons = results.manifest, results.comparisons()
        id = hashlib.sha256(f"tables {manifest.id}".encode()).hexdigest()[:16]
        path = self.store.root / "manifests" / "sent" / f"{self.where}-{id}.json"
        about = About(id, manifest.name, "tables", f"{manifest.name}: tables", (), {**_of(manifest), "role": "tables"})
        cells = [
            [row.title, row.role, score, *results.mean(row, score), results.scored(row, score), row.predictions]
            for row in manifest.rows
            for score in row.scorers or {}
        ]
        wins = [
            [c.row.title, c.role, c.score, *c.winning.rate, *c.winning.difference, c.winning.n] for c in comparisons
        ]
        of = ("value", "low", "high")
        columns = ["row", "role", "score", *of, "n", "predictions"]
        self._part(about, path, "cells", cells, lambda s, sent: s.table(_next(sent), "cells", columns, cells))
        compared = ["row", "against", "score", *(f"winning {x}" for x in of), *(f"difference {x}" for x in of), "n"]
        if wins:
            self._part(about, path, "winning", wins, lambda s, sent: s.table(_next(sent), "winning", compared, wins))
        for label, points in history.sweeps(results):
            named = [{f"over {label}/{key}": x for key, x in point.items()} for point in points]
            self._part(about, path, f"over {label}", named, partial(_log, points=named))
        self._complete[id] = True

    def _part(self, about: About, path: Path, part: str, content: Any, send: Callable[[Sink, Sent], None]) -> None:
        """Send a part unless it was sent as it is."""
        if Sent.read(path).has(part, content) or not (sink := self._opened(about, path)):
            return
        sent = Sent.read(path)
        if not sent.has(part, content):  # by another run, meanwhile
            sent.note(part, content)
            send(sink, sent)

    def _whole(self, about: About, path: Path, numbers: history.Numbers) -> None:
        if not Sent.read(path).changed(numbers) or not (sink := self._opened(about, path)):
            return
        sent = Sent.read(path)
        if changed := sent.changed(numbers):
            sent.numbers.update(changed)
            sent.write()
            sink.whole(sent.numbers, changed)

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._close()

    def _close(self) -> None:
        id, (sink, lease) = self._open.popitem(last=False)
        try:
            sink.close(self._complete.get(id, False))
        finally:
            self.leases.release([lease])

    def _opened(self, about: About, path: Path) -> Sink | None:
        """The row's sink; None while another run sends the row."""
        if about.id not in self._open:
            lease = path.with_suffix(".lease")
            if not self.leases.take([lease]):
                return None
            while len(self._open) >= self.logger.open:
                self._close()
            try:
                self._open[about.id] = self.logger.sink(about, self.say), lease
            except BaseException:
                self.leases.release([lease])
                raise
        self._open.move_to_end(about.id)
        self.sent.add(about.id)
        return self._open[about.id][0]

    def _about(self, row: Row) -> About:
        if row.id in self._abouts:
            return self._abouts[row.id]
        config = history.about(self.store, row, self.configs.get(row.id))
        manifest = self.groups.get(row.id, self.manifest)
        tags = tuple(dict.fromkeys(filter(None, (str(config.get("model", "")), row.dataset, *row.labels))))
        about = About(row.id, manifest.name, row.role, row.title, tags, {**_of(manifest), **config})
        return self._abouts.setdefault(row.id, about)

    def _folder(self, row: Row) -> Path:
        return self.store.root / "cells" / row.cell

    def _noted(self, row: Row) -> Path:
        return self._folder(row) / "sent" / f"{self.where}-{row.id}.json"


def _of(manifest: Manifest) -> dict[str, Any]:
    return {"manifest": manifest.id, "experiment": manifest.experiment, "scale": manifest.scale}


def _next(sent: Sent, n: int = 1) -> int:
    """The next step of a history, and n of them noted as sent."""
    step, sent.step = sent.step, sent.step + n
    sent.write()
    return step


def _log(sink: Sink, sent: Sent, points: Sequence[history.Numbers]) -> None:
    step = _next(sent, len(points))
    for n, numbers in enumerate(points):
        sink.log(step + n, numbers)


class _Thread:
    """Sends in the background. What it raises is raised to whoever asks for more, once."""

    def __init__(self, sender: Sender) -> None:
        self.sender, self._error, self._over = sender, list[Exception](), threading.Event()
        self._todo: queue.SimpleQueue[Callable[[Sender], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"logger {sender.where}")
        self._thread.start()

    def do(self, work: Callable[[Sender], None]) -> None:
        """Have it done, some time."""
        if self._error:
            raise self._error[0]
        self._todo.put(work)

    def end(self, patience: float) -> None:
        """Wait for what is still to be done, but not for longer than that."""
        self._todo.put(None)
        self._thread.join(patience)
        if self._error:
            raise self._error[0]
        if self._thread.is_alive():
            self._over.set()
            rest = f"`python -m zz.log store={self.sender.store.root} logger={self.sender.logger.name}` sends the rest"
            self.sender.say(f"{self.sender.logger.name} did not take everything within {patience:g} s; {rest}")

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                try:
                    work = self._todo.get(timeout=LOOK)
                except queue.Empty:
                    work = Sender.slots
                if work is None:
                    break
                self.sender.leases.touch()  # what is open is still being sent
                work(self.sender)
            self.sender.slots()
            self.sender.close()
        except Exception as error:  # whatever a logger's backend raises
            self._error.append(error)


__all__ = ["RowLogger", "Sender"]
