"""Methods side by side on the shapes world: what each costs and scores, how often it beats standard and its controls.

    python -m analysis.compare --store store --out docs/shapes

Reads the store only; writes OUT.csv, one row a cell, OUT.md, one table for each number of steps and guidance, and
OUT.png, accuracy by method.
Accuracy is GenEval's; its intervals are Wilson's. `strict` allows no object that was not asked for. FD is the Fréchet
distance of the picture tower's features to rendered truth (lower is better; its interval by the jackknife), diversity
the mean distance of these features between pictures of one prompt.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

from analysis.judge import SETS, SOFT, Judge, Measures, scorers
from analysis.settings import Arm, Setting, settings
from analysis.tables import head, percent, plain, points, row
from zz.data.shapes_prompts import TAGS
from zz.lab.stats import Winning
from zz.lab.store import Store
from zz.scorers.clip import ClipFeatures

matplotlib.use("Agg")
from matplotlib import pyplot as plt


@dataclass(frozen=True)
class Line:
    """One cell beside what it is compared with."""

    arm: Arm
    measures: Measures
    against: dict[str, dict[str, Winning]]  # what it is compared with -> score -> paired winning rate


def beside(judge: Judge, arm: Arm, setting: Setting) -> Line:
    measures = judge.measure(arm.row, sorted(judge.scores(arm.row, "shapes_correct")))
    return Line(arm, measures, {other.name: judge.compare(arm.row, other.row) for other in setting.rivals(arm)})


SOFTER = ("alignment", "similarity", "clean", "FD", "diversity")
HEAD = ("", "predictions", "rows", "accuracy %", *TAGS, "strict %", *SOFTER)


def where(setting: Setting) -> str:
    """A setting in words."""
    seed = f", seed {setting.seed}" if setting.seed else ""
    return f"{SETS[setting.dataset].name}, {setting.precision}{seed}, T = {setting.steps}, gamma1 = {setting.gamma1:g}"


def tables(setting: Setting, lines: Sequence[Line]) -> Iterator[str]:
    """Markdown: what each scores, then each against standard and its controls."""
    yield f"\n### {where(setting)}, {lines[0].measures.n} prompts\n"
    yield head(HEAD)
    for line in lines:
        x = line.measures
        soft = [plain(x.soft[name], digits) for name, digits in zip(SOFT, (3, 1, 3), strict=True)]
        tags = [f"{100 * x.by_tag[tag].value:.0f}" for tag in TAGS]
        both = [plain(x.fd, 2), plain(x.diversity, 2)]
        cost = [str(line.arm.predictions), str(line.arm.rows)]
        yield row([line.arm.name, *cost, percent(x.correct), *tags, percent(x.strict), *soft, *both])
    yield ""
    yield head(
        ("", "against", "accuracy, points", "alignment: winning rate %", "alignment", "similarity: winning rate %")
    )
    for line in lines:
        for name, found in line.against.items():
            yield row(
                [
                    line.arm.name,
                    name,
                    points(found["shapes_correct"].difference),
                    percent(found["shapes_alignment"].rate),
                    plain(found["shapes_alignment"].difference, 3),
                    percent(found["shapes_similarity"].rate),
                ]
            )


def halved(found: Sequence[Setting], judge: Judge) -> Iterator[str]:
    """Zigzag at half of a guidance against standard sampling at the whole: to first order the same guidance."""
    like = {(s.dataset, s.precision, s.seed, s.steps, s.gamma1): s for s in found}
    lines = []
    for half in found:
        whole = like.get((half.dataset, half.precision, half.seed, half.steps, 2 * half.gamma1))
        for arm in half.arms if whole else ():
            if arm.name == "zigzag gamma2=0":
                for other in whole.arms if whole else ():
                    if other.kind in ("Standard", "compute"):
                        against = judge.compare(arm.row, other.row)
                        correct = against["shapes_correct"]
                        named = f"{other.name}, {other.predictions} predictions", str(correct.n)
                        shown = [points(correct.difference), percent(against["shapes_alignment"].rate)]
                        lines.append(row([where(half), *named, *shown]))
    if lines:
        yield "\n### zigzag (gamma2 = 0) against standard sampling at twice its gamma1\n"
        yield head(["zigzag", "standard", "prompts", "accuracy, points", "alignment: winning rate %"])
        yield from lines


def record(setting: Setting, line: Line) -> dict[str, Any]:
    """A line of the CSV."""
    found: dict[str, Any] = {
        "dataset": SETS[setting.dataset].name,
        "precision": setting.precision,
        "seed": setting.seed,
        "T": setting.steps,
        "gamma1": setting.gamma1,
        "method": line.arm.name,
        "n": line.measures.n,
    }
    cost = {"key": line.arm.row.cell.key, "predictions": line.arm.predictions, "rows": line.arm.rows}
    return found | cost | line.measures.record()


COLOURS = {"Standard": "#1b2631", "compute": "#7d8b8c", "GuidanceMatched": "#2471a3", "Zigzag": "#c0392b"}
OTHER = "#b7950b"


def draw(found: Sequence[tuple[Setting, list[Line]]], out: Path) -> None:
    """Accuracy with its interval, one panel a setting and one line a method; the band is standard sampling's."""
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    most = max(len(lines) for _, lines in found)
    figure, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, rows * (0.9 + 0.24 * most)), squeeze=False)
    for ax in axes.flat[len(found) :]:
        ax.remove()
    for ax, (setting, lines) in zip(axes.flat, found, strict=False):
        standard = [100 * x for x in lines[0].measures.correct]
        left = max(0.0, standard[0] - 32)
        ax.axvspan(standard[1], standard[2], color="#1b2631", alpha=0.08, lw=0)
        for y, line in enumerate(lines):
            value, low, high = (100 * x for x in line.measures.correct)
            colour = COLOURS.get(line.arm.kind, OTHER)
            if value < left:
                ax.annotate(f"← {value:.0f} %", (left + 0.5, y), va="center", fontsize=7, color=colour)
            else:
                ax.errorbar(value, y, xerr=[[value - low], [high - value]], fmt="o", ms=4, lw=1.2, color=colour)
        ax.set_yticks(range(len(lines)), [f"{line.arm.name}  ({line.arm.rows})" for line in lines], fontsize=7)
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.set_xlim(left, standard[0] + 16)
        ax.set_title(f"{where(setting)}, {lines[0].measures.n} prompts", fontsize=8)
        ax.set_xlabel("accuracy, %; beside the names network rows an image", fontsize=7)
        ax.grid(axis="x", lw=0.3)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", type=Path, default=Path("shapes"))
    parser.add_argument("--clip", default="zz:shapes_clip")
    asked = parser.parse_args()
    store = Store(asked.store)
    found = [s for s in settings(store) if s.dataset in SETS]
    if not found:
        print(f"{store.root} holds no shapes cells with standard sampling; python -m experiments.shapes.compare")
        return 2
    text: list[str] = []
    measured: list[tuple[Setting, list[Line]]] = []
    with ClipFeatures(asked.clip).open() as features:
        judge = Judge(store, features, asked.clip)
        for setting in found:
            most = max(1, *(arm.row.images for arm in setting.arms))
            for arm in [arm for arm in setting.arms if len(judge.scored(arm.row)) < most]:
                print(f"left out, for not all of {most} pictures are made and scored: {where(setting)}, {arm.name}")
                setting.arms.remove(arm)
            if setting.arms and setting.arms[0].kind == "Standard":
                lines = [beside(judge, arm, setting) for arm in setting.arms]
                text += tables(setting, lines)
                measured.append((setting, lines))
        text += halved([setting for setting, _ in measured], judge)
    if not measured:
        names = ", ".join(scorer.name for scorer in scorers(asked.clip))
        print(f"{store.root} holds no setting that is wholly made and scored by {names}")
        return 2
    records = [record(setting, line) for setting, lines in measured for line in lines]
    asked.out.with_suffix(".md").write_text("\n".join(text) + "\n", encoding="utf-8")
    with asked.out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    draw([each for each in measured if len(each[1]) > 2] or measured, asked.out.with_suffix(".png"))
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
