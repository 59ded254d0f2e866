"""What is shared out: slots of consecutive entries, and bundles of slots whose trajectories begin alike.

A slot is `batch_size` consecutive entries of one repeat of a row's prompt list, cut at multiples of batch_size from its
start, before `limit`. It is always sampled at its full size (a short one is padded), so that at equal batch size and
device a picture is the same file whatever was interrupted and however many workers took part.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zz.data.base import Picture
from zz.lab.cell import Cell
from zz.lab.job import Job
from zz.lab.measurements.base import Measurement
from zz.lab.sharing import family
from zz.lab.store.store import Store


@dataclass(frozen=True)
class Slot:
    """Entries start..start + batch_size of one repeat, of which the pictures called `names` are to be written."""

    job: Job
    repeat: int
    start: int
    batch_size: int
    names: tuple[str, ...]
    measure: tuple[Measurement, ...] = ()  # that any of its pictures lacks

    def lease(self, store: Store) -> Path:
        """Where it stands that someone makes this slot: `limit`, and what follows in the list, make no difference."""
        return store.leases(self.job.cell) / self.job.prompts.picture(self.start, self.repeat).name

    @property
    def own(self) -> list[Picture]:
        """The pictures that are asked for, each once."""
        return list({one.name: one for one in self.padded}.values())

    @property
    def padded(self) -> list[Picture]:
        """The pictures that are sampled: the slot's own, and its last one again where what is asked for ends."""
        n = len(self.job.prompts.entries)
        last = (n if self.job.limit is None else min(self.job.limit, n)) - 1
        return [
            self.job.prompts.picture(min(i, last), self.repeat) for i in range(self.start, self.start + self.batch_size)
        ]


class SlotDone(NamedTuple):
    """One batch of pictures, made and written."""

    row: str
    cell: Cell
    names: tuple[str, ...]  # the pictures written
    seconds: float  # on the device, encoding and decoding and writing among them
    predictions: int  # guided predictions an image, counted
    evals: int  # network evaluations an image, counted
    shared_predictions: int  # of them, how many were answered from a trajectory that began alike
    shared_evals: int
    device: str  # and its vendor's name for it
    failed: Mapping[str, str]  # pictures that could not be made, and why
    prompt: str  # the last one
    peak_bytes: int
    cut: tuple[tuple[str, int], ...] = ()  # texts that the encoder cut, and how many tokens it reads
    doubled: tuple[str, ...] = ()  # pictures made that another run had written meanwhile; theirs are kept


Bundle = tuple[Slot, ...]  # slots over the same prompts whose trajectories begin alike, in the order that shares most


def slots(
    job: Job, batch_size: int, missing: Iterable[str], unmeasured: Mapping[Measurement, Iterable[str]] | None = None
) -> list[Slot]:
    """A row's slots that hold any of the missing pictures, or any that is still to be measured."""
    lacking = set(missing)
    found: dict[tuple[int, int], list[str]] = {}
    measure: dict[tuple[int, int], dict[Measurement, None]] = {}
    asked = {measurement: set(names) for measurement, names in (unmeasured or {}).items()}
    for picture, name in zip(job.pictures, job.names(), strict=True):
        where = picture.repeat, picture.entry // batch_size * batch_size
        if name in lacking:
            found.setdefault(where, []).append(name)
        for measurement, names in asked.items():
            if name in names:
                found.setdefault(where, [])
                measure.setdefault(where, {})[measurement] = None
    return [
        Slot(job, repeat, start, batch_size, tuple(names), tuple(measure.get((repeat, start), ())))
        for (repeat, start), names in sorted(found.items())
    ]


def bundles(slots: Sequence[Slot], share: bool) -> list[Bundle]:
    """Slots put together by what their trajectories have in common; each by itself if that is not shared."""
    if not share:
        return [(slot,) for slot in slots]
    found: dict[tuple[Hashable, ...], list[Slot]] = {}
    for slot in slots:  # what is measured is sampled by itself, and asked of the network alone
        apart = (slot.job.id,) if slot.measure else ()
        found.setdefault((*apart, family(slot.job), slot.repeat, slot.start, slot.batch_size), []).append(slot)
    return [tuple(sorted(same, key=lambda slot: slot.job.recipe.order)) for same in found.values()]
