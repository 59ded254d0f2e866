"""The shapes world in motion, in words: "a photo of a red star moving left", or right, up, down; "... growing"."""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import numpy as np

from zz.data.base import Prompt, PromptSet
from zz.data.shapes_prompts import VOCABULARY, colors, names_held_out
from zz.worlds.motion import GROWING, MOTIONS
from zz.worlds.shapes import COLOURS, SHAPES, Meta

WORDS = tuple(sorted({*VOCABULARY, "moving", *MOTIONS}))  # of `shapes` and of motion
REPORTED = 240  # of the 320 prompts; the others are left to choose guidance on

_FORM = re.compile(
    rf"a photo of an? ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}) (?:moving )?({'|'.join(MOTIONS)})", re.IGNORECASE
)


def moving(colour: str, shape: str, motion: str) -> Meta:
    """The record of a prompt: GenEval's of its frames, and its motion."""
    still = colors(colour, shape)
    text = f"{still['prompt']} {motion if motion == GROWING else f'moving {motion}'}"
    return {"tag": motion, "include": still["include"], "motion": motion, "prompt": text}


def parse(text: str) -> Meta:
    """The record of a prompt of the grammar. Raises ValueError outside of it."""
    found = _FORM.fullmatch(" ".join(text.split()))
    made = None if found is None else moving(*(word.lower() for word in found.groups()))
    if made is None or made["prompt"] != " ".join(text.lower().split()):
        raise ValueError(
            f"prompt {text!r} is not in the grammar of shapes in motion; write 'a photo of a red star moving left' (or "
            f"right, up, down) or 'a photo of a red star growing', with a shape of {', '.join(SHAPES)} and a colour of "
            f"{', '.join(COLOURS)}"
        )
    return made


@cache
def every() -> tuple[Meta, ...]:
    """Every record, in a fixed random order in which motions take turns."""
    pairs = list(product(COLOURS, SHAPES))
    orders = [np.random.default_rng([2020, 50 + i]).permutation(len(pairs)) for i in range(len(MOTIONS))]
    turns = product(range(len(pairs)), zip(MOTIONS, orders, strict=True))
    chosen = ((pairs[order[n]], motion) for n, (motion, order) in turns)
    return tuple(moving(colour, shape, motion) for (colour, shape), motion in chosen)


@cache
def trained() -> tuple[Meta, ...]:
    """Those without a pair that training never shows."""
    return tuple(meta for meta in every() if not names_held_out(meta))


@dataclass(frozen=True)
class ShapesMotion(PromptSet):
    """240 prompts of clips, 48 of each motion; about one in eight names a pair that training never shows."""

    name: str = field(default="shapes_motion", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        return [Prompt(meta["prompt"], deepcopy(meta)) for meta in every()[:REPORTED]]


@dataclass(frozen=True)
class ShapesMotionTune(PromptSet):
    """The other 80, 16 of each motion, to choose guidance on."""

    name: str = field(default="shapes_motion_tune", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        return [Prompt(meta["prompt"], deepcopy(meta)) for meta in every()[REPORTED:]]


__all__ = ["WORDS", "ShapesMotion", "ShapesMotionTune", "every", "moving", "parse", "trained"]
