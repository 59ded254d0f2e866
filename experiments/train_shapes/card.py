"""MODEL_CARD.md: what a trained shapes model is, and its CLIP, written from what was measured."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zz.data.shapes_prompts import TAGS
from zz.worlds.shapes import COLOURS, HELD_OUT, SHAPES

HEAD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# A latent text-to-image model of the shapes world

A StableDiffusionPipeline small enough to train on one core: {parameters}. It draws 32 x 32 pictures of {shapes}
in {colours}, asked for in GenEval's six forms. It was made to study samplers, and is of no other use.

    StableDiffusionPipeline.from_pretrained(folder)("a photo of a red star", height=32, width=32)

## Data
Drawn, not collected: `zz.worlds.shapes` renders scenes and `zz.data.shapes_prompts` words them, each sample from
(seed, stage, number). No photograph, no text by anybody, no personal data. Never shown in training: {held_out}.
"""


def write_card(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Write the card of the pipeline in `folder`.

    facts: recipe (names and values), stages (name -> samples, seconds, loss), gate (tag -> share), machine,
           evaluation (guidance -> scorer -> tag -> mean), steps and dataset of it, parameters in words
    """
    lines = [
        HEAD.format(
            parameters=facts["parameters"],
            shapes=listed(f"{shape}s" if not shape.endswith("s") else f"{shape}es" for shape in SHAPES),
            colours=listed(COLOURS),
            held_out=listed(sorted(f"{colour} {shape}" for shape, colour in HELD_OUT)),
        ),
        "## Recipe\n`python -m zz.experiments.train_shapes.train` with",
        *(f"- {name}: {value}" for name, value in facts["recipe"].items()),
        "",
        "## Cost",
        f"On {facts['machine']}:",
        *(
            f"- {name}: {stage['samples']:,} samples, {stage['seconds'] / 60:.0f} minutes, loss {stage['loss']:.4f}"
            for name, stage in facts["stages"].items()
        ),
        "",
        "## The decoder's ceiling",
        "Share of reconstructions of rendered scenes that the judge accepts: "
        + ", ".join(f"{tag} {share:.1%}" for tag, share in facts["gate"].items())
        + ".",
    ]
    if evaluation := facts.get("evaluation"):
        lines += [
            "",
            "## Accuracy",
            f"Standard sampling, {facts['steps']} steps, prompts `{facts['dataset']}`, seeds 0 and on; percent right"
            " with no object too many (strict), and means of the softer scores.",
            "",
            *_table(evaluation),
            "",
            "## Known failures",
            _failures(evaluation),
        ]
    return finish(folder, lines)


CLIP = """---
license: apache-2.0
library_name: transformers
---
# A CLIP of the shapes world

A CLIPModel of {parameters}: a picture tower and a text tower, trained by contrast on the rendered pictures and captions
that the shapes model is trained on (another stream of them). It gives similarities, and features for Fréchet distances.
Of anything but 32 x 32 pictures of coloured shapes it knows nothing.

## Recipe
`python -m zz.experiments.train_shapes.train`, third stage: {recipe}; {samples:,} samples, {minutes:.0f} minutes
on {machine}.

## How well it tells
How often a rendered picture's own caption beats those of 31 other pictures of its tag: {retrieval}."""


def write_clip_card(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Write the card of the CLIP in `folder`.

    facts: parameters and recipe in words, samples, minutes, machine, retrieval (tag -> share)
    """
    told = ", ".join(f"{tag} {share:.0%}" for tag, share in facts["retrieval"].items())
    return finish(folder, [CLIP.format(**{**facts, "retrieval": told})])


def finish(folder: Path, lines: list[str]) -> Path:
    """Write the card, with its last sections: licence, and the digests of what lies there."""
    digests = [f"- {path.relative_to(folder)}: {_sha(path)}" for path in sorted(folder.rglob("*.safetensors"))]
    end = ["", "## Licence\nApache-2.0, weights and recipe.", "", "## Digests\nSHA-256 of the weights:", *digests]
    path = folder / "MODEL_CARD.md"
    path.write_text("\n".join(lines + end) + "\n", encoding="utf-8")
    return path


def _table(evaluation: Mapping[Any, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Accuracy by guidance: percent right by tag, and the softer scores."""
    head = f"| guidance | {' | '.join(TAGS)} | all | not strict | alignment | cleanliness |"
    return [head, "|" + " --- |" * (len(TAGS) + 5), *(_row(gamma, found) for gamma, found in evaluation.items())]


def _row(gamma: Any, found: Mapping[str, Mapping[str, float]]) -> str:
    shares = [f"{100 * found['strict'][tag]:.0f}" for tag in (*TAGS, "all")]
    rest = [f"{100 * found['correct']['all']:.0f}", f"{found['alignment']['all']:.3f}", f"{found['clean']['all']:.3f}"]
    return f"| {gamma} | {' | '.join(shares + rest)} |"


def _failures(evaluation: Mapping[Any, Mapping[str, Mapping[str, float]]]) -> str:
    best = max(evaluation, key=lambda gamma: evaluation[gamma]["strict"]["all"])
    strict = evaluation[best]["strict"]
    worst = sorted(TAGS, key=strict.__getitem__)[:3]
    named = listed(f"{tag} ({100 * strict[tag]:.0f} % right)" for tag in worst)
    return (
        f"At guidance {best}, its best here, it fails most often on {named}. Words outside of the grammar mean nothing."
    )


def listed(names: Any) -> str:
    """a, b and c"""
    *first, last = list(names)
    return f"{', '.join(first)} and {last}" if first else last


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
