"""A guidance around another: all that it does not do itself is what the inner one does."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Self, cast

from zz.diffusion.guidance.base import Guidance, Needs
from zz.diffusion.leg import Leg
from zz.diffusion.prediction import Gamma
from zz.diffusion.schedule import Node, Nodes


class Around(Guidance):
    """inner: the other guidance."""

    inner: Guidance

    def check(self, name: str, gamma: float) -> None:
        self.inner.check(name, gamma)

    def check_nodes(self, nodes: Sequence[Node]) -> None:
        self.inner.check_nodes(nodes)

    def for_seeds(self, seeds: Sequence[int]) -> Guidance:
        return self._with(self.inner.for_seeds(seeds))

    def for_nodes(self, nodes: Nodes) -> Guidance:
        return self._with(self.inner.for_nodes(nodes))

    def asked(self, legs: Collection[Leg]) -> Guidance:
        return self._with(self.inner.asked(legs))

    def evals(self, gamma: Gamma, node: Node, leg: Leg) -> int:
        return self.inner.evals(gamma, node, leg)

    @property
    def needs(self) -> Needs:
        return self.inner.needs

    @property
    def affine(self) -> bool:
        return False

    @property
    def by_leg(self) -> bool:
        return self.inner.by_leg

    @property
    def remembers(self) -> bool:
        return self.inner.remembers

    @property
    def on_line(self) -> bool:
        return self.inner.on_line

    @property
    def simplest(self) -> Guidance:
        return self._with(self.inner.simplest)

    @property
    def without_history(self) -> Guidance:
        return self._with(self.inner.without_history)

    def _with(self, inner: Guidance) -> Self:
        return cast(Self, replace(cast(Any, self), inner=inner))


__all__ = ["Around"]
