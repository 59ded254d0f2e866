"""Many configs at once: Hydra composes each choice of groups, and plain values are then set on a copy of it.

Hydra takes a fifth of a second a config; a table of a thousand cells has a few dozen choices of groups.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from zz.cli.conf import Refusal, conf_dirs
from zz.cli.extensions import search_path


def cells(words: Sequence[str]) -> list[list[str]]:
    """Words with their sweeps as the words of each cell; the last word varies fastest, as in Hydra."""
    choices = []
    for override in _parsed(words):
        key = override.get_key_element()
        if override.is_sweep_override():
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([override.input_line or ""])
    return [list(cell) for cell in product(*choices)]


def composed(cells: Sequence[Sequence[str]], config_name: str = "config") -> Iterator[DictConfig]:
    """Each cell's config, as Hydra would compose it from its words."""
    bases: dict[tuple[str, ...], DictConfig] = {}
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dirs()[0]), version_base="1.3"):
        for words in cells:
            base: list[str] = []
            values: list[Override] = []
            for override in _parsed(words):
                if _sets_a_value(override):
                    values.append(override)
                    continue
                if not _chooses(override):  # it adds or deletes: what it touches is set before it, as typed
                    for earlier in [o for o in values if _touch(o.key_or_group, override.key_or_group)]:
                        values.remove(earlier)
                        base.append(earlier.input_line or "")
                base.append(override.input_line or "")
            key = tuple(base)
            if key not in bases:
                bases[key] = compose(config_name, overrides=[*search_path(), *base])
            known, config = bases[key], deepcopy(bases[key])
            if missing := [o for o in values if not _has(known, o.key_or_group)]:
                # Hydra says best what is wrong with it
                compose(config_name, overrides=[*search_path(), *base, missing[0].input_line or ""])
            for override in values:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            yield config


def sends(words: Sequence[str]) -> bool:
    """Whether these words send cells elsewhere."""
    return any(word.startswith(f"{_LAUNCHER}submitit_") for word in words)


def launcher_of(words: Sequence[str], config_name: str) -> dict[str, Any] | None:
    """The fields of the launcher that an experiment's words name; None: its cells are made here, as one plan."""
    named = [word for word in words if word.startswith(_LAUNCHER)][-1:]
    if not named or named[0] == f"{_LAUNCHER}zz":
        return None
    if not sends(named):
        raise Refusal(f"{named[0]}: an experiment is sent by submitit_slurm or submitit_local alone, or made here")
    own = [word for word in words if word.startswith((_LAUNCHER, "hydra.launcher.", "store="))]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dirs()[0]), version_base="1.3"):
        config = compose(config_name, overrides=own, return_hydra_config=True)
    found: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    return {name: value for name, value in found.items() if name != "_target_"}


_LAUNCHER = "hydra/launcher="


def _parsed(words: Sequence[str]) -> list[Override]:
    return [_override(word) for word in words]


@lru_cache(4096)  # the cells of a table have most of their words in common
def _override(word: str) -> Override:
    return OverridesParser.create().parse_overrides([word])[0]


def _sets_a_value(override: Override) -> bool:
    """Whether it sets a value that is there, and chooses no group; a sweep is none, and Hydra refuses it."""
    return override.type is OverrideType.CHANGE and not override.is_sweep_override() and not _chooses(override)


def _chooses(override: Override) -> bool:
    """Whether it chooses a group's option, or is for Hydra itself."""
    key = override.key_or_group
    group = any((Path(root) / key).is_dir() for root in conf_dirs())
    return group or key.startswith("hydra") or override.package is not None


def _touch(one: str, other: str) -> bool:
    """Whether one of two keys is the other, or lies in it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _has(config: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node: Any = OmegaConf.select(config, parent) if parent else config
    return OmegaConf.is_dict(node) and name in node
