"""Where conf/ is, what it offers, and the nearest known name where a name is not known."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from zz.cli import extensions


class Refusal(Exception):
    """A message for a person: what is wrong, and what to do."""


def shipped(folder: str, file: str) -> Path:
    """A folder as a wheel holds it (zz/conf), or as a checkout does (beside zz/), known by a file in it."""
    package = Path(__file__).resolve().parent.parent
    for path in (package / folder, package.parent / folder):
        if (path / file).is_file():
            return path
    raise Refusal(f"{folder}/{file} is neither in {package} nor beside it; install zz again")


def conf_dirs() -> list[Path]:
    """The project's own conf/, then those of extensions."""
    return [shipped("conf", "config.yaml"), *extensions.folders("conf")]


def conf_dir() -> str:
    """The project's own conf/."""
    return str(conf_dirs()[0])


def options(group: str) -> list[str]:
    """The options of a configuration group, here and in extensions."""
    found = {path.stem for root in conf_dirs() for path in (root / group).glob("*.yaml")}
    return sorted(name for name in found if not name.startswith(("_", ".")))


def top_level(config_name: str) -> list[str]:
    """The groups and keys of a command's config."""
    config: Any = OmegaConf.load(Path(conf_dir()) / f"{config_name}.yaml")
    keys = {str(key) for key in config if key not in ("defaults", "hydra")}
    for one in config.defaults:
        if OmegaConf.is_dict(one):
            keys |= {group for group in one if not group.startswith("override ")}
        elif one != "_self_":
            keys |= set(top_level(one))
    return sorted(keys)


def near(name: str, known: Sequence[str]) -> str:
    """` (did you mean X?)`, or nothing."""
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f" (did you mean {near[0]}?)" if near else ""


OPEN = ("dataset.where", "strong.model", "weak.model", "guidance.options", "guidance.inner.options")  # take any key


def opened_mapping(word: str) -> str:
    """`dataset.where.category=Colors` as `++dataset.where.category=Colors`: what is open may be added to."""
    return f"++{word}" if word.startswith(OPEN) else word
