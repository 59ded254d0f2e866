"""Packages beside zz whose classes may be instantiated, and whose conf/ is searched.

They are named on the command line, `extensions=[mine]`, or by an entry point of the group `zz.extensions`. A package
holds its YAML files as conf/ does (mine/conf/sampler/my_sampler.yaml) and its experiments in mine/experiments/.
"""

import re
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from zz.diffusion.validate import quoted

packages: list[str] = ["zz"]  # in which a _target_ may lie
search_paths: list[str] = []  # that a command's words name for Hydra


class ExtensionError(ValueError):
    """A package that is named but cannot be used."""


def load(words: Sequence[str], config_dir: str | None = None) -> None:
    """Take up the packages that entry points and the words of a command name, and Hydra's search path.

    config_dir: of Hydra's flag, which a sweep is composed from as well
    """
    search_paths[:] = [path for word in words for path in _listed("hydra.searchpath", word)]
    search_paths.extend(f"file://{Path(path).resolve()}" for path in [config_dir] if path)
    names = [point.value.split(":")[0] for point in entry_points(group="zz.extensions")]
    names += [name for word in words for name in _listed("extensions", word)]
    packages[1:] = []
    for name in dict.fromkeys(names):
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            raise ExtensionError(f"extensions={name} is no name of a package; write extensions=[mine]")
        try:
            import_module(name)
        except ImportError as error:
            raise ExtensionError(
                f"extensions={name} cannot be imported ({error}); is it installed, or in here?"
            ) from error
        packages.append(name)


def folders(inside: str) -> dict[Path, str]:
    """The folder of that name, such as conf or experiments, in each extension that has one; and the extension."""
    found = {}
    for name in packages[1:]:
        for root in getattr(import_module(name), "__path__", []):
            if (path := Path(root) / inside).is_dir():
                found[path] = name
    return found


def allowed(target: str) -> bool:
    """Whether a _target_ lies in zz or in an extension."""
    return any(target.startswith(f"{name}.") for name in packages)


def _listed(key: str, word: str) -> list[str]:
    """The names in `key=[one,two]`; none in another word."""
    if word.partition("=")[0] != key:
        return []
    value = OverridesParser.create().parse_override(word).value()
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def search_path() -> list[str]:
    """The override that has Hydra search the extensions' conf/, and what a word names beside them."""
    paths = [*search_paths, *(f"file://{path.resolve()}" for path in folders("conf"))]
    return [f"hydra.searchpath=[{','.join(map(quoted, paths))}]"] if paths else []
