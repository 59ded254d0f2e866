"""How far a fixed-point inversion still was from its fixed point."""

import torch
from torch import Tensor

from zz.diffusion.leg import Leg
from zz.diffusion.probes.step import Step


class Residuals:
    """A probe: by how much each iteration still moved the latent, and whether the last ones moved it enough to matter.

    moved: by step, then by iteration (rounds one after the other): the largest change of any value in the batch
    """

    def __init__(self) -> None:
        self.moved: dict[int, list[float]] = {}

    def __call__(self, step: Step) -> None:
        if step.leg is Leg.STAY:
            self.moved.setdefault(step.i, []).append((step.y - step.x).abs().max().item())

    @property
    def last(self) -> Tensor:
        """The residual of each step that was reflected, (lambda,): what its last iteration moved."""
        return torch.tensor([moved[-1] for _, moved in sorted(self.moved.items())])

    def unsettled(self, tolerance: float = 1e-6) -> list[int]:
        """The steps whose residual is not below the tolerance."""
        return [i for i, moved in sorted(self.moved.items()) if not moved[-1] < tolerance]
