"""Work shared out over devices: one spawned process each, by stride. One that dies loses the item under way.

What is shared out is files to be made, which anyone may make at any time, so nobody waits for anybody. One that shows
no sign of life is said, and in the end killed and started again.
"""

import contextlib
import math
import multiprocessing as mp
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from zz.lab.signals import Terminated, ending_signals, noted
from zz.lab.store.store import Store, StoreError

Alive = Callable[[], None]  # says that the work gets on
# items, store, device -> what was done, and messages; closed where it is not heard to its end
Work = Callable[[Sequence[Any], Store, str, Alive], Generator[Any, None, None]]
OnMessage = Callable[[str], None]

SILENCE = 60.0  # seconds without a sign of life after which that is said
GRACE = 30.0  # the same, after which a worker that was asked to end is killed
RESTARTS = 2  # of one worker that hangs; what it leaves is taken up when the others are done


def run(
    work: Work,
    items: Sequence[Any],
    store: Store,
    devices: Sequence[str],
    threads: int,
    on_done: Callable[[Any], None],
    on_message: OnMessage,
    patience: float | None = None,
) -> None:
    """Do `work` on all devices. `on_message` hears what is text, `on_done` all else that it yields.

    patience: seconds without a sign of life after which a worker is killed and started again; None: never

    Raises what the work raises if there is one device; with several, the others go on. Raises Terminated when a signal
    asks for the end, after the items under way. A worker that hangs then is killed after `GRACE`; with one device the
    work is done in this very process, which ends by itself with exit code 143.
    """
    if not items:
        return
    if len(devices) > 1:
        _Pool(work, items, store, devices, threads, on_done, on_message, patience).run()
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(limited_threads(threads))
        asked_to_end = stack.enter_context(noted())
        alive = stack.enter_context(_watched(on_message))
        for done in stack.enter_context(contextlib.closing(work(items, store, devices[0], alive))):
            alive()
            if isinstance(done, str):
                on_message(done)
                continue
            on_done(done)
            if asked_to_end:
                raise Terminated


@dataclass
class _Worker:
    """One spawned process, on the devices' `rank`-th."""

    rank: int
    process: BaseProcess
    starts: int
    heard: float = field(default_factory=time.monotonic)  # when it last showed a sign of life
    begun: bool = False  # whether it ever did: before, it imports what it needs
    say: float = SILENCE  # after so many seconds without one, twice as many the next time
    hung: bool = False  # and was killed for it


