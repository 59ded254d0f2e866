"""End-to-end semantic injection (Bai et al. 2025, Algorithm 2): all the way down, all the way up, and down again."""

from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.fields import check_choice, check_number
from zz.diffusion.samplers.base import Sampler, Time, Walk
from zz.diffusion.trajectory import silent


@dataclass(frozen=True)
class EndToEnd(Sampler):
    """
    gamma1:       guidance of both ways down
    gamma2:       guidance of the way up
    network_time: the time that the network is told on the way up: of the noisier node t, or of the cleaner s
    v_at:         the level at which a v-prediction is read on the way up: t, or where the latent lies, s. Other
                  networks ignore it, a flow's velocity among them.
    """

    gamma1: float = 5.5
    gamma2: float = 0.0
    network_time: Time = "t"
    v_at: Time = "t"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True

    def __post_init__(self):
        check_number("gamma1", self.gamma1)
        check_number("gamma2", self.gamma2)
        check_choice("network_time", self.network_time, ("t", "s"))
        check_choice("v_at", self.v_at, ("t", "s"))

    def sample(self, denoise, x_T, schedule, solver, noise, probe=silent):
        walk = Walk(denoise, schedule, solver, noise, probe)
        x = x_T
        for i in range(schedule.T):
            x = walk.down(x, i, self.gamma1)
        for i in reversed(range(schedule.T)):
            x = walk.up(x, i, self.gamma2, self.network_time, self.v_at)
        for i in range(schedule.T):
            x = walk.down(x, i, self.gamma1)
        return x

    def nfe(self, T):
        return 3 * T

    def resolve(self, T):
        return self
