"""What every sampler is: a loop of moves between nodes, written in `trajectory`."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.leg import Leg
from zz.diffusion.network import Guided, Predict
from zz.diffusion.noise import Noise
from zz.diffusion.probes.step import Probe, no_op
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.schedule import Nodes
from zz.diffusion.solvers.base import Solver
from zz.diffusion.validate import validate

# Fields that have a key of their own on the command line; others are set as sampler.NAME.
KEYS = frozenset(("gamma1", "gamma2", "lambda_", "k", "rounds", "inversion", "network_time", "v_at"))


class Sampler(ABC):
    """A way from noise to a clean latent. Frozen; without weights, prompts or a device."""

    name: ClassVar[str]  # as conf/sampler calls it
    gamma1: float  # guidance of its steps down
    version: ClassVar[int]  # raised when a fix moves numbers
    inverts: ClassVar[bool] = False  # whether it ever calls Walk.up
    affine: ClassVar[bool] = False  # whether it needs a guidance that is affine in gamma
    plain: ClassVar[bool] = False  # ... of the network's own branches
    is_control: ClassVar[bool] = False  # whether others are compared with it, and it with none
    guidance_matched: ClassVar[bool] = False  # whether `guidance_matched` stands for it, by its fields

    def __post_init__(self) -> None:
        validate(self, "sampler", KEYS)

    def sample(
        self,
        denoise: Guided | Predict,
        x_T: Tensor,
        nodes: Nodes,
        solver: Solver,
        noise: Noise,
        probe: Probe = no_op,
    ) -> Tensor:
        """Carry x_T from node 0 to node T; return x_0, same shape and dtype.  # (B, C, [F,] H, W)"""
        return self.trajectory(Walk(denoise, nodes, solver, noise, probe), x_T)

    @abstractmethod
    def trajectory(self, walk: Walk, x: Tensor) -> Tensor:
        """The method: moves of `walk`, from x at node 0 to the result at node T.  # (B, C, [F,] H, W)"""

    @abstractmethod
    def nfe(self, T: int) -> int:
        """Guided predictions an image over T steps. Raises ValueError where T steps do not fit the fields."""

    def resolve(self, T: int) -> "Sampler":
        """The simplest sampler equal to this one over T steps, every default filled in: what a cell is keyed by."""
        return self

    @property
    def standard_gamma(self) -> float:
        """gamma1 of the standard sampling that it is compared with."""
        return self.gamma1

    @property
    def legs(self) -> frozenset[Leg]:
        """The legs on which it asks the network. Without a zag its cell does not depend on the solver's `up`."""
        return frozenset((Leg.ZIG, Leg.ZAG) if self.inverts else (Leg.ZIG,))

    def on(self, others: frozenset[Leg]) -> "Sampler":
        """The simplest equal sampler where networks other than the steps' answer on these legs only."""
        return self

    def check(self, guidance: Guidance) -> None:
        """Raise ValueError on a guidance that this sampler cannot use, or that its scales mean nothing to."""
        for name, value in self._scales().items():
            guidance.check(name, value)
        if (self.affine and not guidance.affine) or (self.plain and not guidance.plain):
            what = "that is affine in gamma" + (", of the network's own branches" if self.plain else "")
            raise ValueError(f"sampler={self.name} needs a guidance {what}; choose guidance=cfg guidance.rescale=0")

    def _scales(self) -> dict[str, Any]:
        """Its guidance scales by the names of their fields."""
        return {name: v for name, v in vars(self).items() if name.startswith("gamma") and isinstance(v, int | float)}
