"""The words of a command line: flags apart from the rest, and values that Hydra's grammar does not know as texts."""

import re
from collections.abc import Sequence
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from zz.diffusion.validate import quoted

# Hydra's flags that take a value
_VALUED = ("--cfg", "--package", "--config-path", "--config-name", "--config-dir", "--experimental-rerun")
_SHORT = ("-c", "-p", "-cp", "-cn", "-cd")
_KEY = r"[+~]{0,2}[A-Za-z_][\w./@:-]*"
_QUOTED = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
_TOKEN = re.compile(rf"(?:^|(?<=,))\s*{_QUOTED}|.", re.S)  # a quote begins a text only where a value begins


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags, each before its value, and all other words."""
    flags, others = list[str](), list[str]()
    for word in words:
        valued = bool(flags) and _takes_a_value(flags[-1])
        (flags if valued or word.startswith("-") else others).append(word)
    return flags, others


def flag(flags: Sequence[str], short: str, name: str) -> str | None:
    """The value of a flag; None where it is not given."""
    for i, word in enumerate(flags):
        given, equals, value = word.partition("=")
        if given == short or (given.startswith("--") and len(given) > 2 and name.startswith(given)):
            return value if equals else next(iter(flags[i + 1 :]), None)
    return None


def readable(word: str) -> str:
    """A word that Hydra can read: a value that it cannot, or one of several between commas, is a text, and is quoted.

    What Hydra reads stays as it is; so does what begins as a list, a mapping, a function or a quoted text and is none.
    """
    key, equals, value = word.partition("=")
    if not equals or not re.fullmatch(_KEY, key) or _reads(word):
        return word
    inside = re.fullmatch(r"\s*\[(.*)\]\s*", value, re.S)
    found = _between_commas(inside[1] if inside else value)
    texts = [each for each in found if not _reads(f"{key}={each}")]
    if any(re.match(r"\s*([\[{\"']|\w+\()", text) for text in texts) or not all(map(str.strip, found)):
        return word
    said = ",".join(quoted(each.strip()).replace(r"\${", "${") if each in texts else each for each in found)
    return f"{key}=[{said}]" if inside else f"{key}={said}"


def _between_commas(text: str) -> list[str]:
    """Its parts between commas that stand in no brackets and no quotes."""
    found, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth += (token in "([{") - (token in ")]}")
        if token == "," and depth <= 0:
            found.append("")
        else:
            found[-1] += token
    return found


def _takes_a_value(word: str) -> bool:
    long = word.startswith("--") and len(word) > 2 and any(name.startswith(word) for name in _VALUED)
    return word in _SHORT or long


def _reads(word: str) -> bool:
    try:
        _parser().parse_override(word)
    except HydraException:
        return False
    return True


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()
