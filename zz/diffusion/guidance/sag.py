"""Self-attention guidance (Hong et al. 2023, arXiv:2210.00939, Eq. 16 and 25), as diffusers has it.

Where the picture attends to most, its predicted x0 is blurred and noised again with the predicted noise; the guidance
leads away from what the network says of that:

    eps = eps_u + gamma * (eps_c - eps_u) + scale * (eps_u - eps_blurred)

At gamma = 1 the conditional prediction takes the unconditional one's part.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zz.diffusion.fields import check_number
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.blur import blur
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.tap import Attention, Tapped
from zz.diffusion.prediction import from_eps
from zz.diffusion.trajectory import Leg


@dataclass(frozen=True)
class SAG(Guidance):
    """The second pass sees another latent: two passes a prediction. It speaks eps, whatever the network does.

    scale: s; 0 is plain guidance, at its cost
    zag:   whether the term is there on the way up too; without it the zag is plain guidance, and the weaker for it
    """

    scale: float = 0.75
    zag: bool = False
    taps: ClassVar[bool] = True
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_number("guidance.scale", self.scale)

    def bind(self, net, cond, uncond):
        plain = CFG().bind(net, cond, uncond)

        def guided(x, node, gamma, leg):
            if not self._on(leg):
                return plain(x, node, gamma, leg)
            main, received = cond if gamma == 1 else uncond, _Received()
            tapped = Tapped(main, received)
            if gamma == 0 or gamma == 1:
                (m,) = net(x, node, tapped)
                mixed = m
            else:
                m, c = net(x, node, tapped, cond)
                mixed = m.lerp(c, gamma)
            x0 = torch.where(received.much(x), blur(m.x0, 1.0, 4), m.x0)
            (degraded,) = net(m._replace(x0=x0).at(node), node, main)
            return from_eps(x, node, mixed.eps + self.scale * (m.eps - degraded.eps))

        return guided

    def rows(self, gamma, node, leg):
        return (1 if gamma == 0 or gamma == 1 else 2) + self._on(leg)

    @property
    def linear(self):
        return self.scale == 0

    @property
    def simplest(self):
        return CFG() if self.scale == 0 else self

    def _on(self, leg: Leg) -> bool:
        return self.scale != 0 and (self.zag or leg is not Leg.ZAG)


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
