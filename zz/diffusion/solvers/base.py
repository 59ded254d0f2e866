"""One step down a schedule, and one step back up.

The rule for history: `down` from node i sees the last prediction made at node i - 1 on a way down, whatever
happened since; `up` sees the last one made at its target on a way down. So a reflection neither reads nor
leaves traces of its way up, and the step after it sees just what a standard step would.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from torch import Tensor

from zz.diffusion.prediction import Prediction
from zz.diffusion.schedule import Node
from zz.diffusion.validate import validate


class Past(NamedTuple):
    """An earlier prediction, where it was made, and the noise of the move that was made with it."""

    node: Node
    prediction: Prediction
    z: Callable[[], Tensor]  # draws the very same again: noise is keyed


class Solver(ABC):
    """A way to move a latent between neighbouring nodes with one prediction. `z()` draws fresh noise."""

    version: ClassVar[int]  # raised when a fix moves numbers
    order: ClassVar[int] = 1  # of its way down, as the step goes to zero; `up` is of first order in all
    uses_past: ClassVar[bool] = False

    def __post_init__(self) -> None:
        validate(self, "solver")

    @abstractmethod
    def down(
        self, prediction: Prediction, source: Node, target: Node, past: Past | None, z: Callable[[], Tensor]
    ) -> Tensor:
        """The latent at the cleaner `target`. `past` is None on the first and on the last step."""

    @abstractmethod
    def up(
        self, prediction: Prediction, source: Node, target: Node, past: Past | None, z: Callable[[], Tensor]
    ) -> Tensor:
        """The latent at the noisier `target`: the inversion."""

    @property
    def without_inversion(self) -> "Solver":
        """The simplest solver with the same `down`: what a sampler that never goes up is keyed by."""
        return self

    @property
    def simplest(self) -> "Solver":
        """The simplest solver with the same `down` and `up`."""
        return self
