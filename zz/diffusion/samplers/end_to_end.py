"""End-to-end semantic injection (Bai et al. 2025, Algorithm 2)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.walk import NetworkTime, Time, Walk


@dataclass(frozen=True)
class EndToEnd(Sampler):
    """End-to-end semantic injection: all the way down, all the way up, and down again.

    gamma1:       guidance of both ways down
    gamma2:       guidance of the way up
    network_time: the time that the network is given on the way up: of the noisier node t, of the cleaner s, or `even`,
                  t - N // T
    v_at:         the level at which a v-prediction is read on the way up: t, or where the latent lies, s. Other
                  networks ignore it, a flow's velocity among them.
    """

    name: ClassVar[str] = "end_to_end"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    gamma1: float = 5.5
    gamma2: float = 0.0
    network_time: NetworkTime = "t"
    v_at: Time = "t"

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        x = walk.down(x, 0, self.gamma1, walk.T)
        x = walk.up(x, 0, self.gamma2, walk.T, self.network_time, self.v_at)
        return walk.down(x, 0, self.gamma1, walk.T)

    def nfe(self, T: int) -> int:
        return 3 * T
