"""A prompt set of which only the number of its prompts is known: for plans, which need no texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from zz.data.base import Prompt, PromptSet
from zz.diffusion.validate import Positive


@dataclass(frozen=True)
class Numbered(PromptSet):
    """So many prompts, each its set's name and number, without meta.

    count: how many
    """

    count: Positive = field(kw_only=True)

    def load(self) -> Sequence[Prompt]:
        return [Prompt(f"{self.name} {i}") for i in range(self.count)]


__all__ = ["Numbered"]
