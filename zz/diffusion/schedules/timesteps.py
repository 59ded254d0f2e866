"""diffusers' three ways to space timesteps."""

from dataclasses import dataclass
from typing import Literal

from zz.diffusion.levels import Levels
from zz.diffusion.schedule import Nodes
from zz.diffusion.schedules.base import Final, Schedule
from zz.diffusion.schedules.explicit import Explicit


@dataclass(frozen=True)
class Timesteps(Schedule):
    """diffusers' three spacings (Lin et al. 2024, Table 2), for a discrete levels.

    spacing: leading, trailing or linspace
    offset:  added to every leading timestep (`steps_offset`); the other two have none
    final:   the last node: `clean` (alpha = 1) or `first` (the network's least noisy level; `set_alpha_to_one: false`)
    """

    spacing: Literal["leading", "trailing", "linspace"] = "leading"
    offset: int = 1
    final: Final = "first"

    def nodes(self, levels: Levels, T: int) -> Nodes:
        N = levels.N
        if not 1 <= T <= N:
            raise ValueError(f"steps={T} cannot be placed on {N} training timesteps; choose 1..{N}")
        if self.spacing == "leading":
            times = [i * (N // T) + self.offset for i in range(T)][::-1]
        elif self.spacing == "trailing":
            times = [round(N - i * N / T) - 1 for i in range(T)]
        else:
            times = [round(i * (N - 1) / max(T - 1, 1)) for i in range(T)][::-1]
        if times[0] > N - 1:
            raise ValueError(
                f"steps={T} with {self.spacing} spacing and offset {self.offset} asks for timestep {times[0]}, "
                f"but the network's last is {N - 1}; choose fewer steps, or schedule=trailing schedule.final=clean"
            )
        return Explicit(tuple(times), self.final).nodes(levels, T)
