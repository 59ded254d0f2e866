"""Loading without the loaders' own bars and remarks: a run has one bar, which is ours. Downloads still show theirs."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """For as long as the `with` lasts; afterwards diffusers and transformers talk as before."""
    from transformers.utils import logging as transformers_log

    level = transformers_log.get_verbosity()
    transformers_log.set_verbosity_error()  # before diffusers, whose import sets off its remarks
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
