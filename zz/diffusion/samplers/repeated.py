"""Guidance K times a step, CFG x K and CFG++ x K: Foresight guidance's controls (Wang et al. 2025, arXiv:2510.21512).

With d = eps_c - eps_u at the latent, each of the first K - 1 times moves it along d and no nearer to clean,

    x <- x - (sigma_t - alpha_t r_s) gamma1 d   (final=cfg)      x <- x - sigma_t scale d   (final=cfgpp)

and the last is a step of that guidance. Once is the guidance itself. K times under classifier-free guidance is
`implicit_zigzag` with gamma2 = 0 and K - 1 rounds in every step, and the same cell. In their code (Ka1b0/
Foresight-Guidance, commit 6fb1eb9) CFG x K leaves its last step unguided, which is not done here.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.fsg import cfgpp, check_cfgpp
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.validate import Positive, Proportion


@dataclass(frozen=True)
class Repeated(Sampler):
    """Standard sampling with K looks and K moves along them in each step.

    gamma1: guidance of the steps with final=cfg
    scale:  of the steps with final=cfgpp, 0 to 1
    times:  K
    final:  the guidance: cfg or cfgpp
    """

    name: ClassVar[str] = "repeated"
    version: ClassVar[int] = 1

    gamma1: float = 5.5
    scale: Proportion = 0.6
    times: Positive = 2
    final: Literal["cfg", "cfgpp"] = "cfg"

    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        if self.final == "cfg":
            return self._implicit(walk.T).trajectory(walk, x)
        for i in range(walk.T):
            for _ in range(self.times - 1):
                seen = walk.look(x, i)
                x = walk.stay(x, x - walk.nodes[i].sigma * self.scale * seen.gap, i, self.scale, seen)
            x = cfgpp(walk, x, i, self.scale)
        return x

    def nfe(self, T: int) -> int:
        return self._implicit(T).nfe(T) if self.final == "cfg" else T * self.times

    def resolve(self, T: int) -> Sampler:
        return self._implicit(T).resolve(T) if self.final == "cfg" else self

    def check(self, guidance: Guidance) -> None:
        super().check(guidance)
        if self.final == "cfg":
            self._implicit(1).check(guidance)
        else:
            check_cfgpp(self, guidance)

    def _implicit(self, T: int) -> ImplicitZigzag:
        return ImplicitZigzag(self.gamma1, 0.0, T, self.times - 1)


__all__ = ["Repeated"]
