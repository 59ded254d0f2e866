"""What the paper's tables have in common: methods, metrics, prompt sets, and how a table becomes an experiment."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from zz.analysis.paper import figures, pictures, table
from zz.analysis.paper.spec import Claim, Column, Line, Spec
from zz.experiments.stand_ins import stand_ins
from zz.lab.experiment import Experiment, Scales

STANDARD = Line("Standard", "sampler=standard")
RESAMPLING = (  # as it is written, and with as many predictions as zigzag
    Line("Resampling", "sampler=resampling sampler.resamples=1"),
    Line("Resampling, twice a step", "sampler=resampling sampler.resamples=2"),
)
ZIGZAG = (  # by the paper's Eq. 4, and as the authors' code runs
    Line("Z-Sampling", "sampler=zigzag controls=true"),
    Line("Z-Sampling, ref_0_22", "sampler=zigzag inversion=ref_0_22"),
)
MODELS = {
    "SD-2.1": "model=sd21",
    "SDXL": "model=sdxl",
    "DreamShaper-xl-v2-turbo": "model=dreamshaper",
    "Hunyuan-DiT": "model=hunyuan_dit_12",
}
PREFERENCE = (
    Column("HPS v2", "hps_v21"),
    Column("AES", "aesthetic"),
    Column("PickScore", "pickscore"),
    Column("IR", "image_reward", times=100),
)
WINS = tuple(replace(column, quantity="wins", times=1) for column in PREFERENCE)  # winning rates in each
GENEVAL = (
    *(
        Column(head, "geneval", times=100, tag=tag)
        for head, tag in (
            ("Single object", "single_object"),
            ("Two object", "two_object"),
            ("Counting", "counting"),
            ("Colors", "colors"),
            ("Position", "position"),
            ("Color attribution", "color_attr"),
        )
    ),
    Column("Overall", "geneval", times=100, quantity="overall"),
)
OTHER_STEPS = ("gamma1 and lambda where the steps are not those of Section 4.1; here the model's own and T - 1",)
PICKAPIC = {"": "pickapic"}
OURS = "prompts, but for a few words that it quotes; these are ours, with its words where there are any"
BOTH = {"Pick-a-Pic": "pickapic", "DrawBench": "drawbench"}


def headed(heads: Mapping[str, str], lines: Iterable[Line]) -> tuple[Line, ...]:
    """Each line under each head: its label after it, its words after those of the head."""
    some = tuple(lines)
    return tuple(Line(f"{head} | {one.label}", f"{words} {one.words}") for head, words in heads.items() for one in some)


def inline(prompts: Iterable[str]) -> str:
    """Prompts as an option of a table's prompt sets."""
    return f"inline dataset.texts='[{','.join(prompts)}]'"


def scorers(columns: Iterable[Column]) -> str:
    """The word that asks for the columns' metrics."""
    return f"scorers=[{','.join(dict.fromkeys(c.scorer for c in columns if c.quantity != 'measured'))}]"


def experiment(spec: Spec, common: str, cost: str, scales: Scales) -> Experiment:
    """A table as an experiment."""
    return Experiment(
        claim=spec.claim,
        common=f"{common} {scorers(spec.columns)}",
        cells=spec.cells(),
        cost=cost,
        view=partial(_view, spec=spec),
        scales=scales,
    )


def _view(results: Any, spec: Spec) -> Any:
    return table.view(results, spec, stand_ins())


def beside_controls(rows: tuple[str, ...]) -> tuple[figures.Curve, ...]:
    """The curves of a sweep of zigzag: its rows by label, and two of their controls."""
    return (
        figures.Curve("zigzag", "Z-Sampling", rows),
        figures.Curve("guidance_matched", "guidance-matched", rows, "guidance_matched"),
        figures.Curve("compute_matched", "standard at equal predictions", rows, "compute_matched_predictions"),
    )


def winning(title: str, unknown: tuple[str, ...] = ()) -> Spec:
    """A figure of winning rates over standard sampling on Pick-a-Pic."""
    return Spec(
        title=title,
        claim="Z-Sampling wins more than half of the pairs in every score.",
        rows=(STANDARD, *ZIGZAG),
        columns=WINS,
        sets=PICKAPIC,
        claims=(Claim("Z-Sampling", "Standard"),),
        against={line.label: STANDARD.label for line in ZIGZAG},
        unknown=unknown,
    )


def bars(spec: Spec, common: str, cost: str, scales: Scales) -> Experiment:
    """Winning rates of zigzag over standard sampling as an experiment."""
    return drawn(spec, common, cost, scales, partial(figures.winning_bars, spec=spec, ours="Z-Sampling"))


def grid(spec: Spec, common: str, scales: Scales) -> Experiment:
    """Pictures of the same prompts and seeds as an experiment."""
    cost = f"{len(spec.rows)} cells of six pictures or fewer"
    return drawn(spec, common, cost, scales, partial(pictures.view, spec=spec))


def drawn(spec: Spec, common: str, cost: str, scales: Scales, view: Callable[..., Any]) -> Experiment:
    """A figure as an experiment; `view` takes the results, and the map of stand-ins by its name."""
    found = experiment(spec, common, cost, scales)
    return replace(found, view=lambda results: view(results, stand_ins=stand_ins()))
