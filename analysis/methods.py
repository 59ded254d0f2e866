"""Every sampler and guidance on a shapes model, alone and with zigzag, beside standard sampling for the same work.

    python -m analysis.methods --store STORE --out docs/methods

Claim: zigzag composes with what others have found, and its gain is its guidance gap (tested here).
Cost:  some minutes on a CPU core; every picture is looked at once more, for Fréchet distance and diversity.

Reads the store only, which `python -m experiments.shapes.methods` fills; writes OUT.csv, one row a cell, OUT.md, the
same as tables with what zigzag is made of, OUT.png, scores against work, and OUT_made_of.png. What a cell lacks is
said. All is on the same first prompts, and paired over them; then comes what was made on all prompts, in the same way.
What zigzag is made of takes all that are there.
Measures are those of `analysis.compare`.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis import forest
from analysis.ingredients import FALSE, ingredients, table
from analysis.judge import SOFT, Judge, Measures, scorers
from analysis.pareto import draw
from analysis.tables import head, percent, plain, points, row
from analysis.ways import Way, ways
from zz.data.shapes_prompts import Shapes
from zz.lab.stats import Winning, holm, student
from zz.lab.store import Store
from zz.scorers.clip import ClipFeatures

FIRST, ALL = 200, len(Shapes().prompts)


@dataclass(frozen=True)
class Against:
    """A cell beside one that it is compared with."""

    other: Way
    by_score: Mapping[str, Winning]
    p: float  # that accuracy is the same, by Student's test


@dataclass(frozen=True)
class Line:
    """One cell, measured.

    standard: beside standard sampling at the same gamma1 and T
    without:  a zigzag on another guidance, solver or sampler, beside that alone
    as_costly: beside standard sampling for as many network rows or more
    """

    way: Way
    measures: Measures
    standard: Against | None
    without: Against | None
    as_costly: Against | None


RIVALS = ("standard", "without", "as_costly")


def lines(found: Sequence[Way], judge: Judge, indices: Sequence[int]) -> Iterator[Line]:
    """Every cell, by T and from the most accurate."""
    measured = {way.row.cell.key: judge.measure(way.row, indices) for way in found}

    def correct(way: Way) -> float:
        return measured[way.row.cell.key].correct.value

    def against(way: Way, other: Way | None) -> Against | None:
        if other is None:
            return None
        ours, theirs = (judge.scores(one.row, "shapes_correct") for one in (way, other))
        p = student(np.array([ours[i] - theirs[i] for i in indices]))
        return Against(other, judge.compare(way.row, other.row, indices), p)

    for way in sorted(found, key=lambda way: (way.steps, -correct(way), way.row.rows)):
        best = max(way.as_costly(found), key=correct, default=None)
        rivals = (way.same_standard(found), way.without(found), best)
        yield Line(way, measured[way.row.cell.key], *(against(way, other) for other in rivals))


HEAD = ("", "T", "gamma1", "gamma2", "predictions", "rows")


def _place(way: Way) -> list[str]:
    gamma2 = "" if way.gamma2 is None else f"{way.gamma2:g}"
    return [way.name, f"{way.steps}", f"{way.gamma1:g}", gamma2, f"{way.row.predictions}", f"{way.row.rows}"]


def scores(found: Sequence[Line]) -> Iterator[str]:
    """Markdown: what each scores."""
    yield head((*HEAD, "accuracy %", "strict %", "alignment", "similarity", "clean", "FD", "diversity"))
    for line in found:
        x = line.measures
        soft = [plain(x.soft[name], digits) for name, digits in zip(SOFT, (3, 1, 3), strict=True)]
        exact = [percent(x.correct), percent(x.strict)]
        yield row([*_place(line.way), *exact, *soft, plain(x.fd, 2), plain(x.diversity, 2)])


def comparisons(found: Sequence[Line]) -> Iterator[str]:
    """Markdown: each against what it is compared with, marked where that is not chance."""
    p = {(id(line), name): x.p for line in found for name in RIVALS if (x := getattr(line, name))}
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    yield (
        f"Of {len(p)} differences in accuracy {sum(x < FALSE for x in p.values())} have an interval without zero "
        f"(\\*), where chance alone would give {FALSE * len(p):.0f}; after Holm's correction over all of them remain "
        f"{sum(x < FALSE for x in corrected.values())} (\\*\\*).\n"
    )
    names = ("standard, same gamma1 and T", "wins %", "without its zigzag", "wins %", "standard for the work")
    yield head((*HEAD, *names, "points", "wins %"))

    def shown(line: Line, name: str) -> list[str]:
        x: Against | None = getattr(line, name)
        if x is None:
            return ["", ""]
        place = id(line), name
        mark = " \\*\\*" if corrected[place] < FALSE else " \\*" if p[place] < FALSE else ""
        return [points(x.by_score["shapes_correct"].difference) + mark, percent(x.by_score["shapes_alignment"].rate)]

    for line in found:
        if any(getattr(line, name) for name in RIVALS):
            work = line.as_costly.other if line.as_costly else None
            said = "" if line.way.by_steps else "none made"
            if work:
                said = f"{work.name}, T={work.steps}, gamma1={work.gamma1:g}, {work.row.rows} rows"
            cells = [*shown(line, "standard"), *shown(line, "without"), said]
            yield row([*_place(line.way), *cells, *shown(line, "as_costly")])


def record(line: Line) -> dict[str, Any]:
    """A line of the CSV."""
    way = line.way
    found: dict[str, Any] = {"T": way.steps, "gamma1": way.gamma1, "gamma2": way.gamma2, "method": way.name}
    found |= {"key": way.row.cell.key, "predictions": way.row.predictions, "rows": way.row.rows}
    found |= {"n": line.measures.n} | line.measures.record()
    for name in RIVALS:
        x: Against | None = getattr(line, name)
        found |= {f"{name}_key": x and x.other.row.cell.key, f"{name}_rows": x and x.other.row.rows}
        for score in ("shapes_correct", "shapes_alignment"):
            for part in ("difference", "rate"):
                ends = getattr(x.by_score[score], part) if x else (None, None, None)
                title = f"{name}_{score}_{part}"
                found |= dict(zip((title, f"{title}_low", f"{title}_high"), ends, strict=True))
        found[f"{name}_p"] = x and x.p
    return found


TEXT = """# Every method on the shapes model

