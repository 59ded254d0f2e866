"""The zoo's page: on which architectures, at which T, zigzag is more than guidance, and worth its evaluations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zz.analysis.decompose import Parts, parts
from zz.analysis.paper.claims import Judged, Order, judged, order
from zz.analysis.paper.spec import Column
from zz.analysis.plots import forest
from zz.analysis.precision import precisions
from zz.lab.results import Results
from zz.lab.stats import Interval
from zz.lab.store.manifest import Row
from zz.lab.view import CONTRADICTED, HOLDS, NOT_RUN, UNDECIDED, Figure, Table, Value, Verdict, View

CLAIM = "Zigzag improves every class of model that the paper names, by more than its guidance and its work do."
ACCURACY = Column("accuracy", "shapes_correct", times=100)
ALIGNMENT = Column("alignment", "shapes_alignment", times=100)
HALF = "zigzag, half"  # at half of gamma1, so that it amounts to gamma1
QUESTIONS = {  # -> whose they are, the control that answers them, in words
    "gain": ("zigzag", "standard", "more than standard sampling"),
    "rest": ("zigzag", "guidance_matched", "more than the guidance that it amounts to"),
    "effective": ("zigzag", "e_cfg", "more than its effective guidance, measured, with as many predictions"),
    "predictions": ("zigzag", "compute_matched_predictions", "more than as many predictions"),
    "evaluations": ("zigzag", "compute_matched_evals", "worth its evaluations"),
    "best": (HALF, "standard", "at half the guidance, more than standard sampling at its best"),
    "best, evaluations": (HALF, "compute_matched_evals", "at half the guidance, worth its evaluations at that best"),
}
SHORT = {HOLDS: "yes", CONTRADICTED: "no, less", UNDECIDED: "undecided"}


class Subject(NamedTuple):
    """One model of the zoo.

    kind:     its class in words
    T:        its own
    gamma1:   that it recommends
    accuracy: what says right or wrong
    soft:     what says how nearly
    """

    kind: str
    T: int
    gamma1: float
    accuracy: Column = ACCURACY
    soft: Column = ALIGNMENT


@dataclass(frozen=True)
class Place:
    """One model at one T.

    own:    whether T is the model's own, with all prompts
    others: rows of other methods at the same gamma1, by name
    """

    model: str
    subject: Subject
    T: int
    own: bool
    zigzag: Row
    controls: Mapping[str, Row]
    others: Mapping[str, Row]

    @property
    def name(self) -> str:
        return f"{self.model}, T = {self.T}"

    @property
    def scorer(self) -> str:
        return self.subject.accuracy.scorer


def view(results: Results, models: Mapping[str, Subject], methods: Sequence[str]) -> View:
    """What the store says.

    methods: what other rows are called, beside zigzag's
    """
    places = [place for name, subject in models.items() for place in _places(results, name, subject, methods)]
    answers = _answers(results, places)
    lacking = [name for name in models if name not in {place.model for place in places}]
    notes = (
        "gamma1 of each model is the best for standard sampling on `shapes_tune`, at its own T (see its card)",
        "accuracy: percent right; differences are paired, in points, with 95 % intervals; p by McNemar's test, "
        "corrected by Holm's method over the models and T of a question",
        "all prompts at a model's own T, 200 at others",
        *precisions(results, {place.model: place.zigzag for place in places}),
    )
    tables = (_made_of(results, places, answers), _against(places, answers), _methods(results, places, methods))
    branches = [
        forest.Branch(f"{place.name}  ({place.subject.kind})", made_of, one.status != UNDECIDED)
        for place in places
        if (made_of := _parts(results, place)) and (one := answers.get((place.name, "rest")))
    ]
    caption = "Accuracy of zigzag over standard sampling, by architecture and T: gain, guidance's part, the rest"
    figures = (Figure("made-of", caption, lambda out: forest.draw(branches, out)),) if branches else ()
    return View("The zoo", sentence(places, answers), tables, _verdicts(places, answers, lacking), figures, notes)


def _answers(results: Results, places: Sequence[Place]) -> dict[tuple[str, str], Judged]:
    """By a place's name and a question."""
    found: dict[tuple[str, str], Judged] = {}
    for question in QUESTIONS:
        orders = {place.name: one for place in places if (one := _order(results, place, question))}
        found |= {(name, question): one for name, one in zip(orders, judged(list(orders.values())), strict=True)}
    return found


def sentence(places: Sequence[Place], answers: Mapping[tuple[str, str], Judged]) -> str:
    """Where zigzag is more than guidance, and where it is worth its evaluations."""
    if not places:
        return f"{CLAIM} (not run)"
    more, worth, best = (_where(places, answers, one) for one in ("rest", "evaluations", "best, evaluations"))
    return (
        f"Zigzag is more than the guidance that it amounts to {more}. It is worth its evaluations at the guidance that "
        f"is best for standard sampling, {worth}; at half of it, which it doubles, {best}."
    )


def _where(places: Sequence[Place], answers: Mapping[tuple[str, str], Judged], question: str) -> str:
    by_status: dict[str, list[str]] = {HOLDS: [], CONTRADICTED: [], UNDECIDED: []}
    for place in places:
        if (place.name, question) in answers:
            by_status[answers[place.name, question].status].append(place.name)
    yes, no, open_ = (by_status[status] for status in (HOLDS, CONTRADICTED, UNDECIDED))
    said = [f"on {_listed(yes)}" if yes else "nowhere", *([f"less on {_listed(no)}"] if no else [])]
    return ", ".join([*said, *([f"undecided on {len(open_)} of {sum(map(len, by_status.values()))}"] if open_ else [])])


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{'; '.join(first)} and {last}" if first else last


