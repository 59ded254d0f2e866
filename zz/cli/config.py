"""A config as plain values, and those as objects."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from zz.cli import extensions
from zz.cli.conf import Refusal
from zz.diffusion.validate import check_text
from zz.lab import packed
from zz.lab.store.store import Store
from zz.scorers.base import Metric


def store_of(config: DictConfig) -> Store:
    """The store that a config names."""
    if config.store is None or config.store == "":
        raise Refusal(f"store={config.store} must be a folder: store=PATH")
    check_text("store", config.store if isinstance(config.store, int | float) else None)  # a name of any bytes will do
    try:
        if str(config.store).endswith(packed.SUFFIX) and Path(config.store).is_file():
            return packed.opened(Path(config.store))
        return Store(config.store)
    except (TypeError, RuntimeError) as error:  # a list; a home that is nobody's
        raise Refusal(f"store={config.store} is no folder ({error}); choose another with store=PATH") from error


def resolved(config: DictConfig) -> dict[str, Any]:
    """A config as plain values, every interpolation resolved.

    Plain names are looked up here, for OmegaConf parses each anew in every config of a sweep; the rest is its own.
    """
    plain: Any = OmegaConf.to_container(config, throw_on_missing=True)

    def value(node: Any, *path: Any) -> Any:
        if isinstance(node, dict):
            return {key: value(inner, *path, key) for key, inner in node.items()}
        if isinstance(node, list):
            return [value(inner, *path, i) for i, inner in enumerate(node)]
        if not (isinstance(node, str) and "${" in node):
            return node
        if name := _NAME.fullmatch(node):
            with suppress(KeyError, TypeError):  # of which OmegaConf tells better
                found = reduce(getitem, name[1].split("."), plain)
                if "${" not in str(found):
                    return found
        found = reduce(getitem, path, config)
        return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found

    return value(plain)


_NAME = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")


def build(node: Any) -> Any:
    """Instantiate a config node; only `zz.*` may be a target. Raises ValueError as the object's maker did.

    What is made is frozen, so that equal nodes of a sweep's configs give one object.
    """
    plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True) if OmegaConf.is_config(node) else node
    return _built(json.dumps(plain))


def build_anew() -> None:
    """Forget what was built."""
    _built.cache_clear()


@lru_cache(maxsize=1024)
def _built(text: str) -> Any:
    node = json.loads(text)
    for target in _targets(node):
        _check_home(target, target)
    return _made(node)


def _check_home(target: str, home: str) -> None:
    """Raise Refusal unless a target's home, its full name, lies in zz or an extension."""
    if not extensions.allowed(home):
        known = ", ".join(f"{name}.*" for name in extensions.packages)
        raise Refusal(f"_target_={target}: only {known} is instantiated; name its package in extensions=[...]")


def _made(node: Any) -> Any:
    """Plain values as objects, from the inside out; lists become tuples, since what is made is frozen."""
    if isinstance(node, list):
        return tuple(_made(value) for value in node)
    if not isinstance(node, dict):
        return node
    values = {key: _made(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return values
    target = node["_target_"]
    try:
        kind = get_object(target)
    except Exception as error:  # whatever importing its module raises
        raise Refusal(f"_target_={target} is not there; it must be the full name of a class") from error
    _check_home(target, f"{getattr(kind, '__module__', '')}.")  # what a module imports is not its own
    try:
        return kind(**values)
    except TypeError as error:
        if unknown := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
            raise Refusal(f"{target} has no field {unknown[1]}; take it out") from error
        raise Refusal(f"{target} cannot be made: {error}") from error


def _targets(node: Any) -> Iterator[str]:
    """Every _target_ in plain values."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_":
                yield str(value)
            else:
                yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def metrics_of(config: Mapping[str, Any]) -> Mapping[str, Metric]:
    """What a config asks that pictures are scored by, by name."""
    return {name: build(node) for name, node in nodes("scorers", config).items()}


def nodes(group: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The nodes of a group of which several may be chosen, by name."""
    found = config.get(group) or {}
    for name, node in found.items():
        if not isinstance(node, dict) or "_target_" not in node:
            raise Refusal(
                f"{group}.{name} holds no _target_: a YAML of conf/{group} has NAME: above its _target_, "
                "which is indented below it"
            )
    return found
