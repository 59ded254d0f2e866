"""Work shared out over devices: one spawned process each, by stride. One that dies loses the item under way.

What is shared out is files to be made, which anyone may make at any time, so nobody waits for anybody.
"""

import contextlib
import multiprocessing as mp
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from zz.lab.store.store import Store, StoreError

Work = Callable[[Sequence[Any], Store, str], Iterator[Any]]  # items, store, device -> what was done, and messages
OnMessage = Callable[[str], None]


class Terminated(Exception):
    """The run was asked to end (SIGTERM), and did so at the end of a slot."""


def run(
    work: Work,
    items: Sequence[Any],
    store: Store,
    devices: Sequence[str],
    threads: int,
    on_done: Callable[[Any], None],
    on_message: OnMessage,
) -> None:
    """Do `work` on all devices. `on_message` hears what is text, `on_done` all else that it yields.

    Raises what the work raises if there is one device; with several, the others go on. Raises Terminated on SIGTERM.
    """
    if not items:
        return
    if len(devices) > 1:
        _spread(work, items, store, devices, threads, on_done, on_message)
        return
    with limited_threads(threads), _until_sigterm() as asked_to_end:
        for done in work(items, store, devices[0]):
            if isinstance(done, str):
                on_message(done)
                continue
            on_done(done)
            if asked_to_end:
                raise Terminated


def _spread(
    work: Work,
    items: Sequence[Any],
    store: Store,
    devices: Sequence[str],
    threads: int,
    on_done: Callable[[Any], None],
    on_message: OnMessage,
) -> None:
    """One spawned process a device; items are shared out by stride."""
    context = mp.get_context("spawn")  # a child forked after a multi-threaded operation may hang
    workers: dict[Connection, BaseProcess] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(_reap, workers)
        asked_to_end = stack.enter_context(_until_sigterm())
        for rank, device in enumerate(devices[: len(items)]):
            here, there = context.Pipe(duplex=False)
            args = (there, work, items[rank :: len(devices)], store, device, threads)
            process: BaseProcess = context.Process(
                target=_worker, args=args, daemon=True, name=f"worker {rank} on {device}"
            )
            process.start()
            there.close()
            workers[here] = process
        told_them = False
        while workers:
            if asked_to_end and not told_them:
                told_them = True
                for process in workers.values():
                    process.terminate()
            for pipe in wait(list(workers), timeout=0.2):
                assert isinstance(pipe, Connection)
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    process = workers.pop(pipe)
                    process.join()
                    if process.exitcode and not asked_to_end:
                        on_message(f"{process.name} died with exit code {process.exitcode}; the others go on")
                    continue
                if isinstance(message, str):
                    on_message(f"{workers[pipe].name}: {message}")
                else:
                    on_done(message)
    if asked_to_end:
        raise Terminated


def _worker(pipe: Connection, work: Work, items: Sequence[Any], store: Store, device: str, threads: int) -> None:
    """A spawned process. The parent hears of everything done, or of the one error that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(threads)
    try:
        with _until_sigterm() as asked_to_end:
            for done in work(items, store, device):
                pipe.send(done)
                if asked_to_end:
                    raise SystemExit(143)
    except BrokenPipeError:
        raise SystemExit(1) from None  # the parent is gone
    except (ValueError, StoreError, RuntimeError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


@contextlib.contextmanager
def _until_sigterm() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM arrives. Elsewhere than in the main thread none can, and it stays empty."""
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: arrived.append(number))
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGTERM, before)


def _reap(workers: dict[Connection, BaseProcess]) -> None:
    for process in workers.values():
        process.kill()  # every file is whole at any moment
        process.join()


@contextlib.contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """So many CPU threads for torch, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
