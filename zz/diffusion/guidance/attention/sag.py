"""Self-attention guidance (Hong et al. 2023, arXiv:2210.00939, Eq. 16 and 25), as diffusers has it for eps-networks.

Where the picture attends to most, its predicted x0 is blurred and noised again with the predicted noise; the guidance
leads away from what the network says of that:

    eps = eps_u + gamma * (eps_c - eps_u) + scale * (eps_u - eps_blurred)

At gamma = 1 the conditional prediction takes the unconditional one's part.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zz.diffusion.guidance.attention.blur import blur
from zz.diffusion.guidance.attention.tap import Attention, Tapped
from zz.diffusion.guidance.base import Needs
from zz.diffusion.guidance.extra_term import ExtraTerm
from zz.diffusion.prediction import from_eps, one_branch
from zz.diffusion.validate import READING, Positive, Range


@dataclass(frozen=True)
class SAG(ExtraTerm):
    """The second pass sees another latent: two passes a prediction.

    It speaks eps, as Eq. 16 does, whatever the network does; diffusers subtracts what the network says, such as v.

    scale, zag: as in `ExtraTerm`; the authors' guide_scale is 1 + scale
    sigma:      the blur's deviation in places of the latent: 1 in diffusers, 3 and 9 for pictures in the authors' code
    reach:      how many places it reaches either way: 4 in diffusers, 15 in the authors' code
    """

    scale: float = 0.75
    zag: bool = False
    sigma: Annotated[float, Range(1e-3)] = field(default=1.0, metadata=READING)
    reach: Positive = field(default=4, metadata=READING)
    version: ClassVar[int] = 1

    @property
    def needs(self):
        return Needs(taps=True)

    def with_term(self, net, x, node, gamma, cond, uncond):
        main, received = cond if one_branch(gamma) and gamma == 1 else uncond, _Received()
        tapped = Tapped(main, received)
        if one_branch(gamma):
            (m,) = net(x, node, tapped)
            mixed = m
        else:
            m, c = net(x, node, tapped, cond)
            mixed = m.lerp(c, gamma)
        x0 = torch.where(received.much(x), blur(m.x0, self.sigma, self.reach), m.x0)
        (degraded,) = net(m._replace(x0=x0).at(node), node, main)
        return from_eps(x, node, mixed.eps + self.scale * (m.eps - degraded.eps))


class _Received:
    """A tap that keeps how much attention each place gets in the first layer of the middle block; 1 in the mean."""

    def __init__(self) -> None:
        self.map: Tensor | None = None  # (B, 1, h, w)

    def __call__(self, attention: Attention) -> None:
        if self.map is None:
            self.map = attention.weights().sum(1).unflatten(1, attention.grid)[:, None]

    def much(self, x: Tensor) -> Tensor:
        """Where that is more than 1, on the latent's own grid."""
        assert self.map is not None
        return interpolate((self.map > 1).to(x.dtype), x.shape[-2:]) > 0