Made by `python -m experiments.shapes.methods` and `python -m analysis.methods`, on the first {n} prompts of `shapes`,
{precision}; {cells} cells, by T and from the most accurate. Intervals are of 95 %. Accuracy is GenEval's rule (Wilson's
interval), `strict` allows no object that was not asked for; alignment is the soft score. FD is the Fréchet distance to
rendered truth (lower is better; by the jackknife), from {n} pictures, and so higher than from more.

## What each scores
"""

AGAINST = """
## Each against standard sampling

Paired over prompts: accuracy in points, and how often alignment wins (a tie is one half). `standard, same gamma1 and
T`: with DDIM. `without its zigzag`: the same guidance, solver or sampler alone. `standard for the work`: of standard
sampling with DDIM and with Euler ancestral, at gamma1 = 4 and 2, the cheapest that takes as many network rows or more;
of these the most accurate on these prompts, which favours it.
"""

ON_ALL = """
## On all {n} prompts

The same of what was made on all of them: the controls, and the best of the above.
"""

ON_OTHERS = """
### On the other {n}

Which of them are the best was chosen on the first; these had no say in it.
"""

MADE_OF = """
## What zigzag is made of

On all prompts that the three have. Gain: less standard sampling with the same solver at the same gamma1. By guidance:
standard sampling at the guidance that the zigzag amounts to (`guidance_matched`), less standard. The rest: zigzag less
that. Without a gap (gamma2 = gamma1) that control is standard sampling itself. Share: guidance's part of the gain, by
the jackknife, only where the gain's interval leaves zero out; outside 0..100 the rest and the gain, or the two parts,
are opposed. p is Student's.
"""


def _whole(ways: Sequence[Way], judge: Judge, indices: Sequence[int]) -> list[Way]:
    """Those of which every picture is there and scored."""
    return [way for way in ways if set(indices) <= set(judge.scored(way.row))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", type=Path, default=Path("methods"))
    parser.add_argument("--clip", default="zz:shapes_clip")
    parser.add_argument("--limit", type=int, default=FIRST, help="only the first prompts")
    asked = parser.parse_args()
    store = Store(asked.store)
    everything = ways(store, Shapes().digest)
    everyone = range(ALL)
    indices = everyone[: asked.limit]
    lacking = []
    with ClipFeatures(asked.clip).open() as features:
        judge = Judge(store, features, asked.clip)
        found = _whole(everything, judge, indices)
        for way in everything:
            if way not in found:
                made = len([i for i in store.images(way.row.cell) if i in indices])
                scored = len(judge.scored(way.row) & set(indices))
                place = f"{way.name}, T = {way.steps}, gamma1 = {way.gamma1:g}"
                lacking.append(f"- {place}: {made} of {len(indices)} pictures, {scored} of them wholly scored")
        if not any(way.standard for way in found):
            names = ", ".join(scorer.name for scorer in scorers(asked.clip))
            print(
                f"{store.root} holds no standard sampling of {len(indices)} shapes prompts with the scores {names}; "
                "python -m experiments.shapes.methods makes it"
            )
            return 2
        measured = list(lines(found, judge, indices))
        others = everyone[len(indices) :]
        on_all = _whole(found, judge, everyone) if others else []
        whole, rest = (list(lines(on_all, judge, some)) for some in (everyone, others))
        made_of = ingredients(found, judge.scores, len(indices))
    precision = str(found[0].ledger["precision"])
    text = [TEXT.format(n=len(indices), precision=precision, cells=len(found)), *scores(measured)]
    text += [AGAINST, *comparisons(measured)]
    if whole:
        text += [ON_ALL.format(n=len(everyone)), *scores(whole), "", *comparisons(whole)]
        text += [ON_OTHERS.format(n=len(others)), *comparisons(rest)]
    text += [MADE_OF, *table(made_of)]
    if lacking:
        text += ["\n## Not made yet, and left out above\n", *lacking]
    asked.out.with_suffix(".md").write_text("\n".join(text) + "\n", encoding="utf-8")
    with asked.out.with_suffix(".csv").open("w", newline="") as file:
        records = [record(line) for line in (*measured, *whole, *rest)]
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    draw([(line.way, line.measures) for line in measured], asked.out.with_suffix(".png"))
    forest.draw(made_of, asked.out.with_name(f"{asked.out.stem}_made_of.png"))
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
