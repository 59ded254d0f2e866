"""Experiments by name: where they are found, and the cells that one asks for."""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from zz.cli import extensions
from zz.cli.compose import cells
from zz.cli.conf import Refusal, near, opened_mapping
from zz.experiments.stand_ins import stand_ins
from zz.lab.experiment import Experiment
from zz.lab.scales import SCALES, scaled

PAPER = "paper"  # stands for every experiment of the paper
NEUTRAL = (
    *("limit", "runner.", "store", "allow_partial", "controls", "scorers", "measurements", "logger", "name"),
    *("label", "scale", "only", "made"),
)


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
        raise Refusal(f"experiment={name} is not known{near(name, [*modules, PAPER])}; known are {', '.join(modules)}")
    try:
        found = import_module(modules[name]).EXPERIMENT
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("matplotlib", "pandas"):
            raise
        raise Refusal(f"experiment={name} needs {error.name}: pip install 'zz[analysis]'") from error
    if not isinstance(found, Experiment):
        raise Refusal(f"experiment={name}: EXPERIMENT in {modules[name]} is no zz.lab.experiment.Experiment")
    return found


def stands_for(name: str) -> list[str]:
    """The experiments that a name stands for: itself, or every one that can be made at several scales."""
    return [one for one in known() if find(one).scales] if name == PAPER else [name]


def at(name: str, words: Sequence[str]) -> tuple[Experiment, list[str]]:
    """An experiment at the scale that the words say, and the words; the paper's scale is said where it has several.

    Raises Refusal on a scale that is not known, or where the experiment has one only.
    """
    experiment = find(name)
    said = [word.partition("=")[2] for word in words if _key(word) == "scale"]
    others = [word for word in words if _key(word) != "scale"]
    scale = said[-1] if said and said[-1] != "null" else None
    if experiment.scales is None:
        if scale:
            raise Refusal(f"scale={scale}: experiment={name} has one scale only; leave it out")
        return experiment, others
    scale = scale or "paper"
    if scale not in SCALES:
        raise Refusal(f"scale={scale} is not known{near(scale, SCALES)}; known are {', '.join(SCALES)}")
    return scaled(experiment, scale, stand_ins(), split), [*others, f"scale={scale}"]


def named(experiment: str, scale: str | None) -> str:
    """What the manifest of an experiment is called."""
    return experiment if scale in (None, "paper") else f"{experiment}-{scale}"


def by_name(words: Sequence[str]) -> list[str]:
    """Words with the names of manifests in place of experiment= and scale=, for what reads a store."""
    asked = [word.partition("=")[2] for word in words if _key(word) == "experiment"][-1]
    scales = [word for word in words if _key(word) == "scale"]
    found = []
    for one in (one for some in asked.split(",") for one in stands_for(some)):
        scale = [word for word in at(one, scales)[1] if word.startswith("scale=")]
        found.append(named(one, scale[0].partition("=")[2] if scale else None))
    others = [word for word in words if _key(word) not in ("experiment", "scale")]
    return [*others, f"name={found[0]}" if len(found) == 1 else f"name=[{','.join(found)}]"]


def cells_of(name: str, words: Sequence[str], sweep: bool = True) -> list[list[str]]:
    """The words of each cell of an experiment; words typed beside its name apply to every cell and win.

    Cells without the words of `only=` are listed and not made.

    sweep: a typed sweep makes a cell of each of its values, of every cell; otherwise it is left as it is typed

    Raises Refusal where a typed word makes two of its cells equal, or where no cell has the words of `only=`.
    """
    experiment, words = at(name, words)
    opened = [opened_mapping(word) for word in words]
    typed = cells(opened) if sweep else [opened]
    keys = {_key(word) for word in words}
    only, theirs = _only(words), set[str]()
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
            theirs |= {word for word in cell if _key(word) != "label"}
            made = [] if only <= {*cell} else ["made=false"]
            found += [[*kept, *one, *made, f"experiment={name}"] for one in typed]
    if len(set(rows.values())) < len(rows):
        said = " ".join(word for word in words if _key(word) in replaced)
        raise Refusal(f"{said} makes rows of experiment={name} equal that differ in just that; leave it out")
    if found and all("made=false" in cell for cell in found):
        lacking = ",".join(sorted(only - theirs)) or "all of it at once"
        raise Refusal(
            f"only=[{','.join(sorted(only))}]: no cell of experiment={name} has {lacking}; their words are "
            f"{' '.join(sorted(theirs))}"
        )
    return found


def _only(words: Sequence[str]) -> set[str]:
    """The words that cells must have to be made."""
    said = [word.partition("=")[2] for word in words if _key(word) == "only"]
    return {word.strip(" \"'") for word in said[-1].strip("[]").split(",")} - {"", "null"} if said else set()


def empty(name: str, words: Sequence[str]) -> list[str]:
    """The words of an experiment without cells: a study, one that draws only, or without a stand-in at its scale."""
    experiment, words = at(name, words)
    typed = {_key(word) for word in words}
    own = [word for word in split(experiment.common) if _key(word) not in typed] if experiment.study else []
    return [*map(opened_mapping, own), *words, f"experiment={name}"]


def makes_nothing(name: str, scale: str | None) -> bool:
    """Whether an experiment has no cells at a scale."""
    return not at(name, [f"scale={scale}"] if scale else [])[0].cells


def _row(words: Sequence[str]) -> frozenset[str]:
    """Those of a cell's words that make it another row."""
    return frozenset(word for word in words if not _key(word).startswith(NEUTRAL))


def split(line: str) -> list[str]:
    """An override line's words; quotes and brackets keep blanks together; quotes stay for Hydra, but around lists."""
    words = re.findall(r"(?:[^\s'\"\[]|'[^']*'|\"[^\"]*\"|\[[^\]]*\])+", line)
    return [re.sub(r"=(['\"])(\[.*\])\1$", r"=\2", word) for word in words]


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
