"""How scorers read prompts: a tokenizer that cuts at what the text encoder can hold, and says what it cut."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zz.hub.published import Published

CLIP_TOKENS, REWARD_TOKENS = 77, 35  # that CLIP's text tower and ImageReward read of a prompt, first and last included


def as_it_is(text: str) -> str:
    """The text itself."""
    return text


@dataclass(frozen=True)
class Words:
    """Prompts as token ids, each padded to and cut at the same length.

    tokenizer: of transformers
    most:      tokens read, those at both ends included
    cleaned:   what is done to a text first
    """

    tokenizer: Any
    most: int
    cleaned: Callable[[str], str] = as_it_is

    @classmethod
    def of(cls, file: Path, field: str, most: int, pad: str, cleaned: Callable[[str], str] = as_it_is) -> "Words":
        """By a tokenizer.json. Raises ValueError with the field where it is none."""
        from transformers import PreTrainedTokenizerFast

        try:
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), pad_token=pad)
        except Exception as error:  # any that the tokenizers library raises
            said = str(error).split("\n")[0]
            raise ValueError(
                f"{field}: {file} is no tokenizer ({said}); remove it, and it is downloaded anew"
            ) from error
        return cls(tokenizer, most, cleaned)

    def __call__(self, texts: Sequence[str], device: str) -> dict[str, Tensor]:
        """Their ids and attention masks  # (B, most)"""
        found = self.tokenizer(
            [self.cleaned(text) for text in texts],
            padding="max_length",
            max_length=self.most,
            truncation=True,
            return_tensors="pt",
        )
        return {name: found[name].to(device) for name in ("input_ids", "attention_mask")}

    def cut(self, texts: Sequence[str]) -> dict[str, int]:
        """Of these texts those that are not read to the end, and how many tokens are read."""
        if not texts:
            return {}
        ids = self.tokenizer([self.cleaned(text) for text in texts], truncation=False, verbose=False).input_ids
        return {text: self.most for text, one in zip(texts, ids, strict=True) if len(one) > self.most}


_QUOTES = {ord(c): "'" for c in "\u02bc\u2018\u2019\u201a\u201b"} | {ord(c): '"' for c in "\u201c\u201d\u201e\u201f"}
_ENTITY = re.compile("&#?[0-9A-Za-z]{1,24};")
_WIDE = re.compile("[\u3000\uff01-\uffef]")  # full and half width
_LIGATURES = re.compile("[\u0132\u0133\u0149\u01f1-\u01f3\u01c4-\u01cc\ufb00-\ufb06]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")
_TERMINAL = re.compile("\x1b\\[(?:\\d|;)*[a-zA-Z]")


def cleaned(text: str) -> str:
    """A prompt as OpenAI's CLIP tokenizer cleans it, and so open_clip's and hpsv2's: HTML entities read, straight
    quotes, no ligatures, no half or full width, no control characters, NFC, single spaces.

    They call ftfy.fix_text, which also guesses at text decoded wrongly ("sÃ£o"); that is left out: such a prompt is
    read as it stands.
    """
    if "<" not in text:  # otherwise it may be HTML, whose entities ftfy leaves to those after it
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    text = _WIDE.sub(_compatible, _LIGATURES.sub(_compatible, text))
    text = _CONTROLS.sub("", _TERMINAL.sub("", text.translate(_QUOTES)))
    text = html.unescape(html.unescape(unicodedata.normalize("NFC", text)))
    return " ".join(text.split())


def _compatible(found: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", found[0])


def clip_words(file: Published, field: str, cleaned: Callable[[str], str] = as_it_is) -> Words:
    """CLIP's tokenizer, of its tokenizer.json."""
    return Words.of(file.fetch(field), field, CLIP_TOKENS, "<|endoftext|>", cleaned)
