"""The shapes world as training data: batch b of a stage is a function of the seed and b, so that resuming is exact."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zz.data.shapes_prompts import TAGS, Pair, draw_pair
from zz.worlds.shapes import SIZE, Scene, render


@dataclass
class Batch:
    """Pictures with their captions.

    step:     which batch it is
    pictures: uint8  # (B, 3, H, W)
    captions: B texts
    """

    step: int
    pictures: Tensor
    captions: list[str]

    def pixels(self, device: torch.device) -> Tensor:
        """The pictures over -1..1  # (B, 3, H, W)"""
        return self.pictures.to(device).float() / 127.5 - 1


@dataclass(frozen=True)
class Batches(Dataset):
    """Every batch of a stage, drawn when it is asked for.

    seed:   of the whole run
    stream: of the stage, so that no stage sees another's pictures
    size:   pictures in a batch
    drop:   share of captions left empty, for guidance
    wrong:  share of captions that belong to another picture, so that the model is imperfect
    side:   pixels a side
    """

    seed: int
    stream: int
    size: int
    drop: float = 0.0
    wrong: float = 0.0
    side: int = SIZE

    def __getitem__(self, step: int) -> Batch:
        scenes, captions = zip(*self.told(step), strict=True)
        pictures = np.stack([render(scene, self.side) for scene in scenes])
        return Batch(step, torch.from_numpy(pictures).permute(0, 3, 1, 2), list(captions))

    def told(self, step: int) -> Iterator[tuple[Scene, str]]:
        """The scenes of a batch with their captions."""
        for i in range(step * self.size, (step + 1) * self.size):
            rng = np.random.default_rng([self.seed, self.stream, i])
            scene, meta = self.draw(rng)
            chance = rng.random()
            if chance < self.drop:
                yield scene, ""
            elif chance < self.drop + self.wrong:
                yield scene, self.draw(rng).meta["prompt"]
            else:
                yield scene, meta["prompt"]

    def draw(self, rng: np.random.Generator) -> Pair:
        """One scene of all that there are."""
        return draw_pair(rng)

    def between(self, first: int, last: int, workers: int = 0) -> Iterator[Batch]:
        """Batches first..last - 1 in order, drawn ahead by so many processes; 0 draws them here."""
        ahead = {"prefetch_factor": 4, "multiprocessing_context": "spawn"} if workers else {}
        return iter(DataLoader(self, batch_size=None, sampler=range(first, last), num_workers=workers, **ahead))  # type: ignore[arg-type]


def exam(tag: str, n: int, seed: int = 0) -> list[Pair]:
    """Scenes of one tag that training never draws, held-out pairs among them."""
    rng = np.random.default_rng([seed, 99, TAGS.index(tag)])
    return [draw_pair(rng, tag, held_out=True) for _ in range(n)]
