"""The border between a network and a sampler.

One scale everywhere: gamma = 0 is unconditional, gamma = 1 conditional, above 1 extrapolates.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor

from zz.diffusion.fields import check_number
from zz.diffusion.prediction import Prediction
from zz.diffusion.schedule import Node
from zz.diffusion.trajectory import Leg


class Told(NamedTuple):
    """A condition, and the guidance scale that the network itself is to be told with it."""

    cond: Any
    gamma: float


class Denoiser(Protocol):
    """A network, seen as a function: one prediction a condition, in one batched pass. Some take `Tapped` or `Told`."""

    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]: ...


class Guided(Protocol):
    """A denoiser with its prompts bound: all that a sampler ever sees. Most guidances say the same on either leg."""

    def __call__(self, x: Tensor, node: Node, gamma: float, leg: Leg) -> Prediction: ...


class Branches(NamedTuple):
    """One look at a latent without and with the prompt, off which a linear guidance reads every scale."""

    u: Prediction
    c: Prediction

    def at(self, gamma: float) -> Prediction:
        """u + gamma * (c - u), to the bit what a guided prediction would be."""
        return (self.u, self.c)[int(gamma)] if gamma in (0, 1) else self.u.lerp(self.c, gamma)

    @property
    def gap(self) -> Tensor:
        """What the prompt adds to eps."""
        return self.c.eps - self.u.eps


class Guidance(ABC):
    """A way to make one prediction of several."""

    version: ClassVar[int]  # raised when a fix moves numbers
    taps: ClassVar[bool] = False  # whether it gives the network conditions that are `Tapped`,
    embedded: ClassVar[bool] = False  # or `Told`
    on_line: ClassVar[bool] = True  # whether x is alpha * x0 + sigma * eps of its prediction at x, at any gamma

    def check(self, name: str, gamma: float) -> None:
        """Raise ValueError, before anything is loaded, where a scale means nothing to it. name: the field's."""
        check_number(name, gamma)

    @abstractmethod
    def bind(self, net: Denoiser, cond: Any, uncond: Any) -> Guided:
        """Bind the prompts' embeddings, one row an image, to a network."""

    @abstractmethod
    def rows(self, gamma: float, node: Node, leg: Leg) -> int:
        """Network evaluations an image that one prediction takes."""

    @property
    @abstractmethod
    def linear(self) -> bool:
        """Whether the prediction is u + gamma * (c - u), so that scales add up."""

    @property
    def simplest(self) -> "Guidance":
        """The simplest guidance that says the same."""
        return self