def _places(results: Results, model: str, subject: Subject, methods: Sequence[str]) -> Iterator[Place]:
    labels = {label for row in results.manifest.rows for label in row.labels if label.startswith(f"{model} | ")}
    for T in sorted({int(label.split(" | ")[1]) for label in labels}):
        zigzag = results.manifest.labelled(f"{model} | {T} | zigzag")
        if zigzag is None or not results.scored(zigzag, subject.accuracy.scorer):
            continue
        found = {name: results.manifest.labelled(f"{model} | {T} | {name}") for name in methods}
        others = {name: row for name, row in found.items() if row is not None and row is not zigzag}
        yield Place(model, subject, T, subject.T == T, zigzag, dict(results.manifest.controls_of(zigzag)), others)


def _order(results: Results, place: Place, question: str, column: Column | None = None) -> Order | None:
    column = column or place.subject.accuracy
    who, role, words = QUESTIONS[question]
    ours, other = {"zigzag": place.zigzag, **place.others}.get(who), place.controls.get(role)
    if ours is None or other is None:
        return None
    return order(results, words, ours, other, column, column.scorer, column.head, role)


def _parts(results: Results, place: Place) -> Parts | None:
    rows = [place.zigzag, *(place.controls.get(role) for role in ("guidance_matched", "standard"))]
    scores = [results.scores(row, place.scorer) for row in rows if row is not None]
    both = sorted(set.intersection(*map(set, scores))) if len(scores) == 3 else []
    return parts(*(np.array([one[entry] for entry in both]) for one in scores)) if both else None


def _made_of(results: Results, places: Sequence[Place], answers: Mapping[tuple[str, str], Judged]) -> Table:
    """Gain = guidance's part + the rest, each with its interval; p of the gain and the rest."""
    numbers = ("standard, %", "gain", "p", "guidance's part", "the rest", "p", "the soft score's rest")
    head = ("model", "class", "T", "n", *numbers)
    lines = list[tuple[Value, ...]]()
    for place in places:
        found = _parts(results, place)
        gain, rest = (answers.get((place.name, one)) for one in ("gain", "rest"))
        if found is None or gain is None or rest is None:
            continue
        soft = _order(results, place, "rest", place.subject.soft)
        lines.append(
            (
                *(place.model, place.subject.kind, str(place.T), str(rest.order.n)),
                _percent(results.mean(place.controls["standard"], place.scorer)),
                *(gain.order.difference, _p(gain), _percent(found.guidance), rest.order.difference, _p(rest)),
                soft.difference if soft else None,
            )
        )
    return Table("What zigzag's gain is made of", head, tuple(lines))


def _against(places: Sequence[Place], answers: Mapping[tuple[str, str], Judged]) -> Table:
    """Zigzag less each control, and what the corrected test says."""
    asked = [name for name in QUESTIONS if name not in ("gain", "rest")]
    lines = []
    for place in places:
        cells: list[Value] = []
        for question in asked:
            one = answers.get((place.name, question))
            cells += [one.order.difference, SHORT[one.status]] if one else [None, None]
        lines.append((place.model, str(place.T), *cells))
    heads = [f"{'half' if QUESTIONS[one][0] == HALF else 'zigzag'} - {QUESTIONS[one][1]}" for one in asked]
    head = ("model", "T", *(part for one in heads for part in (one.replace("_", " "), "more?")))
    return Table("Zigzag less other controls, points", head, tuple(lines))


def _methods(results: Results, places: Sequence[Place], methods: Sequence[str]) -> Table:
    """Accuracy of each method, with its evaluations a picture."""
    head = ("model", "T", "standard", "zigzag", *methods)
    lines = []
    for place in places:
        rows = [place.controls.get("standard"), place.zigzag, *(place.others.get(name) for name in methods)]
        lines.append((place.model, str(place.T), *(_told(results, row, place.scorer) for row in rows)))
    return Table("Accuracy, %, and network evaluations a picture", head, tuple(lines))


def _told(results: Results, row: Row | None, scorer: str) -> Value:
    if row is None or not results.scored(row, scorer):
        return None
    x = results.mean(row, scorer)
    return f"{100 * x.value:.1f} [{100 * x.low:.1f}, {100 * x.high:.1f}], {row.evals}"


def _verdicts(
    places: Sequence[Place], answers: Mapping[tuple[str, str], Judged], lacking: Sequence[str]
) -> tuple[Verdict, ...]:
    found = []
    for place in places:
        for question, (_, role, words) in QUESTIONS.items():
            if (place.name, question) in answers:
                one = answers[place.name, question]
                d = one.order.difference
                evidence = f"{d.value:+.1f} [{d.low:+.1f}, {d.high:+.1f}] points, n = {one.order.n}, p {_p(one)}"
                found.append(Verdict(f"{place.name}: {words}", one.status, evidence, role != "standard"))
    return (*found, *(Verdict(f"{name}: more than guidance", NOT_RUN) for name in lacking))


def _percent(x: Interval) -> Interval:
    return Interval(*(100 * part for part in x))


def _p(one: Judged) -> str:
    return "< .001" if one.p < 0.001 else f"{one.p:.3f}".lstrip("0") if one.p < 1 else "1"


__all__ = ["CLAIM", "Place", "Subject", "sentence", "view"]
