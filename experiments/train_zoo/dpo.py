"""`shapes_dpo`: the U-Net of `shapes`, tuned on preferences by Diffusion-DPO (Wallace et al., 2024).

Pairs are drawn by `shapes` itself, for captions of its training, and the exact judge says which of them fits better.
"""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

import zz
from zz.data.base import Prompt
from zz.experiments.train_shapes.tokens import read
from zz.experiments.train_shapes.unet import scheduler, stratified
from zz.experiments.train_shapes.world import Batches
from zz.hub.files import EMBEDDED
from zz.models import sd
from zz.scorers.shapes.scorers import ShapesAlignment
from zz.worlds.shapes import SIZE

TRIES = 4  # pictures of a prompt, of which the best and the worst are a pair
MARGIN = 0.1  # least difference of their alignment; others are ties, and left out
STEPS, GAMMA = 10, 2.0  # of their sampling
SHARDS = 100  # files of pairs, through which training goes again and again
BETA = 2000.0  # how strongly it is held to the model that it begins as


@dataclass
class Preferred:
    """Pairs of latents, one a prompt; how many there are differs by the batch.

    step:     which batch it is
    better:   latents, scaled as they are sampled  # (B, 6, 8, 8)
    worse:    as many
    captions: B texts
    """

    step: int
    better: Tensor
    worse: Tensor
    captions: list[str]


@dataclass(frozen=True)
class Pairs(Batches):
    """Best and worst of a few pictures of `size` prompts, drawn when first asked for and kept in `folder`."""

    folder: str = "."

    def __getitem__(self, step: int) -> Any:
        path = Path(self.folder) / f"{step % SHARDS:04d}.pt"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".part")
            torch.save(self._drawn(step % SHARDS), beside)
            beside.replace(path)
        return Preferred(step, *torch.load(path, weights_only=True))

    def _drawn(self, shard: int) -> tuple[Tensor, Tensor, list[str]]:
        rng = np.random.default_rng([self.seed, self.stream, shard])
        metas = [self.draw(rng).meta for _ in range(self.size)]
        prompts = [Prompt(meta["prompt"], meta) for meta in metas for _ in range(TRIES)]
        seeds = rng.integers(2**31, size=len(prompts)).tolist()
        pipeline = sd.StableDiffusionPipeline(start())
        latents = zz.sample(
            pipeline,
            [prompt.text for prompt in prompts],
            sampler=zz.Standard(GAMMA),
            steps=STEPS,
            size=SIZE,
            seeds=seeds,
            batch_size=64,
            output="latent",
        )
        images = [Image.fromarray(picture.numpy()) for picture in pipeline.decode(latents)]
        with ShapesAlignment().open() as judge:
            fits = np.array(judge(images, prompts)).reshape(-1, TRIES)
        rows = np.flatnonzero(np.ptp(fits, axis=1) > MARGIN)
        tries = latents.unflatten(0, fits.shape)
        better, worse = (tries[rows, place(fits[rows], axis=1)] for place in (np.argmax, np.argmin))
        return better.clone(), worse.clone(), [metas[row]["prompt"] for row in rows]


@cache
def start() -> StableDiffusionPipeline:
    """`shapes` as diffusers has it, which is not changed."""
    return StableDiffusionPipeline.from_pretrained(EMBEDDED / "shapes", safety_checker=None)


class Lesson(nn.Module):
    """The U-Net as a thing to train; its forward is the loss of a batch."""

    def __init__(self) -> None:
        super().__init__()
        begun: Any = start()
        self._frozen: list[Any] = [part.eval().requires_grad_(False) for part in (begun.text_encoder, begun.unet)]
        self.tokenizer = begun.tokenizer
        self.unet = deepcopy(begun.unet).requires_grad_(True)
        self.abar: Tensor
        self.register_buffer("abar", scheduler().alphas_cumprod, persistent=False)

    def forward(self, batch: Preferred, rng: torch.Generator) -> Tensor:
        """-log sigmoid of how much more it gains on the better one than on the worse (its equation 14)."""
        device = self.abar.device
        text, before = (part.to(device) for part in self._frozen)
        n = len(batch.captions)
        x0 = torch.cat([batch.better, batch.worse]).to(device)
        eps = torch.randn(batch.better.shape, generator=rng).repeat(2, 1, 1, 1).to(device)
        times = stratified(n, len(self.abar), rng).repeat(2).to(device)
        abar = self.abar[times].view(-1, 1, 1, 1)
        x = abar.sqrt() * x0 + (1 - abar).sqrt() * eps
        with torch.no_grad():
            tokens = text(read(self.tokenizer, batch.captions).to(device)).last_hidden_state.repeat(2, 1, 1)
            kept = (before(x, times, encoder_hidden_states=tokens).sample.float() - eps).square().mean((1, 2, 3))
        said = self.unet(x, times, encoder_hidden_states=tokens).sample.float()
        better, worse = ((said - eps).square().mean((1, 2, 3)) - kept).chunk(2)
        return -logsigmoid(BETA / 2 * (worse - better)).mean()

    def parts(self) -> StableDiffusionPipeline:
        """`shapes` with this U-Net."""
        return StableDiffusionPipeline(**{**start().components, "unet": self.unet}, requires_safety_checker=False)


__all__ = ["Lesson", "Pairs"]
