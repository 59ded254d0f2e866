"""The page of the methods comparison: every sampler and guidance beside standard sampling for the same work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from zz.analysis import pairs
from zz.analysis.cells import MethodCell, cells
from zz.analysis.decompose import Decomposition, decompositions
from zz.analysis.measures import SOFT, Measurer, Measures
from zz.analysis.plots import forest, pareto
from zz.analysis.render.markdown import head, line, percent, plus_minus, points, signed
from zz.lab.results import Results
from zz.lab.stats import ALPHA, Interval, Winning, holm, student


@dataclass(frozen=True)
class Against:
    """A method beside one that it is compared with."""

    other: MethodCell
    by_score: Mapping[str, Winning]
    p: float  # that accuracy is the same, by Student's test


@dataclass(frozen=True)
class Measured:
    """One method, measured.

    standard:  against standard sampling at the same gamma1 and T
    without:   a zigzag on another guidance, solver or sampler, against that alone
    as_costly: against standard sampling for as many network evaluations or more
    """

    cell: MethodCell
    measures: Measures
    standard: Against | None
    without: Against | None
    as_costly: Against | None


RIVALS = ("standard", "without", "as_costly")
HEAD = ("", "T", "gamma1", "gamma2", "predictions", "evaluations")


def measured(found: Sequence[MethodCell], measurer: Measurer, entries: Sequence[int]) -> list[Measured]:
    """Every method on some entries, by T and from the most accurate."""
    measures = {cell.row.id: measurer.measure(cell, entries) for cell in found}

    def correct(cell: MethodCell) -> float:
        return measures[cell.row.id].correct.value

    def against(cell: MethodCell, other: MethodCell | None) -> Against | None:
        if other is None:
            return None
        ours, theirs = (measurer.results.scores(one.row, "shapes_correct") for one in (cell, other))
        p = student(np.array([ours[e] - theirs[e] for e in entries]))
        return Against(other, measurer.compare(cell, other, entries), p)

    lines = []
    for cell in sorted(found, key=lambda cell: (cell.steps, -correct(cell), cell.row.evals)):
        best = max(pairs.as_costly(cell, found), key=correct, default=None)
        rivals = (pairs.standard(cell, found), pairs.without(cell, found), best)
        lines.append(Measured(cell, measures[cell.row.id], *(against(cell, other) for other in rivals)))
    return lines


def _label(cell: MethodCell) -> list[str]:
    gamma2 = "" if cell.gamma2 is None else f"{cell.gamma2:g}"
    return [cell.name, f"{cell.steps}", f"{cell.gamma1:g}", gamma2, f"{cell.row.predictions}", f"{cell.row.evals}"]


def scores(found: Sequence[Measured]) -> Iterator[str]:
    """Markdown: what each scores."""
    yield head((*HEAD, "accuracy %", "strict %", "alignment", "similarity", "clean", "FD", "diversity"))
    for one in found:
        x = one.measures
        soft = [plus_minus(x.soft[name], digits) for name, digits in zip(SOFT, (3, 1, 3), strict=True)]
        exact = [percent(x.correct), percent(x.strict)]
        yield line([*_label(one.cell), *exact, *soft, plus_minus(x.fd, 2), plus_minus(x.diversity, 2)])


def comparisons(found: Sequence[Measured]) -> Iterator[str]:
    """Markdown: each against what it is compared with, marked where that is not chance."""
    p = {(id(one), name): x.p for one in found for name in RIVALS if (x := getattr(one, name))}
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    yield (
        f"Of {len(p)} differences in accuracy {sum(x < ALPHA for x in p.values())} have an interval without zero "
        f"(\\*), where chance alone would give {ALPHA * len(p):.0f}; after Holm's correction over all of them remain "
        f"{sum(x < ALPHA for x in corrected.values())} (\\*\\*).\n"
    )
    names = ("standard, same gamma1 and T", "wins %", "without its zigzag", "wins %", "standard for the work")
    yield head((*HEAD, *names, "points", "wins %"))

    def shown(one: Measured, name: str) -> list[str]:
        x: Against | None = getattr(one, name)
        if x is None:
            return ["", ""]
        where = id(one), name
        mark = " \\*\\*" if corrected[where] < ALPHA else " \\*" if p[where] < ALPHA else ""
        return [points(x.by_score["shapes_correct"].difference) + mark, percent(x.by_score["shapes_alignment"].rate)]

    for one in found:
        if any(getattr(one, name) for name in RIVALS):
            work = one.as_costly.other if one.as_costly else None
            said = "" if pairs.by_steps(one.cell) else "none made"
            if work:
                said = f"{work.name}, T={work.steps}, gamma1={work.gamma1:g}, {work.row.evals} evaluations"
            columns = [*shown(one, "standard"), *shown(one, "without"), said]
            yield line([*_label(one.cell), *columns, *shown(one, "as_costly")])


def made_of(found: Sequence[Decomposition]) -> Iterator[str]:
    """Markdown: a part for each score, marked where the rest is not chance."""
    m = len(found)

    def soft(x: Interval) -> str:
        return signed(x, 3)

    titles = ("Accuracy, points", "Alignment, soft score")
    for score, title, shown in zip(("shapes_correct", "shapes_alignment"), titles, (points, soft), strict=True):
        p = [one.parts[score].p for one in found]
        corrected = holm(p)
        below, kept = sum(x < ALPHA for x in p), sum(x < ALPHA for x in corrected)
        yield f"\n### {title}\n"
        yield (
            f"Of {m} rests {below} have an interval without zero (\\*), where chance alone would give "
            f"{ALPHA * m:.1f}; after Holm's correction over the {m} remain {kept} (\\*\\*).\n"
        )
        names = ("gain", "by guidance", "the rest", "p of the rest", "proportion %")
        yield head(("", "T", "gamma1", "gamma2", "prompts", *names))
        for one, holms in zip(found, corrected, strict=True):
            x = one.parts[score]
            mark = " \\*\\*" if holms < ALPHA else " \\*" if x.p < ALPHA else ""
            label = [one.cell.name, f"{one.cell.steps}", f"{one.cell.gamma1:g}", f"{one.cell.gamma2:g}", f"{one.n}"]
            parts = [shown(x.gain), shown(x.guidance), shown(x.rest) + mark, f"{x.p:.2g}"]
            yield line([*label, *parts, percent(x.proportion) if x.proportion else "-"])


def record(one: Measured) -> dict[str, Any]:
    """A line of the CSV."""
    cell = one.cell
    found: dict[str, Any] = {"T": cell.steps, "gamma1": cell.gamma1, "gamma2": cell.gamma2, "method": cell.name}
    found |= {"key": cell.row.cell, "predictions": cell.row.predictions, "evals": cell.row.evals}
    found |= {"n": one.measures.n} | one.measures.record()
    for name in RIVALS:
        x: Against | None = getattr(one, name)
        found |= {f"{name}_key": x and x.other.row.cell, f"{name}_evals": x and x.other.row.evals}
        for score in ("shapes_correct", "shapes_alignment"):
            for part in ("difference", "rate"):
                ends = getattr(x.by_score[score], part) if x else (None, None, None)
                title = f"{name}_{score}_{part}"
                found |= dict(zip((title, f"{title}_low", f"{title}_high"), ends, strict=True))
        found[f"{name}_p"] = x and x.p
    return found


TEXT = """# Every method on the shapes model

