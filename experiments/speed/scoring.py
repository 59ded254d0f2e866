"""How fast scorers are: pictures a second one by one and in the best batch, and one of them beside another.

Claim:   none of the paper's; a scorer here should not be slower than the package of its authors
Command: python -m zz.experiments.speed.scoring "scorers=[hps_v21,image_reward]"
Cost:    seconds on a GPU, some minutes a scorer on a CPU. With --beside NAME the first scorer and that one, which has
         to be among them, take turns, so that load falls on both
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
from PIL import Image

from zz.cli.compose import composed
from zz.cli.config import metrics_of, resolved
from zz.data.base import Prompt
from zz.scorers.base import ImageScorer, Score

BATCHES = (1, 2, 4, 8, 16, 32, 64)


def inputs(count: int, side: int = 512) -> tuple[list[Image.Image], list[Prompt]]:
    """Smooth random pictures, and a prompt that every scorer reads."""
    draw = np.random.default_rng(0)
    noise = [Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(count)]
    pictures = [image.resize((side, side), Image.Resampling.BICUBIC) for image in noise]
    return pictures, [Prompt("a photo of a red circle and a blue square")] * count


def rate(score: Score, batch: int, pictures: Sequence[Image.Image], prompts: Sequence[Prompt]) -> float:
    """Pictures a second."""
    start = time.perf_counter()
    for first in range(0, len(pictures), batch):
        score(pictures[first : first + batch], prompts[first : first + batch])
    return len(pictures) / (time.perf_counter() - start)


def best(score: Score, pictures: Sequence[Image.Image], prompts: Sequence[Prompt]) -> dict[int, float]:
    """Pictures a second by batch size."""
    score(pictures[:1], prompts[:1])  # the first call pays for what is made once
    return {n: rate(score, n, pictures, prompts) for n in BATCHES if n <= len(pictures)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="+", help="as for zz.score: scorers=[...] and their fields")
    parser.add_argument("--pictures", type=int, default=16, help="of 512 x 512 pixels")
    parser.add_argument("--beside", metavar="NAME", help="a scorer among them that the first is set beside")
    parser.add_argument("--pairs", type=int, default=5, help="of turns with --beside")
    asked = parser.parse_args(arguments)
    [config] = composed([asked.words])
    metrics = metrics_of(resolved(config))
    scorers = [metric for metric in metrics.values() if isinstance(metric, ImageScorer)]
    names = [scorer.name for scorer in scorers]
    if not scorers or asked.beside not in (None, *names[1:]):
        parser.error(f"scorers={names}: name one, and for --beside another after it")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures, prompts = inputs(asked.pictures)
    with ExitStack() as stack:
        kept: dict[str, tuple[Score, int]] = {}
        for scorer in scorers:
            with ExitStack() as its:
                score = its.enter_context(scorer.open(device))
                found = best(score, pictures, prompts)
                width = max(found, key=lambda n: found[n])
                print(f"{scorer.name}: {found[1]:.2f} pictures/s one by one, {found[width]:.2f} in batches of {width}")
                if asked.beside and scorer.name in (names[0], asked.beside):
                    kept[scorer.name] = score, width
                    stack.push(its.pop_all())
        if asked.beside:
            ratios = []
            for _ in range(asked.pairs):
                ours, theirs = (rate(*kept[name], pictures, prompts) for name in (names[0], asked.beside))
                ratios.append(ours / theirs)
            low, middle, high = np.quantile(ratios, (0, 0.5, 1))
            print(f"{names[0]} is {middle:.2f} [{low:.2f}, {high:.2f}] times as fast as {asked.beside}, in turns")


if __name__ == "__main__":
    main()
