"""Attention maps of words: the cross-attention to the text, recorded in every evaluation.

Means over heads and layers, as in DAAM (Tang et al., 2022). The network's own kernels still compute the attention, so
that recording changes no bit of a picture.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zz.diffusion.guidance.altered import Altered, unaltered
from zz.diffusion.leg import Leg
from zz.diffusion.prediction import Prediction
from zz.diffusion.probes.step import Step
from zz.diffusion.schedule import Node
from zz.diffusion.validate import check_choice
from zz.models.attention.reading import UNET, Columns, Maps, Reading, TextAttention, columns, watched
from zz.models.attention.reading import layers as by_name
from zz.models.attention.tapping import plain
from zz.models.base import Can, Pipeline

Words = Sequence[str | int] | Mapping[str, Sequence[str | int]] | Callable[[str], Sequence[str | int]]


class _Pass(NamedTuple):
    """One evaluation of the network, kept until the probe identifies its step."""

    x: Tensor
    node: Node
    maps: list[Maps]  # one a prompt; empty if the evaluation had no prompted branch


class AttentionMaps(Pipeline):
    """An open model that records its attention to words. It samples as that model does; its `probe` stores the maps.

        maps = zz.AttentionMaps(pipeline, words=["star", "blue"])
        zz.sample(maps, "a red star and a blue circle", sampler=zz.Zigzag(5.5, 1.0), size=512, probe=maps.probe)
        maps.mean("star", leg="zag", steps=range(5))  # (h, w): each position's attention to `star`

    A word's map is the sum over its tokens, at all its occurrences in the prompt; over all tokens the maps sum to 1.
    Only branches with the prompt are recorded. A prediction at gamma 0 has none: at gamma2 = 0 the zag has no maps.

    words:  of the prompt, in either case; several in one string have one map; a number is a token's column (0: the
            start token). The same for all prompts, or {prompt: its words}, or a function of the prompt
    layers: only modules whose name contains this regular expression, or whose grid has this longer side; None: all
    steps:  only these step indices are kept; None: all
    legs:   only these legs are kept; None: all
    size:   (h, w) of the maps; None: the latent's
    where:  where the network attends to the text; None: as the pipeline says

    Memory kept: 4 * h * w bytes per prompt, word and prediction, on the CPU in float32: 16 KiB for a picture of 512
    pixels, 2.4 MB for the 149 predictions of zigzag over 50 steps. During an evaluation: 32 MiB, and one layer's keys
    and (positions, text) attention of one prompt.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        words: Words,
        *,
        layers: str | int | None = None,
        steps: Collection[int] | None = None,
        legs: Collection[str] | None = None,
        size: tuple[int, int] | None = None,
        where: TextAttention | None = None,
    ) -> None:
        parts, own = pipeline.watchable or (None, UNET)
        at: TextAttention = own if where is None else where
        network = getattr(parts, at.network, None)
        if network is None:
            raise ValueError(f"{type(pipeline).__name__} has no {at.network} to watch; open a zz.StableDiffusion")
        for leg in legs or ():
            check_choice("legs", leg, tuple(Leg))
        named = {name: module for name, module in by_name(network).items() if re.fullmatch(at.modules, name)}
        found = {name: m for name, m in named.items() if not isinstance(layers, str) or re.search(layers, name)}
        if not found:
            raise ValueError(f"layers={layers!r} is in no layer's name; they are {', '.join(named)}")
        self.pipeline, self.words, self.where = pipeline, words, at
        self.modules, self.side = found, layers if isinstance(layers, int) else None
        self.steps, self.legs, self._map = steps, legs, size
        self.device, self.levels, self.schedule = pipeline.device, pipeline.levels, pipeline.schedule
        self.size = pipeline.size
        self.prompts: list[str] = []  # in the order in which they were encoded
        self._columns: list[Columns] = []  # one a prompt
        self._cond: Any = None  # of the current batch,
        self._first = 0  # whose first prompt has this index
        self._passes: list[_Pass] = []  # since the probe was last called
        self._kept: dict[tuple[int, int, str], list[Maps]] = {}  # (prompt, i, leg) -> rounds

    @property
    def can(self) -> Can:
        return self.pipeline.can

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return self.pipeline.shape(size)

    def start(self, noise: Tensor, cond: Any) -> Tensor:
        return self.pipeline.start(noise, cond)

    def encode_image(self, pictures: Tensor) -> Tensor:
        return self.pipeline.encode_image(pictures)

    def encode(self, prompts: Sequence[str], negative_prompts: Sequence[str | None]) -> tuple[Any, Any]:
        located = [self._locate(prompt) for prompt in prompts]
        cond, uncond = self.pipeline.encode(prompts, negative_prompts)
        self._cond, self._first, self._passes = cond, len(self.prompts), []
        self.prompts += prompts
        self._columns += located
        return cond, uncond

    def __call__(self, x: Tensor, node: Node, *conds: Any) -> tuple[Prediction, ...]:
        """Read in the pass in which the network is left as it is."""
        own = [cond for cond in conds if not isinstance(cond, Altered)]
        prompted = [branch for branch, cond in enumerate(own) if plain(cond) is self._cond]
        if not prompted and any(plain(unaltered(cond)) is self._cond for cond in conds):
            raise ValueError(
                "attention to the text is not recorded under a guidance that changes the network for every prediction; "
                "choose guidance=cfg, or leave out the measurement"
            )
        if not prompted or not any(self._columns[self._first :]):
            predictions, maps = self.pipeline(x, node, *conds), []
        else:
            H, W = x.shape[-2:]
            words = self._columns[self._first :]
            frames = x.shape[2] if self.where.whole_clips and x.ndim == 5 else 1
            size = self._map or (H, W)
            reading = Reading(self.where, words, prompted[0], len(own), (H, W), size, self.side, frames)
            with watched(self.modules.values(), reading):
                left = iter(self.pipeline(x, node, *own))
            changed = [cond for cond in conds if isinstance(cond, Altered)]
            others = iter(self.pipeline(x, node, *changed) if changed else ())
            predictions = tuple(next(others if isinstance(cond, Altered) else left) for cond in conds)
            maps = reading.maps()
        self._passes.append(_Pass(x, node, maps))
        return predictions

    def decode(self, x: Tensor) -> Tensor:
        return self.pipeline.decode(x)

    def probe(self, step: Step) -> None:
        """Store the maps of the evaluation that this step used; those of other evaluations are dropped."""
        made = [p.maps for p in self._passes if p.x is step.x and p.node == step.source and p.maps]
        self._passes = []
        if (self.steps is None or step.i in self.steps) and (self.legs is None or step.leg in self.legs):
            for b in range(len(step.x)):
                rounds = self._kept.setdefault((self._first + b, step.i, step.leg), [])
                rounds.append(made[0][b] if made else {})

    def stack(
        self,
        word: str | int,
        leg: str | None = None,
        steps: Collection[int] | None = None,
        round: int | None = None,
        prompt: int = 0,
    ) -> Tensor:
        """A word's maps, one per prediction, (N, h, w), by step. Raises ValueError if there are none.

        leg, steps: None: all that were kept
        round:      which prediction on one leg of one step: in zigzag the zigs 0, 1, ... belong to reflections, and -1
                    is the step itself; None: all
        prompt:     which of `prompts`
        """
        if not 0 <= prompt < len(self.prompts):
            raise ValueError(f"prompt={prompt} is not there; so far there are {len(self.prompts)}")
        if _key(word) not in self._columns[prompt]:
            recorded = ", ".join(map(str, self._columns[prompt]))
            raise ValueError(f"word={word!r} is not recorded for {self.prompts[prompt]!r}; recorded are {recorded}")
        kept = {(i, to): made for (n, i, to), made in self._kept.items() if n == prompt}
        asked = [made for (i, to), made in kept.items() if leg in (None, to) and (steps is None or i in steps)]
        if round is not None:
            asked = [made[round:][:1] for made in asked]
        found = [maps[_key(word)] for made in asked for maps in made if maps]
        if not found:
            why = ", ".join(f"{to} {i}" for i, to in kept) or "nothing: give zz.sample probe=maps.probe"
            why = "predicted without the prompt (gamma 0)" if any(asked) else f"kept is {why}"
            raise ValueError(f"no maps of {word!r} for leg={leg}, steps={steps}, round={round}: {why}")
        return torch.stack(found)

    def mean(
        self,
        word: str | int,
        leg: str | None = None,
        steps: Collection[int] | None = None,
        round: int | None = None,
        prompt: int = 0,
    ) -> Tensor:
        """The mean of `stack`, (h, w)."""
        return self.stack(word, leg, steps, round, prompt).mean(0)

    def by_step(self, word: str | int, prompt: int, leg: str) -> tuple[list[int], list[np.ndarray]]:
        """The step indices of one leg that were kept, and a word's map of each, the mean over its predictions."""
        kept = {i: made for (n, i, to), made in self._kept.items() if n == prompt and to == leg}
        found = {i: [maps[_key(word)] for maps in made if maps] for i, made in sorted(kept.items())}
        shown = {i: torch.stack(maps).mean(0).numpy() for i, maps in found.items() if maps}
        return list(shown), list(shown.values())

    def _locate(self, prompt: str) -> Columns:
        """The text's columns of each word to record of a prompt."""
        if callable(self.words):
            return {_key(word): self._of_word(prompt, word) for word in self.words(prompt)}
        if isinstance(self.words, Mapping) and prompt not in self.words:
            raise ValueError(f"words has no entry for the prompt {prompt!r}; it has {', '.join(self.words)}")
        words = self.words[prompt] if isinstance(self.words, Mapping) else self.words
        if isinstance(words, str) or not words:
            raise ValueError(f"words={words!r} must be a list, such as ['star'], or {{prompt: such a list}}")
        return {_key(word): self._of_word(prompt, word) for word in words}

    def _of_word(self, prompt: str, word: str | int) -> list[int]:
        """The text's columns of a word, from every tokenizer that reads as far as the word; a number is a column."""
        parts, _ = self.pipeline.watchable or (None, None)
        read = [(getattr(parts, name), taken) for name, taken in self.where.tokenizers.items()]
        if isinstance(word, int):
            return columns(read[0][0], prompt, word, read[-1][1].stop)
        found, refused = [], None
        for tokenizer, taken in read:
            try:
                here = columns(tokenizer, prompt, word, taken.stop and taken.stop - taken.start, self.where)
                found += [taken.start + c for c in here]
            except ValueError as error:  # a word beyond one tokenizer's last token may be read by another
                refused = error
        if refused and not found:
            raise refused
        return found


def _key(word: str | int) -> str | int:
    return word.lower() if isinstance(word, str) else word


__all__ = ["AttentionMaps"]
