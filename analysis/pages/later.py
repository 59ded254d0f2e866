"""The page of what came after zigzag: each method at its best scale and equal evaluations, and its own controls."""

from collections.abc import Mapping, Sequence

from zz.analysis.paper.claims import Judged, Order, judged, order
from zz.analysis.paper.spec import Column
from zz.analysis.precision import precisions
from zz.lab.results import Results
from zz.lab.store.manifest import Row
from zz.lab.view import CONTRADICTED, HOLDS, NOT_RUN, UNDECIDED, Table, Value, Verdict, View

CLAIM = (
    "At equal network evaluations Foresight guidance is better than zigzag, and both, with all that came after, than "
    "classifier-free guidance with more steps."
)
ACCURACY = Column("accuracy", "shapes_correct", times=100)
ALIGNMENT = Column("alignment", "shapes_alignment", times=100)
SCORERS = ("shapes_correct", "shapes_strict", "shapes_alignment")
PLAIN, ZIGZAG = "CFG", "zigzag"
ROLES = {
    "standard": "the same steps",
    "guidance_matched": "its guidance",
    "e_cfg": "its effective guidance",
    "compute_matched_predictions": "as many predictions",
    "compute_matched_evals": "as many evaluations",
}
SHORT = {HOLDS: "yes", CONTRADICTED: "no, less", UNDECIDED: "undecided"}
Place = tuple[str, str]  # the setting, which is a model and a budget, and the method


def view(results: Results, settings: Mapping[str, Sequence[str]]) -> View:
    """What the store says.

    settings: of a model at so many network evaluations a picture, the methods that were asked for
    """
    asked = [(where, name) for where, names in settings.items() for name in names]
    rows = {place: row for place in asked if (row := _scored(results, " | ".join(place)))}
    against = {
        other: _judged(results, rows, {place: rows.get((place[0], other)) for place in rows if place[1] != other})
        for other in (PLAIN, ZIGZAG)
    }
    own = {role: _judged(results, rows, _controls(results, rows, role)) for role in ROLES}
    notes = (
        "each method at the scale that is best for it on `shapes_tune` (experiment=later_tuning)",
        "accuracy: percent right; differences are paired, in points, with 95 % intervals; p by McNemar's test, "
        "corrected by Holm's method over the lines of a column",
        *precisions(results, {where: row for (where, _), row in rows.items()}),
    )
    tables = tuple(_equal(results, where, rows, against) for where in settings if any(one == where for one, _ in rows))
    return View(
        "What came after, at equal evaluations",
        _sentence(rows, against),
        (*tables, _against_controls(rows, own)),
        _verdicts(against, asked),
        (),
        notes,
    )


def tuned(results: Results, settings: Mapping[str, Mapping[str, Sequence[str]]]) -> View:
    """The accuracy of each method at each of its scales, the best first.

    settings: as in `view`, with the scales that were tried of each method
    """
    tables, shown = [], dict[str, Row]()
    for where, scales in settings.items():
        lines = []
        for name, tried in scales.items():
            found = {one: row for one in tried if (row := _scored(results, f"{where} | {name} | {one}"))}
            means = {one: results.mean(row, ACCURACY.scorer) for one, row in found.items()}
            soft = {one: results.mean(row, ALIGNMENT.scorer).value for one, row in found.items()}
            by_rank = sorted(means, key=lambda one: (-means[one].value, -soft[one]))
            if by_rank:
                shown[where] = found[by_rank[0]]
                others = ", ".join(f"{one}: {100 * means[one].value:.1f}" for one in by_rank[1:])
                lines.append((name, by_rank[0], f"{100 * means[by_rank[0]].value:.1f}", others))
        if lines:
            head = ("method", "best", "accuracy, %", "others, %")
            tables.append(Table(f"{where} evaluations a picture", head, tuple(lines)))
    said = {f"{row.dataset}, the first {row.wanted} prompts" for row in shown.values()}
    notes = (*(f"on {one}, which no comparison uses" for one in sorted(said)), *precisions(results, shown))
    what = "The scale of each method that is best on prompts apart."
    return View("Scales of what came after", what, tuple(tables), notes=notes)


def _scored(results: Results, label: str) -> Row | None:
    row = results.manifest.labelled(label)
    return row if row is not None and results.scored(row, ACCURACY.scorer) else None


