"""Signals that ask a run to end: SIGTERM, SIGHUP and SIGUSR1, the last as SLURM may send it before the time limit.

In the middle of its work it ends after the slot under way, elsewhere at once. Imports no torch.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class Terminated(BaseException):
    """The run was asked to end, and did so; what is made is kept. Like KeyboardInterrupt, it is no error."""


def ending_signals() -> list[signal.Signals]:
    """The signals that end a run here; none elsewhere than in the main thread.

    What is ignored stays so, as SIGHUP under nohup; under submitit all but SIGTERM are its own.
    """
    names = ["SIGTERM"] if "SUBMITIT_EXECUTOR" in os.environ else ["SIGTERM", "SIGHUP", "SIGUSR1"]
    here = threading.current_thread() is threading.main_thread()
    known = [signal.Signals[name] for name in names if name in signal.Signals.__members__] if here else []
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Raise Terminated when a signal arrives."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    with _handled(end):
        yield


@contextlib.contextmanager
def noted() -> Iterator[list[int]]:
    """A list that is empty until a signal arrives. Elsewhere than in the main thread none can, and it stays empty."""
    arrived: list[int] = []
    with _handled(lambda number, frame: arrived.append(number)):
        yield arrived


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in ending_signals()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
