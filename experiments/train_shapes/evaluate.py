"""How well a shapes model draws what it is asked to.

`python -m zz.experiments.train_shapes.evaluate MODEL --gamma 1 2.5 5`.

Standard sampling through zz.sample and the adapter, judged by the world's own scorers.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

import zz
from zz.data.base import PromptSet
from zz.data.shapes_prompts import Quick, Shapes, ShapesTune
from zz.diffusion.samplers.base import Sampler
from zz.models.base import Pipeline
from zz.models.sd import StableDiffusion
from zz.scorers.base import ImageScorer
from zz.scorers.shapes.scorers import Cleanliness, ShapesAlignment, ShapesCorrect

SETS: dict[str, PromptSet] = {"quick": Quick(), "shapes": Shapes(), "shapes_tune": ShapesTune()}
SIZE = (32, 32)
SCORERS: dict[str, ImageScorer] = {
    "correct": ShapesCorrect(),
    "strict": ShapesCorrect(strict=True),
    "alignment": ShapesAlignment(),
    "clean": Cleanliness(),
}


def evaluate(
    pipeline: Pipeline, prompts: PromptSet, sampler: Sampler, steps: int = 20, seed: int = 0, batch_size: int = 64
) -> dict[str, dict[str, float]]:
    """ImageScorer -> tag -> mean. `all` is over prompts, `mean` over tags as GenEval reports it."""
    return means(scored(pipeline, prompts, sampler, steps, seed, batch_size))


def means(found: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, float]]:
    """Of what `scored` gives, by tag, over prompts (`all`) and over tags (`mean`)."""
    made = {}
    for name, by_tag in found.items():
        each = {tag: float(np.mean(values)) for tag, values in by_tag.items()}
        everything = [value for values in by_tag.values() for value in values]
        made[name] = each | {"all": float(np.mean(everything)), "mean": float(np.mean(list(each.values())))}
    return made


def scored(
    pipeline: Pipeline,
    prompts: PromptSet,
    sampler: Sampler,
    steps: int = 20,
    seed: int = 0,
    batch_size: int = 64,
    size: tuple[int, int] = SIZE,
    scorers: Mapping[str, ImageScorer] = SCORERS,
) -> dict[str, dict[str, list[float]]]:
    """ImageScorer -> tag -> the score of each of its pictures."""
    texts = [prompt.text for prompt in prompts.prompts]
    tags = [prompt.meta["tag"] for prompt in prompts.prompts]
    images = zz.sample(
        pipeline,
        texts,
        sampler=sampler,
        steps=steps,
        size=size,
        seeds=range(seed, seed + len(texts)),
        batch_size=batch_size,
    )
    found: dict[str, dict[str, list[float]]] = {}
    for name, scorer in scorers.items():
        found[name] = defaultdict(list)
        with scorer.open() as score:
            for tag, value in zip(tags, score(images, prompts.prompts), strict=True):
                found[name][tag].append(value)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a folder that zz.experiments.train_shapes.train wrote, or any of its kind")
    parser.add_argument("--dataset", choices=SETS, default="shapes_tune")
    parser.add_argument("--gamma", type=float, nargs="+", default=[2.5], help="guidance scales of standard sampling")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves them alone")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    with StableDiffusion(asked.model, size=SIZE).open(asked.device) as pipeline:
        for gamma in asked.gamma:
            found: dict[str, Any] = evaluate(pipeline, SETS[asked.dataset], zz.Standard(gamma), asked.steps, asked.seed)
            print(json.dumps({"gamma": gamma, "steps": asked.steps} | rounded(found)), flush=True)


def rounded(found: Any) -> Any:
    """Numbers to four places, at any depth."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items()}
    return round(found, 4)


if __name__ == "__main__":
    main()
