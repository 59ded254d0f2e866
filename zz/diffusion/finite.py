"""Nothing that is not finite is a result: NaN and infinity are found, traced to where they began, and named."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from zz.diffusion.prediction import Prediction
from zz.diffusion.probes.step import Probe, Step

Walking = Callable[[Tensor, Any, Probe], Tensor]
WEIGHTS = "run in precision 32 or bf16 (runner.precision=32) if it overflows, or replace its weights if they are broken"


class NotFinite(ValueError):
    """NaN or infinity where a result is due.

    what:    where it began, the likely cause and the remedy
    rows:    which pictures of the batch it is in
    latents: the batch's latents, of which the other rows are good, if there are any yet  # (B, C, [F,] h, w)
    """

    def __init__(self, what: str, rows: Sequence[int], latents: Tensor | None = None) -> None:
        super().__init__(what)
        self.what, self.rows, self.latents = what, tuple(rows), latents

    def __reduce__(self) -> tuple[type["NotFinite"], tuple[str, tuple[int, ...]]]:
        return NotFinite, (self.what, self.rows)  # latents stay in their process


def bad_rows(x: Tensor) -> list[int]:
    """The rows of a batch that hold a number that is not finite.  # x: (B, ...)"""
    good = x.isfinite().flatten(1).all(1)
    return [] if good.all() else (~good).nonzero().flatten().tolist()


def checked(x: Tensor, what: str) -> Tensor:
    """x as it is. Raises NotFinite with `what` where it is not finite.  # (B, ...)"""
    if rows := bad_rows(x):
        raise NotFinite(what, rows)
    return x


def walked(walk: Walking, start: Tensor, conditions: Any, probe: Probe) -> Tensor:
    """What a walk ends with. Raises NotFinite if that is not finite, once it has been walked again to see where.

    walk:       of start, conditions and a probe; asked again it gives the same
    start:      (B, C, [F,] h, w)
    conditions: of the prompts and the negative prompts, of whatever tensors they are made
    """
    x = walk(start, conditions, probe)
    if rows := bad_rows(x):
        raise NotFinite(_traced(walk, start, conditions), rows, x)
    return x


def _traced(walk: Walking, start: Tensor, conditions: Any) -> str:
    if bad_rows(start):
        return "the starting latents are not finite: give others as initial_latents"
    texts: list[bool] = []
    apply_to_collection(conditions, Tensor, lambda tensor: texts.append(bool(tensor.isfinite().all())))
    if not all(texts):
        return f"what the text encoder makes of the prompts is not finite; {WEIGHTS}"
    try:
        walk(start, conditions, _trace)
    except _Found as found:
        return str(found)
    return "latents are not finite at the end, but were when it was sampled again: the device may be faulty"


@contextmanager
def naming(field: str, first: int) -> Iterator[None]:
    """What is not finite in a batch is named by the field that it comes from, whose entry `first` is the first row."""
    try:
        yield
    except NotFinite as error:
        rows = [first + row for row in error.rows]
        some = ", ".join(f"{field}[{row}]" for row in rows[:3]) + (f" and {len(rows) - 3} more" if rows[3:] else "")
        raise NotFinite(f"{some}: {error.what}", rows) from None


class _Found(Exception):
    """Where a trajectory stops being finite."""


def _trace(step: Step) -> None:
    where = f"step {step.i} ({step.leg})"
    if _bad(step.prediction):
        u, c = step.denoise.look(step.x, step.source, step.leg)
        if _bad(u) or _bad(c):
            raise _Found(f"latents are not finite from {where} on: the network's prediction is not; {WEIGHTS}")
        raise _Found(
            f"latents are not finite from {where} on: each branch of the network is, but what guidance makes of them "
            "is not; choose a smaller guidance scale or another guidance"
        )
    if bad_rows(step.y):
        raise _Found(
            f"latents are not finite from {where} on: the prediction is, but the solver's move is not; "
            "choose a smaller guidance scale or another solver"
        )


def _bad(prediction: Prediction) -> bool:
    return bool(bad_rows(prediction.x0) or bad_rows(prediction.eps))
