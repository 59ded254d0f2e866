"""The border between a network and a sampler.

One scale everywhere: gamma = 0 is unconditional, gamma = 1 conditional, above 1 extrapolates.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from zz.diffusion.leg import Leg
from zz.diffusion.network import Denoiser, Guided
from zz.diffusion.prediction import Gamma
from zz.diffusion.schedule import Node, Nodes
from zz.diffusion.validate import check_number, validate


class ScaledCond(NamedTuple):
    """A condition and the guidance scale passed to a guidance-distilled network."""

    cond: Any
    gamma: Gamma


@dataclass(frozen=True)
class Needs:
    """What a guidance asks of a network beside predictions.

    taps:   conditions that are `Tapped`: it looks into the network's attention
    scaled: conditions that are `ScaledCond`: the network itself takes the scale
    tokens: conditions that are encoded tokens, (B, tokens, width), alone or with a pooled vector, (B, width)
    inside: conditions that are `Altered`: it changes the network while it answers
    blocks: such conditions that leave out transformer blocks
    weak:   conditions that are `OfWeak`: a second network, the weak one, answers them
    """

    taps: bool = False
    scaled: bool = False
    tokens: bool = False
    inside: bool = False
    blocks: bool = False
    weak: bool = False


class Guidance(ABC):
    """A way to make one prediction of several."""

    version: ClassVar[int]  # raised when a fix moves numbers

    def __post_init__(self) -> None:
        validate(self, "guidance")

    @property
    def needs(self) -> Needs:
        """What it asks of a network."""
        return Needs()

    @property
    def on_line(self) -> bool:
        """Whether every guided prediction satisfies x = alpha * x0 + sigma * eps (False for CFG++)."""
        return True

    def check(self, name: str, gamma: float) -> None:
        """Raise ValueError, before anything is loaded, where a scale means nothing to it. name: the field's."""
        check_number(name, gamma)

    def check_nodes(self, nodes: Sequence[Node]) -> None:
        """Raise ValueError on nodes at which it cannot be asked."""
        return

    def for_seeds(self, seeds: Sequence[int]) -> "Guidance":
        """This guidance, for the pictures of these seeds: one that draws at random draws by them."""
        return self

    def for_nodes(self, nodes: Nodes) -> "Guidance":
        """This guidance, for a trajectory over these nodes: one that acts in some steps only knows them by it."""
        return self

    @abstractmethod
    def bind(self, net: Denoiser, cond: Any, uncond: Any) -> Guided:
        """Bind the prompts' embeddings, one row an image, to a network."""

    @abstractmethod
    def evals(self, gamma: Gamma, node: Node, leg: Leg) -> int:
        """Network evaluations an image that one prediction takes."""

    @property
    @abstractmethod
    def affine(self) -> bool:
        """Whether the prediction is a + gamma * (b - a), a and b without gamma, so that scales add up."""

    @property
    def plain(self) -> bool:
        """Whether a and b are the network's own branches u and c."""
        return self.affine

    @property
    def by_leg(self) -> bool:
        """Whether it gives the network other conditions on the two ways of a reflection."""
        return False

    @property
    def remembers(self) -> bool:
        """Whether a prediction depends on those before it, so that no trajectory may begin in its middle."""
        return False

    @property
    def without_history(self) -> "Guidance":
        """The simplest guidance that says the same to a solver that does not look back."""
        return self

    def asked(self, legs: Collection[Leg]) -> "Guidance":
        """The simplest guidance that says the same on these legs."""
        return self

    @property
    def simplest(self) -> "Guidance":
        """The simplest guidance that says the same."""
        return self
