"""Guidance in an interval of noise levels only (Kynkäänniemi et al. 2024, arXiv:2404.07724)."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from zz.diffusion.fields import check_number
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.schedule import Node


@dataclass(frozen=True)
class Interval(Guidance):
    """Another guidance where low < sigma / alpha <= high, which is the paper's noise level.

    Elsewhere one branch is asked for: the unconditional at gamma = 0, the conditional at any other. What counts is
    where the latent lies, so that a zag is judged at its cleaner node.

    inner: the guidance inside the interval
    low:   0 or more; and
    high:  more than low. The paper's for SDXL are 0.28 and 5.42
    """

    inner: Guidance = field(default_factory=CFG)
    low: float = 0.28
    high: float = 5.42
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_number("guidance.low", self.low, 0)
        check_number("guidance.high", self.high, 0)
        if not self.low < self.high:
            raise ValueError(f"guidance.low={self.low} must be less than guidance.high={self.high}")

    def check(self, name, gamma):
        self.inner.check(name, gamma)

    def bind(self, net, cond, uncond):
        inner = self.inner.bind(net, cond, uncond)

        def guided(x, node, gamma, leg):
            if self._on(node):
                return inner(x, node, gamma, leg)
            (only,) = net(x, node, uncond if gamma == 0 else cond)
            return only

        return guided

    def rows(self, gamma, node, leg):
        return self.inner.rows(gamma, node, leg) if self._on(node) else 1

    @property
    def linear(self):
        return False

    @property
    def simplest(self):
        return replace(self, inner=self.inner.simplest)

    @property
    def taps(self):  # type: ignore[override]
        return self.inner.taps

    @property
    def embedded(self):  # type: ignore[override]
        return self.inner.embedded

    @property
    def on_line(self):  # type: ignore[override]
        return self.inner.on_line

    def _on(self, node: Node) -> bool:
        return self.low < node.r <= self.high