@dataclass
class _Pool:
    """One spawned process a device; items are shared out by stride."""

    work: Work
    items: Sequence[Any]
    store: Store
    devices: Sequence[str]
    threads: int
    on_done: Callable[[Any], None]
    on_message: OnMessage
    patience: float | None
    workers: dict[Connection, _Worker] = field(default_factory=dict)

    def run(self) -> None:
        """Until all have ended."""
        try:
            with noted() as asked_to_end:
                for rank in range(min(len(self.devices), len(self.items))):
                    self._start(rank, 1)
                told = 0.0
                while self.workers:
                    if asked_to_end and not told:
                        told = time.monotonic()
                        for worker in self.workers.values():
                            worker.process.terminate()
                    for pipe in wait(list(self.workers), timeout=0.2):
                        assert isinstance(pipe, Connection)
                        self._hear(pipe, bool(asked_to_end))
                    for worker in self.workers.values():
                        self._look_after(worker, told)
        finally:
            for worker in self.workers.values():
                worker.process.kill()  # every file is whole at any moment
                worker.process.join()
        if asked_to_end:
            raise Terminated

    def _start(self, rank: int, starts: int) -> None:
        context = mp.get_context("spawn")  # a child forked after a multi-threaded operation may hang
        here, there = context.Pipe(duplex=False)
        items, device = self.items[rank :: len(self.devices)], self.devices[rank]
        process = context.Process(
            target=_worker,
            args=(there, self.work, items, self.store, device, self.threads),
            daemon=True,
            name=f"worker {rank} on {device}",
        )
        process.start()
        there.close()
        self.workers[here] = _Worker(rank, process, starts)

    def _hear(self, pipe: Connection, ending: bool) -> None:
        """What a worker says, or that it has ended."""
        worker = self.workers[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            del self.workers[pipe]
            worker.process.join()
            if worker.hung and not ending and worker.starts <= RESTARTS:
                self._start(worker.rank, worker.starts + 1)
            elif worker.process.exitcode and not ending:
                died = f"{worker.process.name} died with exit code {worker.process.exitcode}"
                self.on_message(f"{died}; the others go on")
            return
        worker.heard, worker.begun = time.monotonic(), True
        if isinstance(message, str):
            self.on_message(f"{worker.process.name}: {message}")
        elif message is not None:
            self.on_done(message)

    def _look_after(self, worker: _Worker, told: float) -> None:
        """Say that a worker shows no sign of life, and kill it in the end. told: when all were asked to end, or 0."""
        silent, name = time.monotonic() - max(worker.heard, told), worker.process.name
        if worker.hung:
            return
        limit = self.patience or math.inf
        if silent > (GRACE if told else limit if worker.begun else max(limit, SILENCE)):
            worker.hung = True
            self.on_message(f"{name} showed no sign of life for {silent:.0f} s, and is killed; what it wrote is kept")
            worker.process.kill()
        elif silent > worker.say:
            worker.say *= 2
            fate = f"; after {self.patience:g} s it is started again (runner.patience)" if self.patience else ""
            self.on_message(f"{name} shows no sign of life for {silent:.0f} s{fate}")


def _worker(pipe: Connection, work: Work, items: Sequence[Any], store: Store, device: str, threads: int) -> None:
    """A spawned process. The parent hears of everything done, of life meanwhile, or of the one error that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(threads)
    said = 0.0

    def alive() -> None:
        nonlocal said
        if time.monotonic() - said > 1:
            said = time.monotonic()
            with contextlib.suppress(OSError):  # if the parent is gone: what is under way is done before the end
                pipe.send(None)

    try:
        alive()
        with noted() as asked_to_end, contextlib.closing(work(items, store, device, alive)) as doing:
            for done in doing:
                pipe.send(done)
                if asked_to_end:
                    raise SystemExit(143)
    except BrokenPipeError:
        raise SystemExit(1) from None  # the parent is gone
    except (ValueError, StoreError, RuntimeError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


@contextlib.contextmanager
def _watched(on_message: OnMessage) -> Iterator[Alive]:
    """Look after the work of this very process: a thread says that it shows no sign of life.

    If it shows none for long after a signal either, the process ends: a handler in Python does not run while a call
    into a device hangs, but the number of the signal arrives all the same.
    """
    heard, told, say, over = time.monotonic(), 0.0, SILENCE, threading.Event()
    get, put = os.pipe()
    os.set_blocking(put, False)
    ending = ending_signals()

    def alive() -> None:
        nonlocal heard
        heard = time.monotonic()

    def watch() -> None:
        nonlocal told, say
        while not over.wait(0.5):
            if select.select([get], [], [], 0)[0] and any(number in ending for number in os.read(get, 64)):
                told = told or time.monotonic()
            silent = time.monotonic() - max(heard, told)
            with contextlib.suppress(Exception):  # whatever a terminal raises
                if silent > say:
                    say *= 2
                    on_message(f"no sign of life for {silent:.0f} s")
            if told and silent > GRACE:
                os._exit(143)

    main = threading.current_thread() is threading.main_thread()
    before = signal.set_wakeup_fd(put, warn_on_full_buffer=False) if main else -1
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield alive
    finally:
        over.set()
        thread.join()
        if main:
            signal.set_wakeup_fd(before)
        os.close(get)
        os.close(put)


@contextlib.contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """So many CPU threads for torch, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
