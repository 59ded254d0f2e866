"""Hydra at the edge: where conf/ is, how a config becomes objects, and what a person reads when it does not."""

import difflib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from zz.lab.store import Store, StoreError

# Hydra takes launchers only from the package hydra_plugins, wherever on sys.path its parts lie; ours is in here.
sys.path.append(str(Path(__file__).resolve().parent / "plugins"))

at_once: list[Callable[[Sequence[DictConfig]], None]] = []  # what the launcher hands a whole sweep to


class Refusal(Exception):
    """A message for a person: what is wrong, and what to do."""


def conf_dir() -> str:
    """conf/ as a wheel holds it (zz/conf), or as a checkout does (beside zz/)."""
    package = Path(__file__).resolve().parent.parent
    for path in (package / "conf", package.parent / "conf"):
        if (path / "config.yaml").is_file():
            return str(path)
    raise Refusal(f"conf/ is neither in {package} nor beside it; install zz again")


def command(task: Callable[[Sequence[DictConfig]], int], config_name: str) -> int:
    """Run a command under Hydra and return its exit code. `task` sees one config, or all of a sweep at once."""
    full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to us
    codes: list[int] = []

    def work(configs: Sequence[DictConfig]) -> None:
        codes.append(_guarded(lambda: task(configs), full))

    home = os.getpid()

    def once(config: DictConfig) -> None:
        if os.getpid() == home:
            work([config])
        elif code := task([config]):  # sent elsewhere by another launcher, which hears of exceptions only
            raise Refusal(f"a job ended with exit code {code}; its own log says why")

    def start() -> int:
        hydra.main(config_path=conf_dir(), config_name=config_name, version_base="1.3")(once)()
        return max(codes, default=0)

    at_once.append(work)
    overrides = [a for a in sys.argv[1:] if "=" in a and not a.startswith("-")]  # argparse wants them in one piece
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in overrides] + overrides
    try:
        return _guarded(start, full)
    finally:
        at_once.remove(work)
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"


def _guarded(work: Callable[[], int], full: bool) -> int:
    """Run it; turn what a person can mend into one message and exit code 2, an interrupt into 130."""
    try:
        return work()
    except (Refusal, StoreError, ValueError, HydraException, OmegaConfBaseException, YAMLError) as error:
        if full:
            raise
        print(f"error: {explain(error)}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("stopped; what is made is kept, the same command goes on from there", file=sys.stderr)  # noqa: T201
        return 130


def store_of(config: DictConfig) -> Store:
    """The store that a config names."""
    if not isinstance(config.store, str) or not config.store:
        raise Refusal(f"store={config.store} must be a folder: store=PATH")
    return Store(config.store)


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


@lru_cache(maxsize=1024)
def _built(text: str) -> Any:
    node = json.loads(text)
    for target in _targets(node):
        if not target.startswith("zz."):
            raise Refusal(f"_target_={target}: only zz.* is instantiated here")
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ValueError | StoreError | Refusal):
            raise cause from error
        if isinstance(cause, TypeError) and (unknown := re.search(r"unexpected keyword argument '(\w+)'", str(cause))):
            named = re.search(r"target '([\w.]+)'", str(error))
            raise Refusal(f"{named[1] if named else 'it'} has no field {unknown[1]}; take it out") from error
        if wrong := re.search(r"Error locating target '([\w.]+)'", str(error)):
            raise Refusal(f"_target_={wrong[1]} is not there; it must be the full name of a class") from error
        raise Refusal(str(error).split("full_key:")[0].strip()) from error


def explain(error: Exception) -> str:
    """An error as one message, with the nearest known name where a name is not known."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        known = [str(o) for o in error.options or []] or sorted(
            p.stem for p in (Path(conf_dir()) / group).glob("*.yaml")
        )
        return f"{group}={option} is not known{_near(option, known)}; known are {', '.join(known)}"
    if isinstance(error, OverrideParseException):
        why = "; ".join(line for line in str(error).split("\n")[1:] if line and not line.startswith("See"))
        grammar = "https://hydra.cc/docs/1.3/advanced/override_grammar/basic"
        return f"{error.override!r} is not understood ({why}); write key=value, quote blanks and brackets: {grammar}"
    if isinstance(error, YAMLError):
        return f"a configuration file is not YAML: {' '.join(str(error).split())}"
    if isinstance(error, ConfigCompositionException):
        if sweep := re.search(r"Ambiguous value for argument '(.+?)'", str(error)):
            key, _, value = sweep[1].partition("=")
            return (
                f"{sweep[1]} is a sweep: add -m; or, if it is one value, write {key}=[{value}] or '{key}=\"{value}\"'"
            )
        if found := re.search(r"Could not override '([^'@]+)", str(error)):
            return _unknown(found[1])
        return f"{error} {error.__cause__ or ''}".strip()
    if isinstance(error, OmegaConfBaseException):
        if "Missing mandatory value" in str(error):
            return f"{error.full_key} is not set; set it with {error.full_key}=..."
        return str(error).split("\n")[0]
    return str(error)


def _unknown(key: str) -> str:
    parent, _, _ = key.rpartition(".")
    known = _top_level()
    if parent.split(".")[0] in known:
        return f"{key} is not known: {parent} has no such field; `--cfg job` shows those that it has"
    return f"{key} is not known{_near(key, known)}; known are {', '.join(known)}"


def _top_level() -> list[str]:
    root = Path(conf_dir())
    groups = [p.name for p in root.iterdir() if p.is_dir() and p.name != "hydra"]
    keys = [str(k) for k in OmegaConf.load(root / "config.yaml") if k not in ("defaults", "hydra")]
    return sorted({*groups, *keys})


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f" (did you mean {near[0]}?)" if near else ""


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
