"""An error as one message for a person."""

import re
from collections.abc import Sequence

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from zz.cli import extensions
from zz.cli.conf import near, options, top_level


def explain(error: Exception, config_name: str) -> str:
    """An error as one message, with the nearest name that the command's config has where a name is not known."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        known = options(group)
        more = "" if extensions.packages[1:] else "; one of your own needs extensions=[PACKAGE]"
        return f"{group}={option} is not known{near(option, known)}; known are {', '.join(known)}{more}"
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
        if found := re.search(r"Could not override '(?:[^'@]+@)?([^'@]+)", str(error)):
            return _unknown(found[1], top_level(config_name))
        return f"{error} {error.__cause__ or ''}".strip()
    if isinstance(error, OmegaConfBaseException):
        if "Missing mandatory value" in str(error):
            return f"{error.full_key} is not set; set it with {error.full_key}=..."
        return str(error).split("\n")[0]
    return str(error)


def _unknown(key: str, known: Sequence[str]) -> str:
    parent, _, _ = key.rpartition(".")
    if parent.split(".")[0] in known:
        return f"{key} is not known: {parent} has no such field; `--cfg job` shows those that it has"
    return f"{key} is not known{near(key, known)}; known are {', '.join(known)}"
