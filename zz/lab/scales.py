"""An experiment of the paper in miniature: the same cells, with words for the paper's models, prompts and scores.

Which embedded model, prompt set and score stands for which of the paper's is data: experiments/stand_ins.yaml.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zz.lab.experiment import Experiment

SCALES = ("paper", "mini", "smoke")
SMOKE = {"limit": "2", "steps": "4"}  # of every cell in a test

StandIns = Mapping[str, Mapping[str, str | None]]  # group (model, dataset, scorers) -> the paper's option -> words
Split = Callable[[str], list[str]]


def scaled(experiment: Experiment, scale: str, stand_ins: StandIns, split: Split) -> Experiment:
    """The experiment at a scale, its cells as override lines. A line whose model has no stand-in is left out.

    split: an override line into its words

    Raises ValueError where the map of stand-ins does not know an option.
    """
    if scale == "paper" or experiment.scales is None:
        return experiment
    found = list[str]()
    for line in experiment.cells:
        words = _keyed([*split(experiment.common), *split(line)])
        if (small := _small(words, experiment, scale, stand_ins, split)) is not None:
            found.append(" ".join(f"{key}={value}" for key, value in small.items()))
    common = ""
    if experiment.study:
        small = _small(_keyed(split(experiment.common)), experiment, scale, stand_ins, split)
        if small is None:
            return replace(experiment, study=None, cells=())
        common = " ".join(f"{key}={value}" for key, value in small.items())
    return replace(experiment, cells=tuple(found), common=common)


def scorer(name: str, stand_ins: StandIns, scale: str | None) -> str:
    """What stands for one of the paper's scores at a scale."""
    return name if scale in (None, "paper") else _stand_in("scorers", name, stand_ins) or name


def _small(
    words: Mapping[str, str], experiment: Experiment, scale: str, stand_ins: StandIns, split: Split
) -> dict[str, str] | None:
    """One line's words by key; None where its model has no stand-in."""
    assert experiment.scales is not None
    held, found = {key: str(value) for key, value in stand_ins["words"].items()}, dict[str, str]()
    held["limit"] = str(experiment.scales.prompts)
    own_set = experiment.scales.dataset
    for key, value in words.items():
        if key in ("model", "dataset"):
            stand_in = own_set if key == "dataset" and own_set else _stand_in(key, value, stand_ins)
            if stand_in is None:
                return None
            held |= _keyed(split(stand_in))
        elif own_set and key.startswith("dataset."):
            continue
        elif key == "scorers":
            names = [scorer(name, stand_ins, scale) for name in re.findall(r"[\w.]+", value)]
            found[key] = f"[{','.join(dict.fromkeys(names))}]"
        else:
            found[key] = value
    found = _changed({**held, **found}, experiment.scales.mini)
    if scale == "smoke":
        usual = {key: experiment.scales.smoke.get(key, value) for key, value in SMOKE.items()}
        own = _changed(found, experiment.scales.smoke)
        found = own | {key: value for key, value in usual.items() if own.get(key) == found.get(key)}
    return {key: str(value) for key, value in found.items() if value != "all"}


def _changed(words: dict[str, str], to: Mapping[str, str]) -> dict[str, str]:
    return {key: to.get(f"{key}={value}", to.get(key, value)) for key, value in words.items()}


def _stand_in(group: str, option: str, stand_ins: StandIns) -> str | None:
    known = stand_ins[group]
    if option not in known:
        raise ValueError(
            f"experiments/stand_ins.yaml says nothing of {group}={option}; add it, null where there is none"
        )
    return known[option]


def _keyed(words: Sequence[str]) -> dict[str, str]:
    """By key; of equal keys the last one holds."""
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        found.pop(key, None)
        found[key] = value
    return found


__all__ = ["SCALES", "StandIns", "scaled", "scorer"]
