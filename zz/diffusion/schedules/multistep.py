"""Rectified flow's times as diffusers' multistep solvers place them (`use_flow_sigmas`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from zz.diffusion.levels import Flow, Levels
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.schedules.base import Schedule
from zz.diffusion.validate import Range

BELOW = 1e-6  # what UniPC takes off a first time of 1


@dataclass(frozen=True)
class MultistepShifted(Schedule):
    """The first T of T + 1 even times, shifted as in `Shifted`. The network is given whole times, rounded down.

    shift:  above 0; 1 is uniform
    placed: as by `unipc`, from 1 (less 1e-6) to 1 / N, or by `dpm_solver`, from 1 - 1 / N to 0; the last is left out
    """

    shift: Annotated[float, Range(1e-6)] = 1.0
    placed: Literal["unipc", "dpm_solver"] = "unipc"

    def nodes(self, levels: Levels, T: int) -> Nodes:
        if T < 1:
            raise ValueError(f"steps={T} must be at least 1")
        if not isinstance(levels, Flow):
            raise ValueError("a shifted flow schedule needs a rectified-flow model; choose schedule=model")
        even = [*(1 + i * ((1 / levels.N - 1) / T) for i in range(T)), 1 / levels.N]  # in numpy's order, to the bit
        ts = even[:-1] if self.placed == "unipc" else [1 - t for t in even[:0:-1]]
        ts = [self.shift * t / (1 + (self.shift - 1) * t) for t in ts]
        if self.placed == "unipc":
            ts[0] -= BELOW
        return Nodes((*(Node(1 - t, t, float(int(levels.N * t))) for t in ts), levels.node(0.0)), levels)
