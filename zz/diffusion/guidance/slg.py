"""Skip-layer guidance (Stability AI's, for Stable Diffusion 3.5 medium): away from the network without some layers.

    u + gamma * (c - u) + scale * (c - p),   p the conditional prediction without these transformer blocks

in the steps i with start * T < i < stop * T only, i counted from 0, as diffusers' StableDiffusion3Pipeline has it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from zz.diffusion.guidance.altered import Altered
from zz.diffusion.guidance.base import Needs
from zz.diffusion.guidance.extra_term import WeakTerm
from zz.diffusion.leg import Leg
from zz.diffusion.schedule import Nodes
from zz.diffusion.validate import Proportion, as_tuple, check_count


@dataclass(frozen=True)
class SLG(WeakTerm):
    """Its defaults are those of Stable Diffusion 3.5 medium, whose transformer has 24 blocks.

    scale:       s, as in `ExtraTerm`
    layers:      the blocks that are left out, counted from 0
    start, stop: between which proportions of the steps, both exclusive
    zag:         as in `ExtraTerm`
    """

    scale: float = 2.8
    layers: Any = (7, 8, 9)
    start: Proportion = 0.01
    stop: Proportion = 0.2
    zag: bool = False
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", as_tuple(self.layers))
        for layer in self.layers:
            check_count("guidance.layers", layer)
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"guidance.layers={list(self.layers)} must name blocks, each once, such as [7,8,9]")
        if not self.start < self.stop:
            raise ValueError(f"guidance.start={self.start} must be less than guidance.stop={self.stop}")

    @property
    def needs(self):
        return Needs(inside=True, blocks=True)

    def check_nodes(self, nodes):
        T = len(nodes) - 1
        if self.scale and not any(self.start * T < i < self.stop * T for i in range(T)):
            raise ValueError(
                f"guidance.stop={self.stop}: no step of steps={T} lies between guidance.start={self.start} and it; "
                "raise it, or steps"
            )

    def for_nodes(self, nodes):
        return _Placed(self.scale, self.layers, self.start, self.stop, self.zag, nodes)

    def weak(self, cond, node):
        return Altered(cond, lambda inside: inside.skipping(self.layers))


@dataclass(frozen=True)
class _Placed(SLG):
    """On these nodes; on none, it acts everywhere."""

    nodes: Nodes | None = None

    def _on(self, node, leg):
        on, T = super()._on(node, leg), len(self.nodes or ()) - 1
        return on and (self.nodes is None or self.start * T < self.nodes.step(node, leg is Leg.ZAG) < self.stop * T)


__all__ = ["SLG"]
