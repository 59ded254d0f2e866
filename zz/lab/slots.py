"""What is shared out: slots of consecutive prompts, and bundles of slots whose trajectories begin alike.

A slot is `width` consecutive prompts of one cell, with borders at multiples of width from prompt 0. It is always
sampled at its full width (a short one is padded), so that at equal batch size and device a picture is the same file
whatever was interrupted and however many workers took part.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from zz.lab.planner import Job


@dataclass(frozen=True)
class Slot:
    """Prompts start..start + width of one job, of which `indices` are to be written."""

    job: Job
    start: int
    width: int
    indices: tuple[int, ...]

    @property
    def padded(self) -> list[int]:
        """The prompts that are sampled: the slot's own, and its last one again where the job ends."""
        return [min(i, self.job.wanted - 1) for i in range(self.start, self.start + self.width)]


Bundle = tuple[Slot, ...]  # slots over the same prompts whose trajectories begin alike, in the order that shares most


def slots(job: Job, width: int, missing: Iterable[int]) -> list[Slot]:
    """A job's slots that hold any of the missing pictures."""
    found: dict[int, list[int]] = {}
    for i in missing:
        found.setdefault(i // width * width, []).append(i)
    return [Slot(job, start, width, tuple(found[start])) for start in sorted(found)]


def bundles(slots: Sequence[Slot], share: bool) -> list[Bundle]:
    """Slots put together by what their trajectories have in common; each by itself if that is not shared."""
    if not share:
        return [(slot,) for slot in slots]
    found: dict[tuple[Hashable, ...], list[Slot]] = {}
    for slot in slots:
        found.setdefault((slot.job.family, slot.start, slot.width), []).append(slot)
    return [tuple(sorted(same, key=lambda slot: slot.job.order)) for same in found.values()]
