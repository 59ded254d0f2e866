"""What is written for a person to watch, and may be lost."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TextIO


class Window:
    """A stream that may be full or closed: what follows then goes nowhere, and nothing ends for it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._lossy():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._lossy():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _lossy(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError, ValueError):  # whoever flushes it later shall not fail either
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
