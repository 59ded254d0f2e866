"""A command under Hydra: its words, its sweep or experiment, and its exit code."""

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TextIO

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from zz.cli import extensions
from zz.cli.compose import composed, launcher_of, sends
from zz.cli.conf import Refusal, conf_dir, opened_mapping
from zz.cli.experiment import by_name, cells_of, empty, find, stands_for
from zz.cli.explain import explain
from zz.cli.terminal.window import Window
from zz.cli.words import flag, readable, split
from zz.lab.signals import Terminated, at_once
from zz.lab.store.atomic import StoreError

# Hydra takes launchers only from the package hydra_plugins, wherever on sys.path its parts lie; ours is in here.
sys.path.append(str(Path(__file__).resolve().parent / "plugins"))

# What the launcher hands a whole sweep to: Hydra makes launchers by itself and gives them nothing of ours.
pending_sweeps: list["Sweep"] = []


class Sweep(Protocol):
    """Takes the words of each cell of a sweep; with the fields of a launcher they are sent elsewhere."""

    def __call__(self, cells: Sequence[Sequence[str]], launcher: Mapping[str, Any] | None = None) -> None: ...


def command(verb: str, config_name: str) -> int:
    """Run a command under Hydra and return its exit code.

    verb: the function of that name in `zz.cli.verbs` sees one config, or all of a sweep at once
    """
    _open_standard_streams()
    full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to us
    codes: list[int] = []
    home = os.getpid()
    given = sys.argv[1:]
    guarded = partial(_guarded, full=full, config_name=config_name, words=given)

    def task(configs: Sequence[DictConfig]) -> int:
        work = getattr(import_module(f"zz.cli.verbs.{verb}"), verb)  # only now: --help needs no torch
        code: int = work(configs, given) if verb in SEES_WORDS else work(configs)
        return code

    def work(configs: Sequence[DictConfig]) -> None:
        codes.append(guarded(lambda: task(configs)))

    def once(config: DictConfig) -> None:
        if os.getpid() == home:
            if config.get("experiment"):
                raise Refusal(f"experiment={config.experiment} takes no flag but -m; set all else with key=value")
            work([config])
        elif code := task([config]):  # sent elsewhere by another launcher, which hears of exceptions only
            raise Refusal(f"a job ended with exit code {code}; its own log says why")

    def sweep(cells: Sequence[Sequence[str]], launcher: Mapping[str, Any] | None = None) -> None:
        def all_of_them() -> int:
            if launcher and verb != "run":
                raise Refusal(f"hydra/launcher=submitit_{launcher['executor']} is of zz.run; leave it out")
            configs, code = list(composed(cells, config_name)), None
            if launcher:
                code = import_module("zz.cli.launch").launch(cells, configs, launcher)  # which loads torch
            return task(configs) if code is None else code

        codes.append(guarded(all_of_them))

    def start() -> int:
        flags, words = arguments(sys.argv[1:])
        if verb not in MAKING and _experiment(words):
            words = by_name(words)
        sys.argv[1:] = [*flags, *words]
        if (name := _experiment(words)) and _SWEEP.issuperset(flags):  # Hydra answers --cfg, --help and the like
            launcher = launcher_of(words, config_name)
            words = [w for w in words if not (_names_experiment(w) or w.startswith(("hydra/", "hydra.launcher.")))]
            chosen = list(dict.fromkeys(one for some in name.split(",") for one in stands_for(some)))
            for one in chosen:
                find(one)
            each = (cells_of(one, words, bool(flags)) or [empty(one, words)] for one in chosen)
            for some in [list(chain(*each))] if verb in TOGETHER else each:
                if codes and codes[-1] > 128:  # interrupted
                    break
                sweep(some, launcher)
        else:
            if not flags and sends(words):  # one cell is a sweep of one: without -m Hydra asks no launcher
                sys.argv.append("-m")
            hydra.main(config_path=conf_dir(), config_name=config_name, version_base="1.3")(once)()
        return max(codes, default=0)

    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # what is no text file of Python's
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names of files may be any bytes
    pending_sweeps.append(sweep)
    try:
        return guarded(start)
    finally:
        sys.argv[1:] = given
        pending_sweeps.remove(sweep)
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"


_SWEEP = {"-m", "--multirun"}
MAKING = ("run", "plan", "score", "doctor")  # what asks for an experiment's cells; others read what was asked for
SEES_WORDS = ("plan",)  # what passes on the words as they were typed
TOGETHER = ("plan", "doctor")  # what looks at several experiments at once; others take one after the other


def arguments(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line as Hydra wants it: its flags, and after them the overrides, with fields of open mappings added.

    Takes up the extensions and the search path that they name.
    """
    flags, others = split(words)
    overrides = [opened_mapping(readable(word)) for word in others]
    extensions.load(overrides, flag(flags, "-cd", "--config-dir"))
    kept = [w for w in overrides if not w.startswith("hydra.searchpath=")]  # which search_path() says
    return flags, [*extensions.search_path(), *kept]


def _experiment(words: Sequence[str]) -> str | None:
    """The experiment that is asked for."""
    found = [word.partition("=")[2] for word in words if _names_experiment(word)]
    return found[-1] if found and found[-1] not in ("", "null") else None


def _names_experiment(word: str) -> bool:
    return word.lstrip("+").startswith("experiment=")


def _guarded(work: Callable[[], int], full: bool, config_name: str, words: Sequence[str]) -> int:
    """Run it; turn what a person can mend into one message and exit code 2, an interrupt into 130, SIGTERM into 143.

    Where what it shows is what it is for, an output that is full or closed is exit code 1.
    """
    kept = "what is made is kept, the same command goes on from there"
    try:
        with at_once():
            code = work()
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except (Refusal, StoreError, ValueError, HydraException, OmegaConfBaseException, YAMLError) as error:
        if full:
            raise
        _say(f"error: {explain(error, config_name, words)}", sys.stderr)
        return 2
    except OSError as error:
        if full or error.errno not in (errno.ENOSPC, errno.EPIPE, errno.EIO):
            raise
        _say("", sys.stdout)
        if error.errno != errno.EPIPE:
            _say(f"error: {error.strerror}", sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say(f"stopped; {kept}", sys.stderr)
        return 130
    except Terminated:
        _say(f"terminated; {kept}", sys.stdout)
        return 143


def _open_standard_streams() -> None:
    """What was closed before the start leads nowhere, lest the next file opened is taken for it and written into."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _say(text: str, stream: TextIO | None) -> None:
    if stream is not None:
        print(text, file=Window(stream), flush=True)
