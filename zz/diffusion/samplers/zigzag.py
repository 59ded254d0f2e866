"""Zigzag diffusion sampling (Bai et al., ICLR 2025, arXiv:2412.10891, Algorithm 1)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.walk import Inversion, Time, Walk


@dataclass(frozen=True)
class Zigzag(Reflecting):
    """Z-Sampling: before each of the first lambda steps, denoise with gamma1 and invert with the weaker gamma2.

    The guidance gap gamma1 - gamma2 writes the prompt into the latent, and the step then starts from there. (The
    paper reflects after its step, from the noisier node: the same moves, grouped otherwise.)

    gamma1:       guidance of the zig (denoising) and of the steps themselves
    gamma2:       guidance of the zag (inversion); 0 is unconditional
    lambda_:      how many steps, from the noisiest, are reflected; None: T - k
    k:            how many nodes one reflection goes down and back up (Table 12); 1 is Algorithm 1
    rounds:       reflections a step (`T_max` in the official code)
    inversion:    `exact` is Eq. 4; `ref_0_22` is the official code as it runs under diffusers >= 0.22, whose
                  zag moves by the coefficients of the step below (with a v-network it also reads at s: v_at=s)
    network_time: the time that the network is given in the zag: of the noisier node t, or of the cleaner s
    v_at:         the level at which a v-prediction is read in the zag: t, or where the latent lies, s. A network that
                  is given s means its v at s: network_time=s goes with v_at=s. Other networks ignore it.
    """

    name: ClassVar[str] = "zigzag"
    version: ClassVar[int] = 1
    inverts: ClassVar[bool] = True
    guidance_matched: ClassVar[bool] = True

    gamma1: float = 5.5
    gamma2: float = 0.0
    lambda_: int | None = None
    k: int = 1
    rounds: int = 1
    inversion: Inversion = "exact"
    network_time: Time = "t"
    v_at: Time = "t"

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:  # x: (B, C, [F,] H, W)
        for i in range(walk.T):  # i = T - t
            for _ in range(self.rounds_at(i, walk.T)):
                x = walk.down(x, i, self.gamma1, self.k)  # line 5: zig, Eq. 2
                x = walk.up(
                    x, i, self.gamma2, self.k, self.network_time, self.v_at, self.inversion
                )  # line 7: zag, Eq. 4
            x = walk.down(x, i, self.gamma1)  # line 8
        return x

    @property
    def _reaches_last(self) -> bool:
        return self.inversion == "exact"  # the other needs one node more below

    @property
    def _why(self) -> str:
        return f"inversion={self.inversion}"
