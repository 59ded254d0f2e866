"""MODEL_CARD.md of a model of the zoo, written from what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zz.data.shapes_prompts import TAGS
from zz.experiments.train_shapes.card import failures, finish, listed, table
from zz.lab.stats import proportion
from zz.worlds.shapes import COLOURS, HELD_OUT, SHAPES

HEAD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: {kind}
---
# {name}

{about}

It knows the shapes world alone: pictures of {sizes} pixels, {shapes} in {colours}. It was made to study samplers, and
is of no other use.

## Data
Drawn, not collected: `zz.worlds.shapes` renders scenes and `zz.data.shapes_prompts` words them, each sample from
(seed, stage, number). No photograph, no text by anybody, no personal data. Never shown in training: {held_out}.

## Recipe
`python -m zz.experiments.train_zoo.train {name} --out DIR`; {parameters}.

## Cost
On {machine}:"""


def write(folder: Path, about: str, sizes: Any, report: Mapping[str, Any]) -> Path:
    """Write the card of the model in `folder`.

    report: name, parameters and machine in words, stages (name -> samples, seconds, loss), steps,
            evaluation (guidance -> scorer -> tag -> mean), best (guidance), accuracy (tag -> [right, of])
    """
    lines = [
        HEAD.format(
            kind="text-to-image",
            about=about,
            sizes=listed(f"{height} x {width}" for height, width in sizes),
            shapes=listed(SHAPES),
            colours=listed(COLOURS),
            held_out=listed(sorted(f"{colour} {shape}" for shape, colour in HELD_OUT)),
            **{name: report[name] for name in ("name", "parameters", "machine")},
        ),
        *(
            f"- {name}: {stage['samples']:,} samples, {stage['seconds'] / 60:.0f} minutes, loss {stage['loss']:.4f}"
            for name, stage in report["stages"].items()
        ),
        "",
        "## Accuracy by guidance",
        f"Standard sampling, {report['steps']} steps, prompts `shapes_tune`, seeds 0 and on; percent right with no"
        " object too many (strict), and means of the softer scores.",
        "",
        *table(report["evaluation"]),
        "",
        f"## Accuracy at guidance {report['best']:g}",
        "The 553 prompts of `shapes`, strict, with 95 % intervals.",
        "",
        "| tag | right | of | percent | from | to |",
        "|" + " --- |" * 6,
        *(_line(tag, *report["accuracy"][tag]) for tag in (*TAGS, "all")),
        "",
        "## Known failures",
        failures(report["evaluation"]),
    ]
    return finish(folder, lines)


def _line(tag: str, right: float, n: int) -> str:
    found = proportion(right, n)
    return f"| {tag} | {right:.0f} | {n} | {100 * found.value:.1f} | {100 * found.low:.1f} | {100 * found.high:.1f} |"
