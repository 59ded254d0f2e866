"""A CLIPTokenizer with a closed vocabulary: each word of the shapes world is one token, anything else falls to letters.

CLIP's own byte-pair merges would split `diamonds`; here the merges are made from the words.
"""

from collections.abc import Sequence
from itertools import pairwise
from string import ascii_lowercase
from typing import Any

from torch import Tensor
from transformers import CLIPTokenizer

from zz.data.shapes_prompts import VOCABULARY

LENGTH = 16  # tokens a caption, begin and end among them; the longest caption of the world has 12
BEGIN, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


def build_tokenizer(words: Sequence[str] = VOCABULARY) -> CLIPTokenizer:
    """Save it with save_pretrained; CLIPTokenizer.from_pretrained loads it."""
    merges: list[tuple[str, str]] = []
    for word in words:
        # a merge that is added later has a lower rank, so that words which are whole already stay whole
        while len(parts := _merged(word, merges)) > 1:
            merges.append((parts[0], parts[1]))
    tokens = [*ascii_lowercase, *(letter + WORD_END for letter in ascii_lowercase)]
    tokens += [a + b for a, b in merges]
    vocabulary = {token: i for i, token in enumerate([*dict.fromkeys(tokens), BEGIN, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)  # type: ignore[arg-type]


def read(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Token numbers of captions, all of one length, as pipelines hand them to a text encoder  # (B, LENGTH)"""
    read: Any = tokenizer(list(captions), padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    return read.input_ids


def _merged(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    """The tokens of a word by byte-pair encoding: the earliest merge that fits first, wherever it fits."""
    parts = [*word[:-1], word[-1] + WORD_END]
    rank = {pair: i for i, pair in enumerate(merges)}
    while pairs := [pair for pair in pairwise(parts) if pair in rank]:
        first = min(pairs, key=rank.__getitem__)
        i = 0
        while i < len(parts) - 1:
            if (parts[i], parts[i + 1]) == first:
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
            i += 1
    return parts
