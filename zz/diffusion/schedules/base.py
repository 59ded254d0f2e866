"""Schedules: which of a network's noise levels a sampler stands on, as an explicit chain of T + 1 nodes.

A chain has no hidden rule for "the next timestep" (diffusers' DDIM steps to t - N // T whatever the list
says), so every schedule can be walked down and back up exactly.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from zz.diffusion.levels import Discrete, Levels
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.validate import validate

Final = Literal["clean", "first"]


class Schedule(ABC):
    """A rule that picks T + 1 nodes among a network's training levels."""

    def __post_init__(self) -> None:
        validate(self, "schedule")

    @abstractmethod
    def nodes(self, levels: Levels, T: int) -> Nodes:
        """The chain of nodes. Raises ValueError where T steps cannot be placed."""

    def bind(self, own: "Schedule") -> "Schedule":
        """This schedule, with `own` for the model's own wherever it stands in it."""
        return self

    def sized(self, size: tuple[int, int]) -> "Schedule":
        """This schedule for a picture of (height, width) pixels. Most are the same for any size."""
        return self


@dataclass(frozen=True)
class ModelSchedule(Schedule):
    """The schedule that the model's makers sample on."""

    def nodes(self, levels: Levels, T: int) -> Nodes:
        raise ValueError("a model's own schedule is known to the model only; bind it first")

    def bind(self, own: Schedule) -> Schedule:
        return own


def final_node(levels: Levels, final: Final) -> Node:
    """The last node of a chain; a flow knows the clean one only."""
    if final == "clean" or not isinstance(levels, Discrete):
        return Node(1.0, 0.0, 0.0)
    return levels.node(0.0)
