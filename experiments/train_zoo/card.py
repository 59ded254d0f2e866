"""MODEL_CARD.md of a model of the zoo, written from what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zz.data.shapes_prompts import TAGS
from zz.experiments.train_shapes.card import finish, listed
from zz.experiments.train_zoo.exam import Exam
from zz.experiments.train_zoo.zoo import Member
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


def write(folder: Path, member: Member, report: Mapping[str, Any]) -> Path:
    """Write the card of the model in `folder`.

    report: name, parameters and machine in words, stages (name -> samples, seconds, loss), accuracy (tag -> right, of),
            evaluation (guidance -> scorer -> tag -> mean), best (guidance)
    """
    exam, accuracy = member.exam, report["accuracy"]
    lines = [
        HEAD.format(
            kind="text-to-video" if exam.tags != TAGS else "text-to-image",
            about=member.about,
            sizes=listed(f"{height} x {width}" for height, width in member.sizes),
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
        f"Standard sampling, {exam.steps} steps, prompts `{exam.tune.name}`, seeds 0 and on; percent right with no"
        " object too many (strict), and means of the softer scores.",
        "",
        f"| guidance | {' | '.join((*exam.tags, 'all', *list(exam.scorers)[1:]))} |",
        "|" + " --- |" * (len(exam.tags) + 1 + len(exam.scorers)),
        *(_by_guidance(exam, gamma, found) for gamma, found in report["evaluation"].items()),
        "",
        f"## Accuracy at guidance {report['best']:g}",
        f"The {accuracy['all'][1]} prompts of `{exam.reported.name}`, strict, with 95 % intervals.",
        "",
        "| tag | right | of | percent | from | to |",
        "|" + " --- |" * 6,
        *(_line(tag, *accuracy[tag]) for tag in (*exam.tags, "all")),
        "",
        "## Known failures",
        _failures({tag: accuracy[tag] for tag in exam.tags}),
    ]
    return finish(folder, lines)


def _by_guidance(exam: Exam, gamma: float, found: Mapping[str, Mapping[str, float]]) -> str:
    strict, *softer = exam.scorers
    right = [f"{100 * found[strict][tag]:.0f}" for tag in (*exam.tags, "all")]
    return f"| {gamma:g} | {' | '.join([*right, *(format(found[name]['all'], '.3f') for name in softer)])} |"


def _line(tag: str, right: float, n: int) -> str:
    found = proportion(right, n)
    return f"| {tag} | {right:.0f} | {n} | {100 * found.value:.1f} | {100 * found.low:.1f} | {100 * found.high:.1f} |"


def _failures(accuracy: Mapping[str, tuple[float, int]]) -> str:
    shares = {tag: right / n for tag, (right, n) in accuracy.items()}
    worst = sorted(shares, key=shares.__getitem__)[:3]
    named = listed(f"{tag} ({100 * shares[tag]:.0f} % right)" for tag in worst)
    return f"It fails most often on {named}. Words outside of the grammar mean nothing, and are refused."
