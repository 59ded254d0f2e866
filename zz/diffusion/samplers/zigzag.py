"""Zigzag diffusion sampling (Bai et al., ICLR 2025, arXiv:2412.10891, Algorithm 1)."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from torch import Tensor

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.reflecting import Reflecting
from zz.diffusion.samplers.walk import Inversion, NetworkTime, Time, Walk
from zz.diffusion.validate import READING


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
    network_time: the time that the network is given in the zag: of the noisier node t, of the cleaner s, or `even`,
                  t - N // T, as the authors' code for flows has it whatever its schedule
    v_at:         the level at which a v-prediction is read in the zag: t, or where the latent lies, s. A network that
                  is given s means its v at s: network_time=s goes with v_at=s. Other networks ignore it.
    below_one:    what gamma1 <= 1 means: `guided` is the formula; with `conditional` both gammas are then 1, as in the
                  official code and diffusers, which switch guidance off there
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
    network_time: NetworkTime = "t"
    v_at: Time = "t"
    below_one: Literal["guided", "conditional"] = field(default="guided", metadata=READING)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.below_one == "conditional" and self.gamma1 <= 1:
            for name in ("gamma1", "gamma2"):
                object.__setattr__(self, name, 1.0)

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:  # x: (B, C, [F,] H, W)
        for i in range(walk.T):  # i = T - t
            for _ in range(self.rounds_at(i, walk.T)):
                x = walk.down(x, i, self.gamma1, self.k)  # line 5: zig, Eq. 2
                x = walk.up(
                    x, i, self.gamma2, self.k, self.network_time, self.v_at, self.inversion
                )  # line 7: zag, Eq. 4
            x = walk.down(x, i, self.gamma1)  # line 8
        return x

    def resolve(self, T: int) -> Sampler:
        found = super().resolve(T)
        return replace(found, below_one="guided") if isinstance(found, Zigzag) else found
