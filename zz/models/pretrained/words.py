"""Words of a model whose vocabulary is closed: words.json beside its model_index.json lists them."""

import json
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

FILE = "words.json"


@lru_cache(maxsize=64)
def known_words(folder: Path) -> frozenset[str] | None:
    """The words that a model was trained on; None: it is not said, and any may be asked for."""
    path = folder / FILE
    return frozenset(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


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


__all__ = ["FILE", "check_words", "known_words"]
