"""A model of clips with nothing but arithmetic in it: the exact one, frame by frame."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch

from zz.models.mixture import Mixture, MixturePipeline


@dataclass(frozen=True)
class Film(Mixture):
    """The mixture, each frame by itself."""

    frames: int = 3
    fps: int = 4
    name: str = "film"

    def identity(self):
        return {**super().identity(), "frames": self.frames}

    @contextmanager
    def open(self, device="cpu", precision="32"):
        yield FilmPipeline(self, torch.device(device))


class FilmPipeline(MixturePipeline):
    """Frames are folded into the batch."""

    def shape(self, size):
        channels, *sides = super().shape(size)
        return channels, self.model.frames, *sides

    def __call__(self, x, node, *conds):
        rows = x.transpose(1, 2).flatten(0, 1)
        said = super().__call__(rows, node, *(cond.repeat_interleave(self.model.frames, 0) for cond in conds))
        return tuple(type(p)(*(t.unflatten(0, (len(x), self.model.frames)).transpose(1, 2) for t in p)) for p in said)

    def decode(self, x):
        return torch.stack([super(FilmPipeline, self).decode(clip.transpose(0, 1)) for clip in x])
