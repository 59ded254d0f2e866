"""The host of a worker process: asks it about pictures, and survives whatever it does.

A worker that dies, falls silent, does not answer in time or says what is no answer is killed and started again, and is
asked only what it has not answered. Those that it had before it are then given to it one by one, and a picture with
which it ends twice more, alone, is given up alone. A worker that ends four times without an answer between is given up.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

AHEAD = 8  # requests that a worker has before it
ALONE = 2  # ends with one picture alone, after which that is given up
STRIKES = 4  # ends without an answer between, after which the worker is given up
LAST_WORDS = 20  # lines of standard error that are kept


class Unanswered(Exception):
    """Some pictures have no answer. `answers` has None for them; the message says why."""

    def __init__(self, answers: Sequence[Any], why: str) -> None:
        super().__init__(why)
        self.answers = list(answers)


class _Ended(Exception):
    """The worker has come to an end, or is to be brought to it; the message says why."""


@dataclass
class Host:
    """A worker and how long it is waited for.

    name:    of the worker, for messages
    command: that starts it
    env:     its environment variables; None: this process's
    silence: seconds without a line after which it counts as hung
    limit:   seconds without an answer, while it has something to answer
    start:   seconds until it is ready
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] | None = None
    silence: float = 60.0
    limit: float = 300.0
    start: float = 1800.0
    versions: Mapping[str, str] = field(default_factory=dict)  # what the worker says that it runs
    starts: int = 0
    strikes: int = 0
    why: str = ""  # it ended last
    _worker: "_Process | None" = None

    @contextmanager
    def running(self) -> Iterator["Host"]:
        """Start it, and end it with the `with`. Raises ValueError where it cannot be started."""
        try:
            while self._worker is None:
                self._begin()
                if self.strikes >= STRIKES:
                    raise ValueError(f"{self.name} cannot be started: {self.why}")
            yield self
        finally:
            if self._worker:
                self._worker.end()

    def ask(self, requests: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The answers, one a request in their order. Raises Unanswered where some have none."""
        answers: dict[int, Any] = {}
        refused: dict[int, str] = {}
        ended = dict.fromkeys(range(len(requests)), -1)  # how often the worker ended with it alone; -1: nor with others
        while len(answers) + len(refused) < len(requests) and self.strikes < STRIKES:
            todo = [i for i in ended if i not in answers and i not in refused]
            if self._worker is None:
                self._begin()
                continue
            suspects = [i for i in todo if ended[i] >= 0]
            under_way: dict[int, None] = {}
            try:
                self._some(requests, suspects[:1] or todo, answers, refused, under_way)
            except _Ended as error:
                self._fell(str(error))
                for i in under_way:
                    ended[i] += 1
                    if ended[i] >= ALONE:
                        refused[i] = self.why
        if len(answers) == len(requests):
            return [answers[i] for i in range(len(requests))]
        lacking = len(requests) - len(answers)
        why = next(iter(refused.values()), self.why)
        what = "1 picture has" if lacking == 1 else f"{lacking} pictures have"
        raise Unanswered([answers.get(i) for i in range(len(requests))], f"{self.name}: {what} no answer: {why}")

    def _begin(self) -> None:
        self.starts += 1
        try:
            self._worker = _Process(self.command, self.env)
            self.versions = self._worker.ready(self.start, self.silence)
        except (OSError, _Ended) as error:
            self._fell(str(error))

    def _fell(self, why: str) -> None:
        self.strikes += 1
        said = self._worker.end() if self._worker else ""
        self.why = f"the worker {why}{f' ({said})' if said else ''}"
        self._worker = None

    def _some(
        self,
        requests: Sequence[Mapping[str, Any]],
        todo: Sequence[int],
        answers: dict[int, Any],
        refused: dict[int, str],
        under_way: dict[int, None],
    ) -> None:
        """Ask these, a few ahead. Raises _Ended when the worker does."""
        worker = self._worker
        assert worker
        waiting, since = deque(todo), time.monotonic()
        while waiting or under_way:
            while waiting and len(under_way) < AHEAD:
                under_way[i := waiting.popleft()] = None
                worker.say({**requests[i], "id": worker.number(i)})
            line = worker.hear(self.silence, since + self.limit)
            about = worker.meant(line) if line else None
            if not line or about is None or about not in under_way:
                continue  # a sign of life, or what was answered before
            if "answer" in line:
                answers[about] = line["answer"]
            else:
                refused[about] = str(line.get("error", "it gave neither answer nor error"))
            del under_way[about]
            since, self.strikes = time.monotonic(), 0


class _Process:
    """One process, with a thread for each of its pipes, so that no pipe that is full holds anyone up."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, start_new_session=True, encoding="utf-8",
            errors="replace",
        )  # fmt: skip
        self._heard: queue.Queue[str | None] = queue.Queue()
        self._outbox: queue.Queue[str | None] = queue.Queue()
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._numbers, self._ids = count(), dict[int, int]()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._read, self._write, self._drain)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stdout:
                self._heard.put(line)
        self._heard.put(None)

    def _write(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(ValueError, OSError):
            while (line := self._outbox.get()) is not None:
                self.process.stdin.write(line)
                self.process.stdin.flush()
        with contextlib.suppress(ValueError, OSError):
            self.process.stdin.close()

    def _drain(self) -> None:
        assert self.process.stderr
        with contextlib.suppress(ValueError, OSError):
            while piece := self.process.stderr.readline(1 << 12):
                self._words.append(piece.strip())

    def number(self, i: int) -> int:
        """A number for a request that no other request of this process has."""
        self._ids[number := next(self._numbers)] = i
        return number

    def meant(self, line: Mapping[str, Any]) -> int | None:
        """Which request a line answers."""
        said = line.get("id")
        return self._ids.pop(said, None) if isinstance(said, int) else None

    def say(self, request: Mapping[str, Any]) -> None:
        """Give it a request."""
        self._outbox.put(json.dumps(request) + "\n")

    def hear(self, silence: float, until: float) -> dict[str, Any] | None:
        """Its next line, None for a sign of life. Raises _Ended where it has ended, or it has been too long."""
        left = until - time.monotonic()
        if left <= 0:
            raise _Ended("did not answer in time")
        try:
            line = self._heard.get(timeout=min(silence, left))
        except queue.Empty:
            raise _Ended("fell silent" if silence < left else "did not answer in time") from None
        if line is None:
            raise _Ended(f"ended {_how(self.process.wait())}")
        try:
            found = json.loads(line)
        except ValueError:
            found = line
        if not isinstance(found, dict):
            raise _Ended(f"said what is no answer: {line.strip()[:80]!r}")
        return None if "alive" in found else found

    def ready(self, start: float, silence: float) -> dict[str, str]:
        """Wait until it can be asked: what it runs. Raises _Ended where it ends before."""
        until = time.monotonic() + start
        while True:
            if (line := self.hear(silence, until)) and isinstance(found := line.get("ready"), dict):
                return found

    def end(self) -> str:
        """Kill it, and what it started; the last line of its standard error."""
        self._outbox.put(None)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._threads[2].join(1)
        return next((word[:200] for word in reversed(self._words) if word), "")


def _how(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
