"""An error as one message for a person."""

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_type_hints

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from hydra.utils import get_object
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from zz.cli import extensions
from zz.cli.compose import composed
from zz.cli.conf import conf_dirs, near, opened_mapping, options, top_level
from zz.cli.words import readable, split
from zz.diffusion.validate import typed

LISTS = ("scorers", "logger", "measurements", "controls", "extensions", "scores", "size")  # keys that take several
TEXTS = ("negative_prompt", "prompt", "name", "store", "by", "out")  # and keys that take a text, beside their fields


def explain(error: Exception, config_name: str, words: Sequence[str] = ()) -> str:
    """An error as one message, with the nearest name that the command's config has where a name is not known.

    words: of the command
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        known = options(group)
        more = "" if extensions.packages[1:] else "; one of your own needs extensions=[PACKAGE]"
        return f"{group}={option} is not known{near(option, known)}; known are {', '.join(known)}{more}"
    if isinstance(error, OverrideParseException):
        said = [line for line in str(error).split("\n") if line and not line.startswith(("See", "Error parsing"))]
        key, equals, value = str(error.override).partition("=")
        remedy = f"; if {value!r} is a text, write {typed(key, value)}" if equals else "; write key=value"
        return f"{error.override!r} is not understood ({'; '.join(said)}){remedy}"
    if isinstance(error, YAMLError):
        return f"a configuration file is not YAML: {' '.join(str(error).split())}"
    if isinstance(error, ConfigCompositionException):
        if sweep := re.search(r"Ambiguous value for argument '(.+?)'\n", str(error), re.S):
            word = sweep[1].lstrip("+")
            return f"{word} is a sweep: add -m{_as_one(word, _config(config_name, words, word.partition('=')[0]))}"
        if found := re.search(r"Could not override '(?:[^'@]+@)?([^'@]+)", str(error)):
            return _unknown(found[1], config_name, words)
        return f"{error} {error.__cause__ or ''}".strip()
    if isinstance(error, OmegaConfBaseException):
        if "Missing mandatory value" in str(error):
            return f"{error.full_key} is not set; set it with {error.full_key}=..."
        return str(error).split("\n")[0]
    return str(error)


def _as_one(word: str, config: Any) -> str:
    """How a sweep's word is said as one value, where its key takes one with commas: a list, a text, or either."""
    key, _, value = word.partition("=")
    parent, _, name = key.rpartition(".")
    hint = _annotation(config, parent, name)
    said = []
    if name in LISTS or parent == "dataset.where" or "tuple" in hint:
        said.append(shlex.quote(f"{key}=[{value}]"))
    if name in TEXTS or (parent and "str" in hint):
        said.append(typed(key, re.sub(r"^\"|\"$|(?<=,)\"|\"(?=,)", "", value)))
    return f"; or, if it is one value, write {' or '.join(said)}" if said else ""


def _annotation(config: Any, parent: str, name: str) -> str:
    """The annotation of a field, where its object's class says so."""
    with suppress(Exception):  # there is no such node, or no such class, of which others tell
        return str(get_type_hints(get_object(OmegaConf.select(config, parent)._target_)).get(name, ""))
    return ""


def _unknown(key: str, config_name: str, words: Sequence[str]) -> str:
    known, config = top_level(config_name), _config(config_name, words, key)
    parent = key.rpartition(".")[0]
    fields = list(_fields(config))
    deeper = [field for field in fields if field.endswith(f".{key}")]
    if not deeper and not parent:
        nearest = difflib.get_close_matches(key, [*known, *_names(fields)], 1, 0.5)
        deeper = [f for f in fields if nearest and nearest[0] not in known and f.endswith(f".{nearest[0]}")]
    if deeper:
        return f"{key} is not known (did you mean {' or '.join(deeper[:3])}?)"
    if parent.split(".")[0] in known:
        beside = {field.rpartition(".")[2]: field for field in fields if field.rpartition(".")[0] == parent}
        meant = difflib.get_close_matches(key.rpartition(".")[2], list(beside), 1, 0.6)
        hint = f" (did you mean {beside[meant[0]]}?)" if meant else ""
        return f"{key} is not known{hint}: {parent} has no such field; `--cfg job` shows those that it has"
    if others := [path for path in _files() if path.parent.name in known and key in OmegaConf.load(path)]:
        at, value = others[0], next((w.partition("=")[2] for w in words if w.startswith(f"{key}=")), "...")
        here = f"{at.parent.name}={at.stem} {at.parent.name}.{key}={value}"
        return f"{key} is not known; it is a field of {' and '.join(p.stem for p in others)}: write {here}"
    return f"{key} is not known{near(key, known)}; known are {', '.join(known)}"


def _config(config_name: str, words: Sequence[str], key: str) -> Any:
    """The config of those words but of one key; where another is wrong too, that of none."""
    others = [readable(word) for word in split(words)[1] if word.partition("=")[0].lstrip("+~") != key]
    with suppress(Exception):
        return next(iter(composed([[opened_mapping(word) for word in others]], config_name)))
    return next(iter(composed([[]], config_name)))


def _fields(node: Any, at: str = "") -> Iterator[str]:
    """The full names of all fields below."""
    for key in node if OmegaConf.is_dict(node) else ():
        if key not in ("_target_", "hydra"):
            yield f"{at}{key}"
            yield from _fields(node._get_node(key), f"{at}{key}.")


def _names(fields: Sequence[str]) -> list[str]:
    return [field.rpartition(".")[2] for field in fields if "." in field]


def _files() -> list[Path]:
    """The YAML files of options of which one is chosen."""
    found = [path for root in conf_dirs() for path in sorted(root.glob("*/[!._]*.yaml"))]
    return [path for path in found if path.parent.name not in (*LISTS, "hydra")]
