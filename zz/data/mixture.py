"""Prompts for the exact model's pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from zz.data.base import Prompt, PromptSet
from zz.worlds.scenes import COLOURS, POSITIONS, SHAPES


@dataclass(frozen=True)
class ScenePrompts(PromptSet):
    """Prompts for the pictures: every colour with every shape, then with every position, then shapes with positions.

    56 prompts; each names two of a component's three words, so that a prompt allows 4 or 5 of 80.
    """

    name: str = field(default="mixture", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        where = {p: f"in the {p}" if p == "centre" else f"on the {p}" for p in POSITIONS}
        texts = [f"a {c} {s}" for c, s in product(COLOURS, SHAPES)]
        texts += [f"{c} {where[p]}" for c, p in product(COLOURS, POSITIONS)]
        texts += [f"a {s} {where[p]}" for s, p in product(SHAPES, POSITIONS)]
        return [Prompt(t) for t in texts]
