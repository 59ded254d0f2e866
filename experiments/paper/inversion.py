"""Pictures back to noise, and from there to each other's prompts: the study of Figures 12 and 13."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

import zz
from zz.analysis.paper.inversion import OTHER, OWN, RANDOM
from zz.data.base import Prompt
from zz.data.shapes_prompts import every
from zz.diffusion.samplers.standard import Standard
from zz.lab.experiment import Study
from zz.scoring import score
from zz.worlds.shapes import draw_scene, render

VERSION = 1  # raised when a change moves numbers
SHOWN = 3  # pairs of the figure


def study(asked: Study, prompts: Sequence[str]) -> None:
    """Invert pictures in pairs without guidance; make from each latent, and from a random one, what each prompt says.

    prompts: of the two pictures that are given; in the shapes world pictures and prompts are drawn
    """
    drawn = asked.model.name == "shapes"
    if drawn:
        pictures, texts = _drawn(2 * (asked.limit or 30))
    else:
        pictures, texts = [_opened(path, asked.size) for path in asked.pictures], list(prompts)
    settings = {
        "model": repr(asked.model),
        "steps": asked.steps,
        "size": list(asked.size),
        "texts": texts,
        "pictures": _digest(pictures),
        "version": VERSION,
    }
    known = asked.store.kept(asked.name)
    if isinstance(known, dict) and known.get("settings") == settings:
        return
    n = len(pictures)
    with asked.model.open("cuda" if torch.cuda.is_available() else "cpu") as pipeline:
        latents = zz.invert(pipeline, pictures, texts, gamma=0.0, steps=asked.steps, batch_size=asked.model.batch_size)
        swapped = torch.arange(n) ^ 1  # the other one of each pair
        made = {}
        for name, start in ((OWN, latents), (OTHER, latents[swapped]), (RANDOM, None)):
            made[name] = zz.sample(
                pipeline,
                texts,
                sampler=Standard(asked.model.gamma1),
                steps=asked.steps,
                size=asked.size,
                initial_latents=start,
                seeds=list(range(n)) if start is None else None,
                batch_size=asked.model.batch_size,
            )
    scores = {}
    wanted = [Prompt(text) for text in texts]
    for name, images in made.items():
        found = score(list(images), wanted, list(asked.metrics.values()))
        scores[name] = {metric: list(map(float, values)) for metric, values in found.items()}
    sheet = asked.store.put_sheet(asked.name, _sheet(pictures, made, min(n, 2 * SHOWN)))
    asked.store.keep(asked.name, {"settings": settings, "scores": scores, "sheet": sheet.name})


def _drawn(n: int) -> tuple[list[Image.Image], list[str]]:
    """Renders of the shapes world, in pairs of two coloured shapes, with their prompts."""
    rng = np.random.default_rng(0)
    metas = every("colors")
    chosen = [metas[i] for i in rng.permutation(len(metas))[:n]]
    chosen += [metas[int(i)] for i in rng.integers(0, len(metas), max(0, n - len(chosen)))]
    return [Image.fromarray(render(draw_scene(meta, rng))) for meta in chosen], [str(meta["prompt"]) for meta in chosen]


def _opened(path: str, size: tuple[int, int]) -> Image.Image:
    """A file as a picture of the model's size: its middle square, scaled."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except OSError as error:
        raise ValueError(f"pictures: {path} cannot be read as a picture ({error}); give another") from error
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _digest(pictures: Sequence[Image.Image]) -> str:
    return hashlib.sha256(b"".join(image.tobytes() for image in pictures)).hexdigest()[:16]


def _sheet(pictures: Sequence[Image.Image], made: dict[str, object], n: int) -> Image.Image:
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width * (1 + len(made)), height * n), "white")
    for i in range(n):
        columns = [pictures[i], *(images[i] for images in made.values())]  # type: ignore[index]
        for k, image in enumerate(columns):
            sheet.paste(image, (k * width, i * height))
    return sheet


__all__ = ["study"]
