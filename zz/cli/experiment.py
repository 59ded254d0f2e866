"""Experiments by name: where they are found, and the cells that one asks for."""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from zz.cli import extensions
from zz.cli.compose import cells
from zz.cli.conf import Refusal, near, opened_mapping
from zz.lab.experiment import Experiment

NEUTRAL = ("limit", "runner.", "store", "allow_partial", "controls", "scorers", "measurements", "logger", "name")


def known() -> dict[str, str]:
    """Every experiment by name, and its module: a file of experiments/, or of an extension's, that says EXPERIMENT."""
    roots = {Path(__file__).resolve().parent.parent / "experiments": "zz"} | extensions.folders("experiments")
    found = {}
    for root, package in roots.items():
        for path in sorted(root.rglob("[!.]*.py")):
            if re.search(r"^EXPERIMENT\b", path.read_text(encoding="utf-8"), re.M):
                inside = path.relative_to(root).with_suffix("").parts
                found[path.stem] = ".".join([package, "experiments", *inside])
    return found


def find(name: str) -> Experiment:
    """The experiment of that name. Raises Refusal with those that there are."""
    modules = known()
    if name not in modules:
        raise Refusal(f"experiment={name} is not known{near(name, list(modules))}; known are {', '.join(modules)}")
    found = import_module(modules[name]).EXPERIMENT
    if not isinstance(found, Experiment):
        raise Refusal(f"experiment={name}: EXPERIMENT in {modules[name]} is no zz.lab.experiment.Experiment")
    return found


def cells_of(name: str, words: Sequence[str], sweep: bool = True) -> list[list[str]]:
    """The words of each cell of an experiment; words typed beside its name apply to every cell and win.

    sweep: a typed sweep makes a cell of each of its values, of every cell; otherwise it is left as it is typed

    Raises Refusal where a typed word makes two of its cells equal.
    """
    experiment = find(name)
    opened = [opened_mapping(word) for word in words]
    typed = cells(opened) if sweep else [opened]
    keys = {_key(word) for word in words}
    found: list[list[str]] = []
    replaced = set[str]()  # keys of the experiment's own that typed words win over
    rows: dict[frozenset[str], frozenset[str]] = {}  # what makes a row, without and with the typed words
    for line in experiment.cells:
        own = [opened_mapping(word) for word in (*split(experiment.common), *split(line))]
        last = {_key(word): word for word in own}  # of equal keys the last one holds
        for cell in cells([*last.values()]):
            kept = [word for word in cell if _key(word) not in keys]
            rows[_row(cell)] = _row(kept)
            replaced |= {_key(word) for word in cell} & keys
            found += [[*kept, *one, f"experiment={name}"] for one in typed]
    if len(set(rows.values())) < len(rows):
        said = " ".join(word for word in words if _key(word) in replaced)
        raise Refusal(f"{said} makes rows of experiment={name} equal that differ in just that; leave it out")
    return found


def _row(words: Sequence[str]) -> frozenset[str]:
    """Those of a cell's words that make it another row."""
    return frozenset(word for word in words if not _key(word).startswith(NEUTRAL))


def split(line: str) -> list[str]:
    """An override line's words; quotes and brackets keep blanks together; quotes stay for Hydra, but around lists."""
    words = re.findall(r"(?:[^\s'\"\[]|'[^']*'|\"[^\"]*\"|\[[^\]]*\])+", line)
    return [re.sub(r"=(['\"])(\[.*\])\1$", r"=\2", word) for word in words]


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
