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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from analysis.settings import Arm, Setting, settings
from zz.data.shapes import render
from zz.data.shapes_prompts import TAGS, Shapes, ShapesTune, draw_pair
from zz.lab.scoring import identity
from zz.lab.stats import Interval, Moments, Winning, frechet, jackknife, mean, moments, share, spread, winning
from zz.lab.store import Row, Store
from zz.scorers.base import Scorer
from zz.scorers.clip import ClipFeatures, ClipSimilarity
from zz.scorers.shapes import Cleanliness, ShapesAlignment, ShapesCorrect

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SETS = {prompts.digest: prompts for prompts in (Shapes(), ShapesTune())}
TRUTH = 5000  # rendered pictures that a cell's are compared with
SOFT = ("shapes_alignment", "shapes_similarity", "cleanliness")


@dataclass(frozen=True)
class Line:
    """One cell, measured."""

    arm: Arm
    n: int
    correct: Interval
    by_tag: dict[str, Interval]
    strict: Interval
    soft: dict[str, Interval]
    fd: Interval
    diversity: Interval
    against: dict[str, dict[str, Winning]]  # what it is compared with -> score -> paired winning rate


def scorers(clip: str) -> list[Scorer]:
    """What every cell must have been scored by, in its present version."""
    exact: list[Scorer] = [ShapesCorrect(), ShapesCorrect(strict=True, name="shapes_strict"), ShapesAlignment()]
    return [*exact, ClipSimilarity(clip, name="shapes_similarity"), Cleanliness()]


class Judge:
    """Features of pictures, beside the scores that a store holds."""

    def __init__(self, store: Store, features: Any, clip: str) -> None:
        self.store, self._features = store, features
        self._named = {scorer.name: identity(scorer) for scorer in scorers(clip)}
        rng = np.random.default_rng([2020, 7])
        tags = [TAGS[i % len(TAGS)] for i in range(TRUTH)]  # `shapes` has about as many of each
        truth = features([Image.fromarray(render(draw_pair(rng, tag, held_out=True).scene)) for tag in tags])
        self.truth: Moments = moments(truth)
        self._known: dict[str, np.ndarray] = {}

    def features(self, row: Row, indices: Sequence[int]) -> np.ndarray:
        if row.cell.key not in self._known:
            self._known[row.cell.key] = self._features([self.store.image(row.cell, i) for i in indices])
        return self._known[row.cell.key]

    def scores(self, row: Row, name: str) -> dict[int, float]:
        return self.store.scores(row.cell, self._named[name])

    def scored(self, row: Row) -> int:
        """Pictures that have every score."""
        return len(set.intersection(*(set(self.scores(row, name)) for name in self._named)))

    def line(self, arm: Arm, setting: Setting) -> Line:
        row = arm.row
        prompts = SETS[row.cell.ledger["dataset"]].prompts
        correct = self.scores(row, "shapes_correct")
        indices = sorted(correct)
        tags = {i: prompts[i].meta["tag"] for i in indices}
        features = self.features(row, indices)
        return Line(
            arm,
            len(indices),
            _share(correct.values()),
            {tag: _share([correct[i] for i in indices if tags[i] == tag]) for tag in TAGS},
            _share(self.scores(row, "shapes_strict").values()),
            {name: mean(list(self.scores(row, name).values())) for name in SOFT},
            jackknife(lambda kept: frechet(moments(features[kept]), self.truth), len(indices)),
            spread(features, [prompts[i].text for i in indices]),
            {
                other.name: {
                    name: winning(self.scores(row, name), self.scores(other.row, name))
                    for name in ("shapes_correct", *SOFT)
                }
                for other in setting.rivals(arm)
            },
        )


def _share(values: Any) -> Interval:
    found = list(values)
    return share(sum(found), len(found))


def _percent(x: Interval, digits: int = 0) -> str:
    return f"{100 * x.value:.{digits}f} [{100 * x.low:.{digits}f}, {100 * x.high:.{digits}f}]"


def _plain(x: Interval, digits: int) -> str:
    return f"{x.value:.{digits}f} ± {x.high - x.value:.{digits}f}"


SOFTER = ("alignment", "similarity", "clean", "FD", "diversity")
HEAD = ("", "predictions", "rows", "accuracy %", *TAGS, "strict %", *SOFTER)


