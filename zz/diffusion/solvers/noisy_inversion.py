"""Gaussian error injected into the inversion (Bai et al. 2025, Eq. 14 and Table 18)."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from torch import Tensor

from zz.diffusion.solvers.base import Solver
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class NoisyInversion(Solver):
    """Another solver whose way up sees eps + error * |eps_t| / |e| * e, for e fresh Gaussian noise.

    inner: the solver that is disturbed; its way down stays as it is
    error: s of Eq. 14, the error's norm in units of the norm of eps at the target, as it was on the way down
    """

    inner: Solver = field(default_factory=DDIM)
    error: Annotated[float, Range(0)] = 0.5
    version: ClassVar[int] = 1
    uses_past: ClassVar[bool] = True

    def down(self, prediction, source, target, past, z):
        return self.inner.down(prediction, source, target, past, z)

    def up(self, prediction, source, target, past, z):
        x = self.inner.up(prediction, source, target, past, z)
        if self.error == 0:
            return x
        if past is None:
            raise ValueError("an inversion can only be disturbed after a way down over the same node")
        e = z()
        e = e * (self.error * _norm(past.prediction.eps) / _norm(e))
        return x + (target.sigma - target.alpha * source.r) * e  # Eq. 4 is linear in eps

    @property
    def without_inversion(self):
        return self.inner.without_inversion

    @property
    def simplest(self):
        return self.inner.simplest if self.error == 0 else self


def _norm(x: Tensor) -> Tensor:
    """The norm of each image, (B, 1, ..., 1)."""
    return x.flatten(1).norm(dim=1).reshape(-1, *(1,) * (x.ndim - 1))
