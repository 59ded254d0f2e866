"""Timesteps as given."""

from dataclasses import dataclass

from zz.diffusion.levels import Levels
from zz.diffusion.schedule import Nodes
from zz.diffusion.schedules.base import Final, Schedule, final_node
from zz.diffusion.validate import as_tuple, check_number


@dataclass(frozen=True)
class Explicit(Schedule):
    """Timesteps as given, noisy to clean, then the final node. T must be their number."""

    times: tuple[float, ...]
    final: Final = "first"

    def __post_init__(self) -> None:
        for time in (times := as_tuple(self.times)):
            check_number("schedule.times", time, 0)
        object.__setattr__(self, "times", tuple(float(t) for t in times))
        super().__post_init__()

    def nodes(self, levels: Levels, T: int) -> Nodes:
        if len(self.times) != T:
            raise ValueError(
                f"the schedule lists {len(self.times)} timesteps but steps={T}; set steps={len(self.times)}"
            )
        nodes = [levels.node(t) for t in self.times]
        if nodes[-1].time == 0 and self.final == "first":
            raise ValueError(f"steps={T} ends at timestep 0, which is the final node already; use schedule.final=clean")
        return Nodes((*nodes, final_node(levels, self.final)), levels)
