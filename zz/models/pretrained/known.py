"""What a model of a closed world knows: words.json and sizes.json beside its model_index.json list it."""

import json
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

WORDS, SIZES = "words.json", "sizes.json"


@lru_cache(maxsize=64)
def known_words(folder: Path) -> frozenset[str] | None:
    """The words that a model was trained on; None: it is not said, and any may be asked for."""
    found = _read(folder / WORDS)
    return None if found is None else frozenset(found)


@lru_cache(maxsize=64)
def known_sizes(folder: Path) -> tuple[tuple[int, int], ...] | None:
    """The sizes that a model was trained on, (height, width); None: it is not said, and any may be asked for."""
    found = _read(folder / SIZES)
    return None if found is None else tuple((height, width) for height, width in found)


def check_words(known: Collection[str] | None, prompts: Sequence[str]) -> None:
    """Raise ValueError on a prompt with words or signs that are not among them."""
    if known is None:
        return
    for prompt in prompts:
        asked = dict.fromkeys(re.findall(r"\w+|[^\w\s]", prompt.lower()))
        if unknown := [word for word in asked if word not in known]:
            raise ValueError(
                f"prompt {prompt!r}: this model does not know {', '.join(unknown)}; it knows {', '.join(sorted(known))}"
            )


def check_sizes(known: Collection[tuple[int, int]] | None, size: tuple[int, int]) -> None:
    """Raise ValueError on a size that is not among them."""
    if known is not None and tuple(size) not in known:
        listed = " or ".join(f"[{height},{width}]" for height, width in known)
        raise ValueError(f"size=[{size[0]},{size[1]}]: this model knows pictures of {listed} only")


def _read(path: Path) -> list[Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


__all__ = ["SIZES", "WORDS", "check_sizes", "check_words", "known_sizes", "known_words"]
