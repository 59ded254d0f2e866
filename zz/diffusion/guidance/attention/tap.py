"""How a guidance reaches into a network: a condition with a tap, which sees each attention computed for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

To = Literal["self", "text"]
Blocks = Literal["mid", "down", "up", "all"]


class Attention(NamedTuple):
    """One attention of a network, for one condition."""

    to: To  # the picture attends to itself, or to the text
    grid: tuple[int, int]  # (h, w) of the places that attend
    query: Tensor  # (batch, heads, h * w, d)
    key: Tensor  # (batch, heads, h * w or tokens, d)
    value: Tensor  # as key
    mask: Tensor | None  # as torch's scaled_dot_product_attention takes it
    scale: float | None

    def out(self, query: Tensor) -> Tensor:
        """What is computed with this query, (batch, heads, h * w, d)."""
        return scaled_dot_product_attention(query, self.key, self.value, self.mask, scale=self.scale)

    def weights(self) -> Tensor:
        """What proportion of each place's attention goes where: (batch, h * w, h * w or tokens), a mean over heads."""
        batch, heads, _, d = self.query.shape
        mask = None if self.mask is None else self.mask.expand(batch, heads, -1, -1)
        total = torch.zeros((), device=self.query.device)
        for head in range(heads):  # one head's scores at a time
            scores = (
                self.query[:, head].float()
                @ self.key[:, head].float().mT
                * (d**-0.5 if self.scale is None else self.scale)
            )
            if mask is not None:
                seen = mask[:, head]
                scores = scores.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else scores + seen
            total = total + scores.softmax(-1)
        return total / heads


Tap = Callable[[Attention], Tensor | None]


@dataclass(frozen=True, eq=False)
class Tapped:
    """A condition, and what happens to the attention computed for it while the network computes them.

    cond:   the condition
    tap:    called with each attention; what it returns takes the place of the attention's output, None leaves it
    to:     which attention, in
    blocks: these blocks of the network
    """

    cond: Any
    tap: Tap
    to: tuple[To, ...] = ("self",)
    blocks: Blocks = "mid"
