"""From what is recorded of a row back to the words that ask for it: a run's config, or for want of one the ledger."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zz.cli.compose import composed
from zz.cli.conf import Refusal, conf_dirs, options
from zz.cli.config import resolved
from zz.diffusion.validate import quoted

CHOICES = ("sampler", "solver", "guidance", "schedule", "dataset")  # groups of which one option is chosen
LEFT = (
    "store",
    "allow_partial",
    "experiment",
    "name",
    "extensions",
    "runner",
    "logger",
    "controls",
    "limit",
    "measurements",
)


def words_of(configs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The words of each config of a run, as it was resolved; what is as its options have it is not said.

    The groups are composed again with what is at the top, such as gamma1, and what still differs is said by its place.
    Empty for all where one cannot be composed, such as one of another version.
    """
    try:
        chosen = [_chosen(config) for config in configs]
        tops = [{key: x for key, x in config.items() if not isinstance(x, Mapping)} for config in configs]
        return _with_rest(configs, _with_rest(tops, chosen))
    except (HydraException, OmegaConfBaseException, Refusal, ValueError, LookupError, AttributeError, TypeError):
        return [[] for _ in configs]


def _with_rest(configs: Sequence[Mapping[str, Any]], words: Sequence[list[str]]) -> list[list[str]]:
    """Words, and those that are still needed for the configs."""
    found = zip(words, configs, composed(words), strict=True)
    return [[*own, *_differing("", config, resolved(base))] for own, config, base in found]


def words_of_ledger(ledger: Mapping[str, Any], model: str) -> list[str]:
    """The words of a cell, nearly: its model, steps, and the sampler with its fields."""
    if "sampler" not in ledger:
        return []
    sampler = ledger["sampler"]
    own = {name: value for name, value in sampler.items() if name not in ("is", "version") and _plain(value)}
    fields = [_word(f"sampler.{name}", value) for name, value in own.items()]
    words = [f"model={model}"] if model in options("model") else []
    return [*words, f"sampler={snake(str(sampler['is']))}", f"steps={ledger['steps']}", *fields]


def snake(name: str) -> str:
    """A class as its option is called, as a rule: EulerAncestral is euler_ancestral."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _chosen(config: Mapping[str, Any]) -> list[str]:
    """The options of a config's groups."""
    model = config["model"].get("name")
    words = [f"model={model}"] if model in options("model") else []
    words += [f"{group}={name}" for group in CHOICES if (name := _option(group, config.get(group)))]
    words = [word for word in words if word not in _usual()]
    return [*words, f"scorers=[{','.join(config.get('scorers') or ())}]"]


@cache
def _usual() -> set[str]:
    """The options that are chosen where none is named."""
    config: Any = OmegaConf.load(Path(conf_dirs()[0]) / "config.yaml")
    return {f"{group}={option}" for one in config.defaults if OmegaConf.is_dict(one) for group, option in one.items()}


def _option(group: str, part: Any) -> str | None:
    """The option of a group that a part of a config is most like."""
    if not isinstance(part, Mapping):
        return None
    like = [(name, fields) for name, fields in _options(group) if fields.get("_target_") == part.get("_target_")]
    return max(like, key=lambda one: sum(part.get(k) == v for k, v in one[1].items()), default=(None, {}))[0]


@cache
def _options(group: str) -> list[tuple[str, Mapping[str, Any]]]:
    paths = [Path(root) / group / f"{name}.yaml" for name in options(group) for root in conf_dirs()]
    return [(path.stem, OmegaConf.to_container(OmegaConf.load(path))) for path in paths if path.is_file()]  # type: ignore[misc]


def _differing(prefix: str, ours: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[str]:
    for name, value in ours.items():
        if prefix == "" and name in LEFT:
            continue
        if isinstance(value, Mapping) and isinstance(usual.get(name), Mapping):
            yield from _differing(f"{prefix}{name}.", value, usual[name])
        elif name in usual and value != usual[name] and (_plain(value) or isinstance(value, list)):
            yield _word(f"{prefix}{name}", value)


def _word(key: str, value: Any) -> str:
    return f"{key}=[{','.join(map(_said, value))}]" if isinstance(value, list) else f"{key}={_said(value)}"


def _said(value: Any) -> str:
    """A plain value as Hydra reads it."""
    if isinstance(value, str):
        return quoted(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


__all__ = ["snake", "words_of", "words_of_ledger"]
