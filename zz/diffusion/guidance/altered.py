"""How a guidance changes a network while it answers for one condition: a condition with a pass of its own."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.nn import Module

Feed = Callable[[Tensor, int], Tensor]  # (batch, places, width) and the block's index there -> the same shape


class Inside(Protocol):
    """What an open network lets be changed; each change lasts as long as its `with`."""

    module: Module

    def skipping(self, layers: Sequence[int]) -> AbstractContextManager[None]:
        """Without these of its transformer blocks, counted from 0. Raises ValueError where it has none such."""
        ...

    def feeding(self, other: Feed, blocks: str, first: int) -> AbstractContextManager[None]:
        """With `other` of what they read of the picture, in the transformer blocks of this part from the first on.

        Raises ValueError where it has none such.
        """
        ...


Alter = Callable[[Inside], AbstractContextManager[None]]


@dataclass(frozen=True, eq=False)
class Altered:
    """A condition for which the network is changed.

    cond:  the condition
    alter: the change
    """

    cond: Any
    alter: Alter


def passes(conds: Sequence[Any]) -> list[list[int]]:
    """The places of conditions that a network can answer in one pass: all that leave it as it is, each other alone.

    In the order of the conditions, since one change may count on those before it.
    """
    together = [place for place, cond in enumerate(conds) if not isinstance(cond, Altered)]
    alone = [[place] for place, cond in enumerate(conds) if isinstance(cond, Altered)]
    return [together, *alone] if together else alone


def unaltered(cond: Any) -> Any:
    """The condition without its change."""
    return cond.cond if isinstance(cond, Altered) else cond


__all__ = ["Alter", "Altered", "Feed", "Inside", "passes", "unaltered"]
