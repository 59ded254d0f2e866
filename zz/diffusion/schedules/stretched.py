"""A rectified flow's times, stretched so that the last noisy one is given."""

from dataclasses import dataclass
from typing import Annotated

from zz.diffusion.levels import Levels
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class Stretched(Schedule):
    """Another schedule of a flow with 1 - t scaled, so that it still begins at 1 and `terminal` is its last noisy time.

    inner:    the schedule
    terminal: in (0, 1); diffusers' shift_terminal. A chain of one step begins at 1 and is left as it is.
    """

    inner: Schedule
    terminal: Annotated[float, Range(1e-6, 1 - 1e-6)] = 0.02

    def nodes(self, levels: Levels, T: int) -> Nodes:
        found = self.inner.nodes(levels, T)
        reached = found[-2].alpha  # 1 - t of the last noisy time
        if not reached:
            return found
        alphas = [node.alpha * (1 - self.terminal) / reached for node in found[:-1]]
        return Nodes((*(Node(a, 1 - a, levels.N * (1 - a)) for a in alphas), found[-1]), levels)

    def sized(self, size: tuple[int, int]) -> Schedule:
        return Stretched(self.inner.sized(size), self.terminal)
