"""The shapes world in words: a closed grammar in GenEval's forms (Ghosh et al., 2023), and three prompt sets.

| tag           | form                                   | distinct prompts |
|---------------|----------------------------------------|------------------|
| single_object | a photo of a star                      |                8 |
| two_object    | a photo of a star and a circle         |               56 |
| counting      | a photo of three stars                 |               24 |
| colors        | a photo of a red star                  |               64 |
| position      | a photo of a star left of a circle     |              224 |
| color_attr    | a photo of a red star and a blue circle|            3,136 |

and one of two clauses, which `shapes` never saw and larger models of the zoo did:

| color_position | a photo of a red star left of a blue circle | 12,544 |
"""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations, product
from typing import Any, NamedTuple

import numpy as np

from zz.data.base import Prompt, PromptSet
from zz.worlds.shapes import COLOURS, GAP, HELD_OUT, SHAPES, WAYS, Meta, Scene, draw_scene

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
CLAUSES = "color_position"  # a tag apart: no part of what `shapes` learned and is judged on
NUMBERS = {"two": 2, "three": 3, "four": 4}
PLURALS = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
GENEVAL = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
TUNE = {"single_object": 29, "two_object": 36, "counting": 29, "colors": 34, "position": 36, "color_attr": 36}

# How many of a tag's distinct prompts `shapes` may use; the others are left for `shapes_tune`. The two tags that
# are not here have too few prompts to part them.
KEPT = {"two_object": 40, "colors": 48, "position": 120, "color_attr": 2000}

VOCABULARY = tuple(
    sorted(
        {"a", "an", "photo", "of", "and", *NUMBERS, *COLOURS, *SHAPES, *PLURALS.values()}
        | {word for way in WAYS for word in way.split()}
    )
)  # every word that the grammar can write

_SINGULARS = {plural: shape for shape, plural in PLURALS.items()}
_COLOUR, _SHAPE, _PLURAL = (f"({'|'.join(words)})" for words in (COLOURS, SHAPES, _SINGULARS))
_A = "an? "
_FORMS = {
    "single_object": f"{_A}{_SHAPE}",
    "two_object": f"{_A}{_SHAPE} and {_A}{_SHAPE}",
    "counting": f"({'|'.join(NUMBERS)}) {_PLURAL}",
    "colors": f"{_A}{_COLOUR} {_SHAPE}",
    "position": f"{_A}{_SHAPE} ({'|'.join(WAYS)}) {_A}{_SHAPE}",
    "color_attr": f"{_A}{_COLOUR} {_SHAPE} and {_A}{_COLOUR} {_SHAPE}",
    CLAUSES: f"{_A}{_COLOUR} {_SHAPE} ({'|'.join(WAYS)}) {_A}{_COLOUR} {_SHAPE}",
}


class Pair(NamedTuple):
    """A picture to draw and the record that describes it; record["prompt"] is its caption."""

    scene: Scene
    meta: Meta


def single_object(shape: str) -> Meta:
    return _meta("single_object", [_item(shape)], _a(shape))


def two_object(first: str, second: str) -> Meta:
    return _meta("two_object", [_item(first), _item(second)], f"{_a(first)} and {_a(second)}")


def counting(number: str, shape: str) -> Meta:
    n = NUMBERS[number]
    return _meta("counting", [_item(shape, n)], f"{number} {PLURALS[shape]}", [_item(shape, n + 1)])


def colors(colour: str, shape: str) -> Meta:
    return _meta("colors", [_item(shape, colour=colour)], _a(f"{colour} {shape}"))


def position(shape: str, way: str, target: str) -> Meta:
    include = [_item(target), {**_item(shape), "position": [way, 0]}]
    return _meta("position", include, f"{_a(shape)} {way} {_a(target)}")


def color_attr(colour: str, shape: str, colour2: str, shape2: str) -> Meta:
    include = [_item(shape, colour=colour), _item(shape2, colour=colour2)]
    return _meta("color_attr", include, f"{_a(f'{colour} {shape}')} and {_a(f'{colour2} {shape2}')}")


def color_position(colour: str, shape: str, way: str, colour2: str, target: str) -> Meta:
    include = [_item(target, colour=colour2), {**_item(shape, colour=colour), "position": [way, 0]}]
    return _meta(CLAUSES, include, f"{_a(f'{colour} {shape}')} {way} {_a(f'{colour2} {target}')}")


_MAKE: dict[str, Callable[..., Meta]] = {
    "single_object": single_object,
    "two_object": two_object,
    "counting": counting,
    "colors": colors,
    "position": position,
    "color_attr": color_attr,
    CLAUSES: color_position,
}


def parse(text: str) -> Meta:
    """The GenEval record of a prompt of the grammar. Raises ValueError outside of it."""
    words = " ".join(text.lower().split())
    for tag, form in _FORMS.items():
        if found := re.fullmatch(f"a photo of {form}", words):
            parts = [_SINGULARS.get(word, word) for word in found.groups()]
            shapes = [word for word in parts if word in SHAPES]
            if len(set(shapes)) == len(shapes):
                return _MAKE[tag](*parts)
    raise ValueError(
        f"prompt {text!r} is not in the shapes world's grammar; write one of: 'a photo of a star', "
        "'a photo of a star and a circle', 'a photo of three stars' (two to four), 'a photo of a red star', "
        "'a photo of a star left of a circle' (right of, above, below), 'a photo of a red star and a blue circle', "
        "'a photo of a red star left of a blue circle', "
        f"with two different shapes of {', '.join(SHAPES)} and colours of {', '.join(COLOURS)}"
    )


