"""`shapes_motion`: AnimateDiff's motion modules (Guo et al., 2024) on the U-Net of `shapes`, for clips of 8 frames.

The U-Net is not changed. Its text encoder learns along, for `shapes` has no words for motion: they are new tokens. The
modules begin as the identity, as the paper has it.

A sampler begins with noise alone. Training does not: at the last time a clip of 8 frames still shows through, so that
modules learn to see what moves whither and not to read it (Lin et al., 2024, of pictures; FreeInit, Wu et al., 2024,
of clips). So they first learn what is right where there is nothing to see: of noise and a caption, the mean of the
caption's clips; and never stop to be asked it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.unets.unet_motion_model import MotionAdapter, UNetMotionModel
from diffusers.pipelines.animatediff.pipeline_animatediff import AnimateDiffPipeline
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from zz.data.motion_prompts import WORDS, moving, trained
from zz.data.shapes_prompts import names_held_out
from zz.experiments.train_shapes.export import forget_paths, pipeline, save_pipeline
from zz.experiments.train_shapes.tokens import build_tokenizer, read
from zz.experiments.train_shapes.unet import latents, scheduler, stratified
from zz.experiments.train_shapes.world import Batch, Batches
from zz.experiments.train_zoo import dpo
from zz.worlds.motion import FRAMES, MOTIONS, draw_clip
from zz.worlds.shapes import render

ADAPTER = "motion_adapter"  # its folder
START = 0.95  # share of the times above which a sampler begins


@dataclass(frozen=True)
class Clips(Batches):
    """`size` clips a batch: pictures are (size * FRAMES, 3, H, W), captions one a clip."""

    def __getitem__(self, step: int) -> Batch:
        pictures, captions = [], []
        for i in range(step * self.size, (step + 1) * self.size):
            rng = np.random.default_rng([self.seed, self.stream, i])
            meta = trained()[rng.integers(len(trained()))]
            assert not names_held_out(meta)
            pictures += [render(scene, self.side) for scene in draw_clip(meta, rng)]
            captions.append("" if rng.random() < self.drop else meta["prompt"])
        return Batch(step, torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), captions)


@dataclass(frozen=True)
class Motions(Batches):
    """Captions alone: each thing in every motion, so that nothing else differs; `size` is a multiple of 5."""

    def __getitem__(self, step: int) -> Batch:
        captions: list[str] = []
        for i in range(step * self.size, (step + 1) * self.size, len(MOTIONS)):
            rng = np.random.default_rng([self.seed, self.stream, i])
            (thing,) = trained()[rng.integers(len(trained()))]["include"]
            captions += [moving(thing["color"], thing["class"], motion)["prompt"] for motion in MOTIONS]
        return Batch(step, torch.empty(0), captions)


@cache
def means(clips: int) -> dict[str, Tensor]:
    """The mean latent clip of each caption of training, and of none  # (C, F, h, w)

    clips: of each caption, drawn for it
    """
    vae: Any = dpo.start().vae.eval()
    found = {}
    for i, meta in enumerate(trained()):
        drawn = [draw_clip(meta, np.random.default_rng([2020, 7, i, j])) for j in range(clips)]
        frames = np.stack([render(scene) for clip in drawn for scene in clip])
        batch = Batch(i, torch.from_numpy(frames).permute(0, 3, 1, 2), [])
        with torch.no_grad():
            x0, _ = latents(vae, batch, torch.Generator().manual_seed(i), torch.device("cpu"))
        found[meta["prompt"]] = x0.unflatten(0, (clips, FRAMES)).mean(0).transpose(0, 1)
    return found | {"": torch.stack(list(found.values())).mean(0)}


def with_words(
    encoder: CLIPTextModel, known: CLIPTokenizer, words: Sequence[str]
) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """A text encoder with more words: what it knows keeps its embedding, new ones are drawn from their spread."""
    tokenizer = build_tokenizer(words)
    marks = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    more = CLIPTextModel(CLIPTextConfig(**encoder.config.to_dict() | {"vocab_size": len(tokenizer)} | marks))
    own: Any = "embeddings.token_embedding.weight"
    state = dict(encoder.state_dict())
    rng = torch.Generator().manual_seed(len(words))
    mean, spread = state[own].mean(0), state[own].std(0)
    rows = mean + spread * torch.randn(len(tokenizer), len(mean), generator=rng)
    for token, row in tokenizer.get_vocab().items():
        if token in known.get_vocab():
            rows[row] = state[own][known.get_vocab()[token]]
    more.load_state_dict({**state, own: rows})
    return more, tokenizer


def noisier(times: Tensor, n: int) -> Tensor:
    """Times of which half lie in the noisiest quarter, where it is decided what moves whither.

    times: uniform in 0..n-1
    """
    return n - 1 - times.square() // n


class Lesson(nn.Module):
    """The motion modules and the text encoder as one thing to train; its forward is the loss of a batch.

    starts: share of a batch that is noise alone, with the mean of the caption's clips as the answer
    clips:  that a mean is of
    """

    def __init__(self, starts: float = 0.25, clips: int = 24) -> None:
        super().__init__()
        self.starts, self.clips = starts, clips
        base: Any = dpo.start()
        self._frozen: list[Any] = [base.vae.eval().requires_grad_(False)]  # in a list: no parameter of the lesson
        self._base = [base.unet]
        self.text, self.tokenizer = with_words(base.text_encoder, base.tokenizer, WORDS)
        config = base.unet.config
        adapter = MotionAdapter(
            block_out_channels=config.block_out_channels,
            motion_layers_per_block=config.layers_per_block,
            motion_num_attention_heads=config.attention_head_dim,
            motion_norm_num_groups=config.norm_num_groups,
            motion_max_seq_length=2 * FRAMES,
        )
        for name, module in adapter.named_modules():
            if name.endswith("proj_out") and isinstance(module, nn.Linear):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
        self.net = UNetMotionModel.from_unet2d(base.unet, adapter)
        self.net.freeze_unet2d_params()
        self.abar: Tensor
        self.register_buffer("abar", scheduler().alphas_cumprod, persistent=False)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error of v = (eps - sqrt(1 - abar) x_t) / sqrt(abar) by the predicted noise.

        Of the noise itself the noisiest times would count for nothing, and there it is decided what moves whither.
        """
        first = round(self.starts * len(batch.captions))
        parts = [self._started(batch.captions[:first], rng)] if first else []
        if rest := batch.captions[first:]:
            parts.append(self._noised(Batch(batch.step, batch.pictures[first * FRAMES :], rest), rng))
        noisy, eps, times = (torch.cat(some) for some in zip(*parts, strict=True))
        tokens = self.encode(batch.captions).repeat_interleave(FRAMES, dim=0)
        said = self.net(noisy, times, encoder_hidden_states=tokens).sample
        return ((said.float() - eps).square() / self._level(times)).mean()

    def _started(self, captions: Sequence[str], rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One noise for all captions, the noise that would be in it if the rest were their means, and times."""
        device, n = self.abar.device, len(self.abar)
        x0 = torch.stack([means(self.clips)[caption] for caption in captions]).to(device)
        noise = torch.randn(x0.shape[1:], generator=rng).to(device).expand_as(x0)
        times = torch.randint(int(START * n), n, (len(captions),), generator=rng).to(device)
        abar = self._level(times)
        return noise, (noise - abar.sqrt() * x0) / (1 - abar).sqrt(), times

    def _noised(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Clips with noise, the noise and times."""
        device, n = self.abar.device, len(batch.captions)
        latent = latents(self._frozen[0], batch, rng, device)
        x0, eps = (one.unflatten(0, (n, FRAMES)).transpose(1, 2) for one in latent)  # (n, C, F, h, w)
        times = noisier(stratified(n, len(self.abar), rng), len(self.abar)).to(device)
        abar = self._level(times)
        return abar.sqrt() * x0 + (1 - abar).sqrt() * eps, eps, times

    def _level(self, times: Tensor) -> Tensor:
        return self.abar[times].view(-1, 1, 1, 1, 1)

    def encode(self, captions: list[str]) -> Tensor:
        return self.text(read(self.tokenizer, captions).to(self.abar.device)).last_hidden_state

    def parts(self) -> AnimateDiffPipeline:
        """As diffusers has it."""
        made: Any = AnimateDiffPipeline
        return made(
            vae=self._frozen[0],
            text_encoder=self.text,
            tokenizer=self.tokenizer,
            unet=self.net,
            motion_adapter=None,
            scheduler=scheduler(),
        )

    def save(self, folder: Path, sizes: Sequence[tuple[int, int]]) -> int:
        """The text encoder, the motion modules, and where the U-Net and autoencoder of `shapes` belong."""
        base = pipeline(self._frozen[0], self._base[0], self.text, self.tokenizer)
        save_pipeline(base, folder, sizes=sizes, words=WORDS)
        for part in ("unet", "vae"):
            for weights in (folder / part).glob("*.safetensors"):
                weights.unlink()
        self.net.save_motion_modules(str(folder / ADAPTER))
        half = MotionAdapter.from_pretrained(folder / ADAPTER, dtype=torch.float16)
        half.save_pretrained(folder / ADAPTER)
        forget_paths(folder)
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def with_starts(lesson: Lesson, share: float) -> Lesson:
    """The same lesson, of whose batches another share is noise alone."""
    lesson.starts = share
    return lesson


__all__ = ["Clips", "Lesson", "Motions", "means", "with_starts", "with_words"]