def where(setting: Setting) -> str:
    """A setting in words."""
    seed = f", seed {setting.seed}" if setting.seed else ""
    return f"{SETS[setting.dataset].name}, {setting.precision}{seed}, T = {setting.steps}, gamma1 = {setting.gamma1:g}"


def tables(setting: Setting, lines: Sequence[Line]) -> Iterator[str]:
    """Markdown: what each scores, then each against standard and its controls."""
    yield f"\n### {where(setting)}, {lines[0].n} prompts\n"
    yield _row(HEAD)
    yield _row(["---"] * len(HEAD))
    for line in lines:
        soft = [_plain(line.soft[name], digits) for name, digits in zip(SOFT, (3, 1, 3), strict=True)]
        tags = [f"{100 * line.by_tag[tag].value:.0f}" for tag in TAGS]
        both = [_plain(line.fd, 2), _plain(line.diversity, 2)]
        cost = [str(line.arm.predictions), str(line.arm.rows)]
        yield _row([line.arm.name, *cost, _percent(line.correct), *tags, _percent(line.strict), *soft, *both])
    yield ""
    head = ("", "against", "accuracy, points", "alignment: winning rate %", "alignment", "similarity: winning rate %")
    yield _row(head)
    yield _row(["---"] * len(head))
    for line in lines:
        for name, found in line.against.items():
            points = found["shapes_correct"].difference
            yield _row(
                [
                    line.arm.name,
                    name,
                    f"{100 * points.value:+.1f} [{100 * points.low:+.1f}, {100 * points.high:+.1f}]",
                    _percent(found["shapes_alignment"].rate),
                    _plain(found["shapes_alignment"].difference, 3),
                    _percent(found["shapes_similarity"].rate),
                ]
            )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


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
                        against = [
                            winning(judge.scores(arm.row, name), judge.scores(other.row, name))
                            for name in ("shapes_correct", "shapes_alignment")
                        ]
                        points = against[0].difference
                        shown = f"{100 * points.value:+.1f} [{100 * points.low:+.1f}, {100 * points.high:+.1f}]"
                        named = f"{other.name}, {other.predictions} predictions", str(against[0].n)
                        lines.append(_row([where(half), *named, shown, _percent(against[1].rate)]))
    if lines:
        yield "\n### zigzag (gamma2 = 0) against standard sampling at twice its gamma1\n"
        yield _row(["zigzag", "standard", "prompts", "accuracy, points", "alignment: winning rate %"])
        yield _row(["---"] * 5)
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
        "n": line.n,
    }
    found |= {"key": line.arm.row.cell.key, "predictions": line.arm.predictions, "rows": line.arm.rows}
    values: Mapping[str, Interval] = {"accuracy": line.correct, **line.by_tag, "strict": line.strict, **line.soft}
    for name, x in {**values, "fd": line.fd, "diversity": line.diversity}.items():
        found |= {name: x.value, f"{name}_low": x.low, f"{name}_high": x.high}
    return found


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
        standard = [100 * x for x in lines[0].correct]
        left = max(0.0, standard[0] - 32)
        ax.axvspan(standard[1], standard[2], color="#1b2631", alpha=0.08, lw=0)
        for y, line in enumerate(lines):
            value, low, high = (100 * x for x in line.correct)
            colour = COLOURS.get(line.arm.kind, OTHER)
            if value < left:
                ax.annotate(f"← {value:.0f} %", (left + 0.5, y), va="center", fontsize=7, color=colour)
            else:
                ax.errorbar(value, y, xerr=[[value - low], [high - value]], fmt="o", ms=4, lw=1.2, color=colour)
        ax.set_yticks(range(len(lines)), [f"{line.arm.name}  ({line.arm.rows})" for line in lines], fontsize=7)
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.set_xlim(left, standard[0] + 16)
        ax.set_title(f"{where(setting)}, {lines[0].n} prompts", fontsize=8)
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
            for arm in [arm for arm in setting.arms if judge.scored(arm.row) < most]:
                print(f"left out, for not all of {most} pictures are made and scored: {where(setting)}, {arm.name}")
                setting.arms.remove(arm)
            if setting.arms and setting.arms[0].kind == "Standard":
                lines = [judge.line(arm, setting) for arm in setting.arms]
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
