"""Guidance in an interval of noise levels only (Kynkäänniemi et al. 2024, arXiv:2404.07724)."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from zz.diffusion.guidance.around import Around
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.network import Guided
from zz.diffusion.prediction import unprompted
from zz.diffusion.schedule import Node
from zz.diffusion.validate import Range


@dataclass(frozen=True)
class GuidanceInterval(Around):
    """Another guidance where low < sigma / alpha <= high, which is the paper's noise level.

    Elsewhere one branch is asked for: the unconditional at gamma = 0, the conditional at any other. What counts is
    where the latent lies, so that a zag is judged at its cleaner node.

    inner:     the guidance inside the interval
    low, high: 0 <= low < high, in sigma / alpha; 0.28 and 5.42 for SDXL in the paper
    """

    inner: Guidance = field(default_factory=CFG)
    low: Annotated[float, Range(0)] = 0.28
    high: Annotated[float, Range(0)] = 5.42
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise ValueError(f"guidance.low={self.low} must be less than guidance.high={self.high}")

    def bind(self, net, cond, uncond):
        inner = self.inner.bind(net, cond, uncond)

        def guided(x, node, gamma, leg):
            if self._on(node):
                return inner(x, node, gamma, leg)
            (only,) = net(x, node, uncond if unprompted(gamma) else cond)
            return only

        return Guided(guided, inner.look)

    def evals(self, gamma, node, leg):
        return self.inner.evals(gamma, node, leg) if self._on(node) else 1

    def _on(self, node: Node) -> bool:
        return self.low < node.r <= self.high