@cache
def every(tag: str) -> tuple[Meta, ...]:
    """Every distinct record of a tag, in a fixed order."""
    if tag not in _MAKE:
        raise ValueError(f"tag={tag!r} is not one of {', '.join(_MAKE)}")
    two = list(permutations(SHAPES, 2))
    parts: dict[str, Any] = {
        "single_object": product(SHAPES),
        "two_object": two,
        "counting": product(NUMBERS, SHAPES),
        "colors": product(COLOURS, SHAPES),
        "position": ((a, way, b) for way, (a, b) in product(WAYS, two)),
        "color_attr": ((c, a, d, b) for (c, d), (a, b) in product(permutations(COLOURS, 2), two)),
        CLAUSES: ((c, a, way, d, b) for way, (c, d), (a, b) in product(WAYS, permutations(COLOURS, 2), two)),
    }
    return tuple(_MAKE[tag](*each) for each in parts[tag])


def names_held_out(meta: Mapping[str, Any]) -> bool:
    """Whether a record asks for a shape in a colour that no training picture shows it in."""
    return any((item["class"], item.get("color")) in HELD_OUT for item in meta["include"])


def draw_pair(rng: np.random.Generator, tag: str | None = None, held_out: bool = False, gap: float = GAP) -> Pair:
    """A random scene with its caption.

    tag:      one of TAGS, or CLAUSES; None draws one of TAGS, all alike
    held_out: whether pairs of HELD_OUT may be shown and named; training leaves them out
    gap:      as in draw_scene
    """
    tag = tag or TAGS[rng.integers(len(TAGS))]
    metas = every(tag) if held_out else _trained(tag)
    meta = metas[rng.integers(len(metas))]
    return Pair(draw_scene(meta, rng, held_out, gap), meta)


@dataclass(frozen=True)
class Shapes(PromptSet):
    """553 prompts in GenEval's own numbers by tag: 80 99 80 94 100 100, tags interleaved so that a `limit` is fair.

    Distinct are 8, 40, 24, 48, 100 and 100 of them: a prompt that comes again is another sample, for prompt i is
    sampled with seed + i. All 8 held-out pairs are among the colors, and about a quarter of color_attr names one.
    """

    name: str = field(default="shapes", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        return _interleaved({tag: _take(_side(tag, tune=False), n) for tag, n in GENEVAL.items()})


@dataclass(frozen=True)
class ShapesTune(PromptSet):
    """200 prompts to choose guidance on, apart from those reported: 29 36 29 34 36 36 by tag.

    No text of two_object, colors, position and color_attr is also in `shapes`. single_object and counting have 8 and
    24 prompts in all and share them with `shapes`; there only the pictures are apart, where seeds are.
    """

    name: str = field(default="shapes_tune", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        return _interleaved({tag: _take(_side(tag, tune=True), n) for tag, n in TUNE.items()})


@dataclass(frozen=True)
class Quick(PromptSet):
    """60 prompts for a first look, the first ten of each tag of `shapes`: not apart from it."""

    name: str = field(default="quick", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        return _interleaved({tag: _take(_side(tag, tune=False), 10) for tag in TAGS})


@dataclass(frozen=True)
class ShapesClauses(PromptSet):
    """100 prompts of two clauses, a coloured thing beside another: what `shapes` never saw and larger models did.

    About a quarter names a held-out pair.
    """

    name: str = field(default="shapes_clauses", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        metas, rng = every(CLAUSES), np.random.default_rng([2020, len(TAGS)])
        return [Prompt(metas[i]["prompt"], deepcopy(metas[i])) for i in rng.permutation(len(metas))[:100]]


@cache
def _trained(tag: str) -> tuple[Meta, ...]:
    return tuple(meta for meta in every(tag) if not names_held_out(meta))


def _side(tag: str, tune: bool) -> list[Meta]:
    """A tag's records for reporting or for tuning, shuffled. Held-out colors all go to reporting."""
    rng = np.random.default_rng([2020, TAGS.index(tag)])
    metas = [every(tag)[i] for i in rng.permutation(len(every(tag)))]
    if tag not in KEPT:
        return metas[::-1] if tune else metas
    if tag == "colors":
        metas.sort(key=names_held_out, reverse=True)
    side = metas[KEPT[tag] :] if tune else metas[: KEPT[tag]]
    return [side[i] for i in rng.permutation(len(side))]


def _take(metas: list[Meta], n: int) -> list[Meta]:
    """The first n, beginning again where there are fewer."""
    return [metas[i % len(metas)] for i in range(n)]


def _interleaved(by_tag: Mapping[str, list[Meta]]) -> list[Prompt]:
    """Every tag spread evenly over the whole list."""
    placed = [
        ((i + 0.5) / len(metas), t, meta) for t, metas in enumerate(by_tag.values()) for i, meta in enumerate(metas)
    ]
    return [Prompt(meta["prompt"], deepcopy(meta)) for _, _, meta in sorted(placed, key=lambda each: each[:2])]


def _item(shape: str, count: int = 1, colour: str | None = None) -> Meta:
    return {"class": shape, "count": count} | ({"color": colour} if colour else {})


def _meta(tag: str, include: list[Meta], text: str, exclude: list[Meta] | None = None) -> Meta:
    return (
        {"tag": tag, "include": include} | ({"exclude": exclude} if exclude else {}) | {"prompt": f"a photo of {text}"}
    )


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
