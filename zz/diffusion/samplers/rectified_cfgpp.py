"""Rectified-CFG++ (Saini et al. 2025, arXiv:2510.07631): guidance of rectified flows as a predictor and a corrector.

With the velocities u and c, t = sigma from 1 to 0 and a step from t to s,

    x' = x + (s - t) / 2 * c(x, t)                       half a step by the prompt alone
    v  = c(x, t) + scale (1 - t)^power (c' - u'),        c' and u' at x' and half way
    x <- x + (s - t) v

so that scale = 0 is the conditional prediction (a gamma of 1). This is the algorithm as its author describes it
(shreshthsaini.github.io, commit 30960db). Their code for Stable Diffusion 3 (shreshthsaini/Rectified-CFGpp, commit
d90b8d7) differs, and is here too as `reading=as_run`: the predictor goes the whole step, the corrector tells the
network the time of t, less by t - s in units of sigma, and power is 0. Its noise on the predictor, of deviation .005
from torch's global generator, is not here.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.outputs import output
from zz.diffusion.prediction import from_velocity
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.walk import BOTH, Walk
from zz.diffusion.schedule import Node
from zz.diffusion.validate import READING, Range


@dataclass(frozen=True)
class RectifiedCFGpp(Sampler):
    """Two predictions a step, three evaluations, on rectified flows only; gamma1 has no part in it.

    scale:   of c' - u' at the clean end; the author suggests 2.5 to 4, and their code has 4.5
    power:   how it grows from 0 at pure noise: (1 - t)^power; 1 to 2
    reading: described, or as_run
    """

    name: ClassVar[str] = "rectified_cfgpp"
    version: ClassVar[int] = 1
    affine: ClassVar[bool] = True
    plain: ClassVar[bool] = True

    gamma1: float = 5.5
    scale: Annotated[float, Range(0)] = 3.5
    power: Annotated[float, Range(0)] = 1.5
    reading: Literal["described", "as_run"] = field(default="described", metadata=READING)

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        if any(abs(node.alpha + node.sigma - 1) > 1e-6 for node in walk.nodes):
            raise ValueError(
                "sampler=rectified_cfgpp is of rectified flows, which these noise levels are not; choose model=sd3 or "
                "another flow, or guidance=cfgpp"
            )
        for i in range(walk.T):
            t, s = walk.nodes[i], walk.nodes[i + 1]
            c = walk.denoise(x, t, 1.0, Leg.ZIG)
            x = walk.stay(x, x, i, 1.0, c)
            there, told = (s, t.time + s.sigma - t.sigma) if self.reading == "as_run" else _half_way(t, s)
            seen = walk.denoise.look(c.at(there), there.with_time(told), Leg.ZIG)
            ours, theirs, weak = (output(one, t, "velocity") for one in (c, seen.c, seen.u))
            v = ours + self._weight(t) * (theirs - weak)
            x = walk.down_by(x, i, 1.0, from_velocity(x, t, v), asked=BOTH)
        return x

    def resolve(self, T: int) -> Sampler:
        return replace(self, power=0.0) if self.reading == "as_run" else self

    def _weight(self, t: Node) -> float:
        return self.scale * (t.alpha**self.power if self.reading == "described" else 1.0)

    def nfe(self, T: int) -> int:
        return 2 * T


def _half_way(t: Node, s: Node) -> tuple[Node, float]:
    time = (t.time + s.time) / 2
    return Node((t.alpha + s.alpha) / 2, (t.sigma + s.sigma) / 2, time), time


__all__ = ["RectifiedCFGpp"]
