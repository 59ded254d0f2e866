"""An experiment is data: cells as override lines, what their table shows, and the claim that they test."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from zz.lab.results import Results  # loads scipy, and a list of cells needs none
    from zz.lab.store.store import Store
    from zz.lab.view import View
    from zz.models.base import Model
    from zz.scorers.base import Metric


@dataclass(frozen=True)
class Layout:
    """How the rows of an experiment are shown.

    scores: the metrics of the table, in order; empty: all that the rows have
    by:     a field of the prompts' meta, such as category: a column for each of its values
    """

    scores: tuple[str, ...] = ()
    by: str | None = None

    def to_json(self) -> Mapping[str, Any]:
        """As a manifest keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class Scales:
    """What an experiment of the paper is at another scale than the paper's, beside its stand-ins.

    prompts: how many are taken of a prompt set in miniature
    dataset: the words of its own prompts in miniature, where the paper's are written down: "dataset=shapes limit=6"
    mini:    values in miniature, by key or by key and value: {"k": "1", "gamma1=3.5": "2"}
    smoke:   likewise, in a test
    """

    prompts: int = 60
    dataset: str | None = None
    mini: Mapping[str, str] = field(default_factory=dict)
    smoke: Mapping[str, str] = field(default_factory=dict)


class Study(NamedTuple):
    """What a study is given.

    pictures: files that the user names
    name:     what it keeps is called so in the store's sets
    """

    store: "Store"
    model: "Model"
    metrics: Mapping[str, "Metric"]
    steps: int
    size: tuple[int, int]
    limit: int | None
    pictures: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Experiment:
    """One experiment, found by its file's name as `experiment=NAME`.

    claim:  what is tested, in a sentence
    cells:  override lines, as on the command line: "sampler=standard,zigzag gamma1=2,4 steps=20" is four cells
    common: words of every line, before its own
    cost:   what it takes, roughly
    layout: how it is shown
    given:  pictures that the user must name at the paper's scale, by what they show
    study:  makes what is no grid of pictures of prompts, with the model and scorers of `common`, and keeps it
    page:   writes pictures and CSV beside a path, and returns the text of its page
    view:   what it shows of a store, instead of a page
    scales: where it can be made at several, what each makes of it
    """

    claim: str
    cells: tuple[str, ...]
    common: str = ""
    cost: str = ""
    layout: Layout = field(default_factory=Layout)
    given: tuple[str, ...] = ()
    study: Callable[["Study"], None] | None = None
    page: Callable[["Results", Path], str] | None = None
    view: Callable[["Results"], "View"] | None = None
    scales: Scales | None = None
