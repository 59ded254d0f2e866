"""Scores of anyone's pictures: `zz.score`. It knows no Hydra and no store."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from zz.data.base import Prompt
from zz.diffusion.validate import check_count
from zz.scorers.base import ImageScorer, Metric, SetMetric
from zz.scorers.interval import Interval
from zz.scorers.pictures import rgb


def score(
    images: Sequence[Image.Image | str | Path],
    prompts: Sequence[str | Prompt],
    scorers: Metric | Sequence[Metric],
    *,
    device: str | None = None,
    batch_size: int = 64,
) -> dict[str, Any]:
    """Score pictures, each with its prompt.

    images:     N pictures, or paths of files
    prompts:    N texts, or zz.Prompt(text, meta) for a scorer that reads what a benchmark says of them
    scorers:    such as zz.HPS(...), or several
    device:     the first GPU by default, or the CPU where there is none
    batch_size: pictures at once

    Gives, by the scorer's name, N floats, or of a set metric an Interval(value, low, high).

    Raises ValueError with the field, the value and the remedy.
    """
    chosen = [scorers] if isinstance(scorers, Metric) else list(scorers)
    for one in chosen:
        if not isinstance(one, Metric):
            raise ValueError(f"scorers: {one!r} is no scorer; give objects such as zz.ClipSimilarity(...)")
    if len({one.name for one in chosen}) < len(chosen):
        raise ValueError("scorers: two are called alike; give one of them another name=")
    if isinstance(images, str | Path | Image.Image) or isinstance(prompts, str | Prompt):
        raise ValueError("images and prompts are lists; for one picture give lists of one")
    if len(images) != len(prompts):
        raise ValueError(f"images has {len(images)} entries for {len(prompts)} prompts; give one each")
    check_count("batch_size", batch_size, 1)
    asked = [prompt if isinstance(prompt, Prompt) else Prompt(prompt) for prompt in prompts]
    for i, prompt in enumerate(asked):
        if not isinstance(prompt.text, str):
            raise ValueError(f"prompts[{i}]={prompt.text!r} is no text")
    at = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return {one.name: _scored(one, images, asked, at, batch_size) for one in chosen}


def _scored(metric: Metric, images: Sequence[Any], prompts: Sequence[Prompt], device: str, width: int) -> Any:
    if isinstance(metric, ImageScorer):
        return _each(metric, images, prompts, device, width)
    if not isinstance(metric, SetMetric):
        raise ValueError(f"scorers: {metric.name} is neither of one picture nor of a set")
    source = metric.features
    if isinstance(source, ImageScorer):
        rows = np.array(_each(source, images, prompts, device, width))[:, None]
        return metric.measure(rows, prompts, {})
    if len(images) < metric.fewest:
        raise ValueError(f"{metric.name} needs at least {metric.fewest} pictures, and there are {len(images)}")
    with source.open(device) as extract:
        parts = [extract(_opened(images, start, width)) for start in range(0, len(images), width)]
        reference: Mapping[str, np.ndarray] = metric.reference(extract) if metric.has_reference else {}
    found: Interval = metric.measure(np.concatenate(parts), prompts, reference)
    return found


def _each(
    scorer: ImageScorer, images: Sequence[Any], prompts: Sequence[Prompt], device: str, width: int
) -> list[float]:
    if scorer.reads:
        prompts = [_described(scorer, prompt) for prompt in prompts]
    found: list[float] = []
    with scorer.open(device) as compute:
        for start in range(0, len(images), width):
            found += compute(_opened(images, start, width), prompts[start : start + width])
    for i, value in enumerate(found):
        if not isfinite(value):
            raise ValueError(f"{scorer.name} gave no finite number for images[{i}]")
    return found


def _described(scorer: ImageScorer, prompt: Prompt) -> Prompt:
    if any(field in prompt.meta for field in scorer.reads):
        return prompt
    return Prompt(prompt.text, {**prompt.meta, **scorer.describe(prompt.text)}, prompt.seed)


def _opened(images: Sequence[Any], start: int, width: int) -> list[Image.Image]:
    found = []
    for i, image in enumerate(images[start : start + width], start):
        try:
            if isinstance(image, Image.Image):
                found.append(rgb(image))
                continue
            with Image.open(image) as file:
                file.load()
                found.append(rgb(file))
        except Exception as error:  # any that Pillow raises
            raise ValueError(f"images[{i}]={image!r} cannot be read as a picture ({error})") from error
    return found


__all__ = ["score"]