def _controls(results: Results, rows: Mapping[Place, Row], role: str) -> dict[Place, Row | None]:
    return {place: dict(results.manifest.controls_of(row)).get(role) for place, row in rows.items()}


def _judged(results: Results, rows: Mapping[Place, Row], others: Mapping[Place, Row | None]) -> dict[Place, Judged]:
    """Each row less another, corrected over all of them."""
    found = dict[Place, Order]()
    for place, other in others.items():
        if other is None or other.id == rows[place].id:
            continue
        one = order(results, place[1], rows[place], other, ACCURACY, ACCURACY.scorer, ACCURACY.head, "")
        if one is not None:
            found[place] = one
    return dict(zip(found, judged(list(found.values())), strict=True))


def _equal(
    results: Results, where: str, rows: Mapping[Place, Row], against: Mapping[str, Mapping[Place, Judged]]
) -> Table:
    """The methods in one setting, from the most accurate."""
    mine = {name: row for (one, name), row in rows.items() if one == where}
    means = {
        name: [results.mean(row, scorer) for scorer in SCORERS if scorer in (row.scorers or {})]
        for name, row in mine.items()
    }
    lines = []
    for name in sorted(mine, key=lambda one: -means[one][0].value):
        row, ledger = mine[name], results.store.cell(mine[name].cell)[0].ledger
        cells: list[Value] = [f"{100 * x.value:.1f} [{100 * x.low:.1f}, {100 * x.high:.1f}]" for x in means[name]]
        for other in (PLAIN, ZIGZAG):
            one = against[other].get((where, name))
            cells += [one.order.difference, SHORT[one.status]] if one else [None, None]
        scale = f"{ledger['sampler'].get('gamma1', 0):g}"
        lines.append((name, str(ledger["steps"]), scale, str(row.predictions), str(row.evals), *cells))
    scores = ("accuracy, %", "strict, %", "alignment, %")[: len(next(iter(means.values())))]
    head = ("method", "T", "gamma1", "predictions", "evaluations", *scores, "less CFG", "more?", "less zigzag", "more?")
    return Table(f"{where} evaluations a picture, at most", head, tuple(lines))


def _against_controls(rows: Mapping[Place, Row], own: Mapping[str, Mapping[Place, Judged]]) -> Table:
    """Each method less standard sampling that is its control, at its own scale."""
    lines = []
    for place in rows:
        cells: list[Value] = []
        for role in ROLES:
            one = own[role].get(place)
            cells += [one.order.difference, SHORT[one.status]] if one else [None, None]
        if any(cell is not None for cell in cells):
            lines.append((place[1], place[0], *cells))
    head = ("method", "of", *(part for words in ROLES.values() for part in (f"less {words}", "more?")))
    return Table("Less its controls, points", head, tuple(lines))


def _sentence(rows: Mapping[Place, Row], against: Mapping[str, Mapping[Place, Judged]]) -> str:
    if not rows:
        return f"{CLAIM} (not run)"
    said = []
    for other, words in ((PLAIN, "classifier-free guidance with more steps"), (ZIGZAG, "zigzag")):
        by_status: dict[str, list[str]] = {HOLDS: [], CONTRADICTED: [], UNDECIDED: []}
        for (where, name), one in against[other].items():
            by_status[one.status].append(f"{name} ({where})")
        more, less = (", ".join(by_status[status]) or "nothing" for status in (HOLDS, CONTRADICTED))
        said.append(f"Better than {words} for as many evaluations: {more}; worse: {less}; the others are undecided.")
    return " ".join(said)


def _verdicts(against: Mapping[str, Mapping[Place, Judged]], asked: Sequence[Place]) -> tuple[Verdict, ...]:
    found = []
    for other in (PLAIN, ZIGZAG):
        for where, name in asked:
            if name == other or (other == ZIGZAG and not name.startswith("FSG")):
                continue
            claim = f"{where} evaluations: {name} more than {other}"
            if (one := against[other].get((where, name))) is None:
                found.append(Verdict(claim, NOT_RUN))
                continue
            d = one.order.difference
            evidence = f"{d.value:+.1f} [{d.low:+.1f}, {d.high:+.1f}] points, n = {one.order.n}, p {one.p:.3f}"
            found.append(Verdict(claim, one.status, evidence, True))
    return tuple(found)


__all__ = ["CLAIM", "tuned", "view"]
