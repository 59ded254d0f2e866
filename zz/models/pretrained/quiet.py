"""Loading without the progress bars and warnings of diffusers and transformers. Downloads still show their bars."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silence diffusers and transformers for as long as the `with` lasts, then restore their settings."""
    from transformers.utils import logging as transformers_log

    level = transformers_log.get_verbosity()
    transformers_log.set_verbosity_error()  # first: importing diffusers makes transformers warn
    from diffusers.utils import logging as diffusers_log

    other = diffusers_log.get_verbosity()
    diffusers_log.set_verbosity_error()
    logs = [log for log in (transformers_log, diffusers_log) if log.is_progress_bar_enabled()]
    for log in logs:
        log.disable_progress_bar()
    try:
        yield
    finally:
        transformers_log.set_verbosity(level)
        diffusers_log.set_verbosity(other)
        for log in logs:
            log.enable_progress_bar()
