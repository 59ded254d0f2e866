"""Nodes uniform in time over the range of another schedule: what the compute-matched controls stand on."""

from dataclasses import dataclass, replace

from zz.diffusion.levels import Levels
from zz.diffusion.schedule import Nodes
from zz.diffusion.schedules.base import Schedule


@dataclass(frozen=True)
class UniformInTime(Schedule):
    """Nodes uniform in time from node 0 to node `steps` - 1 of another spacing, then its final node.

    The compute-matched control: T steps over the very range that `base` covers in `steps` steps.
    """

    base: Schedule
    steps: int

    def nodes(self, levels: Levels, T: int) -> Nodes:
        nodes = self.base.nodes(levels, self.steps)
        first, last = nodes[0].time, nodes[-2].time
        times = [first + (last - first) * i / max(T - 1, 1) for i in range(T)]
        return Nodes((*(levels.node(t) for t in times), nodes[-1]), levels)

    def bind(self, own: Schedule) -> Schedule:
        return replace(self, base=self.base.bind(own))

    def sized(self, size: tuple[int, int]) -> Schedule:
        return replace(self, base=self.base.sized(size))