On the first {n} prompts of `shapes`, {precision}; {cells} cells, by T and from the most accurate. Intervals are of
95 %. Accuracy is GenEval's rule (Wilson's interval), `strict` allows no object that was not asked for; alignment is the
soft score. FD is the Fréchet distance to rendered truth (lower is better; by the jackknife), from {n} pictures, and so
higher than from more.

## What each scores
"""

AGAINST = """
## Each against standard sampling

Paired over prompts: accuracy in points, and how often alignment wins (a tie is one half). `standard, same gamma1 and
T`: with DDIM. `without its zigzag`: the same guidance, solver or sampler alone. `standard for the work`: of standard
sampling with DDIM and with Euler ancestral, at gamma1 = 4 and 2, the cheapest that takes as many network evaluations or
more; of these the most accurate on these prompts, which favours it.
"""

ON_ALL = """
## On all {n} prompts

The same for what was made on all of them: the controls, and the best of the above.
"""

HELD_OUT = """
### On the other {n}

Which methods are the best was chosen on the first prompts; these are held out.
"""

MADE_OF = """
## What zigzag is made of

On all prompts that the three have. Gain: less standard sampling with the same solver at the same gamma1. By guidance:
standard sampling at the guidance that the zigzag amounts to (`guidance_matched`), less standard. The rest: zigzag less
that. Without a gap (gamma2 = gamma1) that control is standard sampling itself. Proportion: guidance's part of the gain,
by the jackknife, only where the gain's interval leaves zero out; outside 0..100 the rest and the gain, or the two
parts, are opposed. p is Student's.
"""


def page(results: Results, out: Path) -> str:
    """Write OUT.md, OUT.csv, OUT.png and OUT_made_of.png; return the text. Raises ValueError where nothing is whole."""
    measurer, everything = Measurer(results), cells(results)
    first = range(min(cell.row.wanted for cell in everything))
    everyone = range(max(cell.row.wanted for cell in everything))
    held_out = everyone[len(first) :]
    scored = {cell.row.id: measurer.scored(cell) for cell in everything}
    found = [cell for cell in everything if scored[cell.row.id] >= set(first)]
    if not any(cell.usual and cell.kind == "Standard" for cell in found):
        raise ValueError(f"{results.store.root} holds no standard sampling with every score; run the experiment first")
    on_first = measured(found, measurer, first)
    whole = [cell for cell in found if scored[cell.row.id] >= set(everyone)] if held_out else []
    on_all, on_held_out = (measured(whole, measurer, some) for some in (everyone, held_out))
    decomposed = decompositions(found, results, len(first))
    precision = str(found[0].ledger["precision"])
    text = [TEXT.format(n=len(first), precision=precision, cells=len(found)), *scores(on_first)]
    text += [AGAINST, *comparisons(on_first)]
    if on_all:
        text += [ON_ALL.format(n=len(everyone)), *scores(on_all), "", *comparisons(on_all)]
        text += [HELD_OUT.format(n=len(held_out)), *comparisons(on_held_out)]
    text += [MADE_OF, *made_of(decomposed)]
    if lacking := [cell for cell in everything if cell not in found]:
        text += ["\n## Not made yet, and left out above\n"]
        for cell in lacking:
            have = f"{len(scored[cell.row.id] & set(first))} of {len(first)} made and scored"
            text.append(f"- {cell.name}, T = {cell.steps}, gamma1 = {cell.gamma1:g}: {have}")
    out.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame([record(one) for one in (*on_first, *on_all, *on_held_out)]).to_csv(
        out.with_suffix(".csv"), index=False
    )
    pareto.draw([(one.cell, one.measures) for one in on_first], out.with_suffix(".png"))
    forest.draw(_branches(decomposed), out.with_name(f"{out.stem}_made_of.png"))
    return "\n".join(text) + "\n"


def _branches(found: Sequence[Decomposition], score: str = "shapes_correct", most: int = 16) -> list[forest.Branch]:
    """Zigzags with their fields as they are by default, by T and gamma1; the rest is in the table."""
    corrected = holm([one.parts[score].p for one in found])
    return [
        forest.Branch(
            f"{one.cell.name}, T = {one.cell.steps}, gamma1 = {one.cell.gamma1:g}", one.parts[score], p < ALPHA
        )
        for one, p in zip(found, corrected, strict=True)
        if one.cell.kind == "Zigzag" and one.cell.by_default
    ][:most]
