"""`shapes_xl`: a larger U-Net with two text encoders, a pooled text and sizes, as SDXL (Podell et al., 2023).

It learns at two sizes, and some of its pictures are enlarged from half of theirs, which SDXL's size conditions tell
apart. A fifth of its captions have two clauses.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor, nn

from zz.data.shapes_prompts import CLAUSES, Pair, draw_pair
from zz.experiments.train_shapes.tokens import read
from zz.experiments.train_shapes.unet import latents, scheduler, stratified
from zz.experiments.train_shapes.world import Batch, Batches
from zz.experiments.train_zoo import text
from zz.hub.files import EMBEDDED
from zz.worlds.shapes import SIZE, render

LARGE = 48  # pixels a side of the larger pictures
SHARE = 0.2  # of batches that have them
ENLARGED = 0.25  # share of pictures that were drawn at half their size
CLAUSE = 0.2  # share of captions of two clauses
ZEROS = 0.5  # share of empty captions that are zeros, as SDXL has it where no negative prompt is given


@dataclass
class SizedBatch(Batch):
    """Pictures of one size, and the size that each was drawn at.

    originals: pixels a side  # (B,)
    """

    originals: Tensor


@dataclass(frozen=True)
class SizedBatches(Batches):
    """As `Batches`, of both sizes, some enlarged from half their size, with sentences of two clauses among them."""

    def __getitem__(self, step: int) -> SizedBatch:
        rng = np.random.default_rng([self.seed, self.stream, step, LARGE])
        size = LARGE if rng.random() < SHARE else SIZE
        originals = np.where(rng.random(self.size) < ENLARGED, size // 2, size)
        scenes, captions = zip(*self.told(step), strict=True)
        pictures = [enlarged(render(scene, int(n)), size) for scene, n in zip(scenes, originals, strict=True)]
        pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        return SizedBatch(step, pixels, list(captions), torch.from_numpy(originals))

    def draw(self, rng: np.random.Generator) -> Pair:
        return draw_pair(rng, CLAUSES if rng.random() < CLAUSE else None)


def enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture at `size` pixels a side: uint8  # (size, size, 3)"""
    if len(picture) == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))


class Lesson(nn.Module):
    """The U-Net and both text encoders as one thing to train; its forward is the loss of a batch."""

    def __init__(self) -> None:
        super().__init__()
        vae: Any = AutoencoderKL.from_pretrained(EMBEDDED / "shapes" / "vae")
        self._frozen: list[Any] = [vae.eval().requires_grad_(False)]  # in a list: it is no parameter of the lesson
        self.tokenizer = text.tokenizer()
        self.text, self.text_2 = text.drawn(), text.seen()
        first, second = self.text.config.to_dict(), self.text_2.config.to_dict()
        times = 16  # width of one embedded size
        self.unet = UNet2DConditionModel(
            sample_size=SIZE // 2 ** (len(vae.config.block_out_channels) - 1),
            in_channels=vae.config.latent_channels,
            out_channels=vae.config.latent_channels,
            block_out_channels=(80, 128),
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
            layers_per_block=1,
            transformer_layers_per_block=(1, 2),
            cross_attention_dim=first["hidden_size"] + second["hidden_size"],
            attention_head_dim=4,  # diffusers' name for the number of heads
            norm_num_groups=16,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=times,
            projection_class_embeddings_input_dim=6 * times + second["projection_dim"],
        )
        self.abar: Tensor
        self.register_buffer("abar", scheduler().alphas_cumprod, persistent=False)

    def forward(self, batch: SizedBatch, rng: torch.Generator) -> Tensor:
        """Mean squared error of the predicted noise."""
        device = self.abar.device
        x0, eps = latents(self._frozen[0], batch, rng, device)
        times = stratified(len(x0), len(self.abar), rng).to(device)
        abar = self.abar[times].view(-1, 1, 1, 1)
        tokens, pooled = self.encode(batch.captions)
        kept = torch.tensor([caption != "" for caption in batch.captions]) | (
            torch.rand(len(x0), generator=rng) > ZEROS
        )
        kept = kept.to(device)
        size = batch.pictures.shape[-1]
        sizes = torch.tensor([[0, 0, 0, 0, size, size]]).repeat(len(x0), 1)  # original, crop, target
        sizes[:, :2] = batch.originals[:, None]
        said = self.unet(
            abar.sqrt() * x0 + (1 - abar).sqrt() * eps,
            times,
            encoder_hidden_states=tokens * kept[:, None, None],
            added_cond_kwargs={"text_embeds": pooled * kept[:, None], "time_ids": sizes.to(device)},
        ).sample
        return (said.float() - eps).square().mean()

    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """As the pipeline encodes: the last layer but one of each, side by side; the second one's pooled text."""
        ids = read(self.tokenizer, captions).to(self.abar.device)
        one, two = (encoder(ids, output_hidden_states=True) for encoder in (self.text, self.text_2))
        return torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1), two.text_embeds

    def parts(self) -> StableDiffusionXLPipeline:
        """As diffusers has it."""
        made: Any = StableDiffusionXLPipeline  # its annotations know no DDIM
        return made(
            vae=self._frozen[0],
            unet=self.unet,
            text_encoder=self.text,
            text_encoder_2=self.text_2,
            tokenizer=self.tokenizer,
            tokenizer_2=self.tokenizer,
            scheduler=scheduler(),
            force_zeros_for_empty_prompt=True,
            add_watermarker=False,
        )


__all__ = ["Lesson", "SizedBatches"]
