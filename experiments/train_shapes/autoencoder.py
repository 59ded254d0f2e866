"""The autoencoder of the shapes model: diffusers' AutoencoderKL, 32 x 32 pixels to 8 x 8 latents, and its gate.

A generator draws no better than its decoder: before the U-Net may train, the judge has to accept 95 % of the
reconstructions of rendered scenes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from zz.data.base import Prompt
from zz.data.shapes_prompts import TAGS
from zz.experiments.train_shapes.world import Batch, exam
from zz.scorers.shapes.scorers import ShapesCorrect
from zz.worlds.shapes import SIZE, render


@dataclass(frozen=True)
class Plan:
    """The shape of an autoencoder.

    channels: of each level; every level but the last halves the picture
    latent:   channels of a latent
    layers:   residual blocks a level (the decoder has one more)
    size:     pixels a side of a picture
    """

    channels: tuple[int, ...] = (16, 32, 64)
    latent: int = 6
    layers: int = 1
    size: int = SIZE

    def build(self) -> AutoencoderKL:
        levels = len(self.channels)
        vae = AutoencoderKL(
            block_out_channels=self.channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            latent_channels=self.latent,
            layers_per_block=self.layers,
            norm_num_groups=8,
            sample_size=self.size,
            mid_block_add_attention=False,  # 64 positions, and nothing far away to know
        )
        for module in vae.modules():
            if type(module).__name__ == "ResnetBlock2D":
                nn.init.zeros_(module.conv2.weight)  # blocks begin as the identity, which halves the time to the gate
                nn.init.zeros_(module.conv2.bias)
        return vae


class Lesson(nn.Module):
    """The autoencoder as a thing to train; its forward is the loss of a batch.

    kl:    weight of the divergence from a standard normal, a latent channel and place
    edges: weight of the differences between neighbouring pixels
    """

    def __init__(self, plan: Plan, kl: float = 1e-3, edges: float = 0.5) -> None:
        super().__init__()
        self.vae = plan.build()
        self.kl, self.edges = kl, edges

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """L1 of pixels, in which ink weighs more than paper, L1 of their differences, and a little KL."""
        x = batch.pixels(self.vae.device)
        posterior = self.vae.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=rng).to(x.device)
        y = self.vae.decode(posterior.mean + posterior.std * noise).sample.float()
        ink = 1 + 3 * (1 - x.amin(1, keepdim=True)).clamp(0, 1)  # three quarters of a picture are paper
        pixels = (ink * (y - x).abs()).mean()
        across, down = ((y - x).diff(dim=dim).abs().mean() for dim in (2, 3))
        return pixels + self.edges * (across + down) + self.kl * posterior.kl().mean() / posterior.mean[0].numel()


@torch.no_grad()
def gate(vae: AutoencoderKL, each: int = 100, seed: int = 0) -> dict[str, float]:
    """The share of reconstructions that the judge accepts, by tag, and `all`."""
    found = {}
    config: Any = vae.config
    with ShapesCorrect().open() as judge:
        for tag in TAGS:
            pairs = exam(tag, each, seed)
            pictures = np.stack([render(scene, config.sample_size) for scene, _ in pairs])
            x = torch.from_numpy(pictures).permute(0, 3, 1, 2)
            y = reconstruct(vae, x)
            images = [Image.fromarray(picture) for picture in y.permute(0, 2, 3, 1).cpu().numpy()]
            found[tag] = float(np.mean(judge(images, [Prompt(meta["prompt"], meta) for _, meta in pairs])))
    return found | {"all": float(np.mean([found[tag] for tag in TAGS]))}


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """There and back, without noise: uint8  # (B, 3, H, W)"""
    x = pictures.to(vae.device).float() / 127.5 - 1
    y = vae.decode(vae.encode(x).latent_dist.mean).sample.float()
    return ((y + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def standardise(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Give every latent channel mean 0 and deviation 1 over these pictures, and change no reconstruction.

    Both are folded into the 1 x 1 convolutions on either side of the latent, for diffusers knows one scaling_factor
    only; that is then set from what is left to scale, and is 1 but for rounding.
    """
    z = _means(vae, pictures)
    mean, std = z.mean((0, 2, 3)), z.std((0, 2, 3))
    before: Any = vae.quant_conv
    after: Any = vae.post_quant_conv
    C = len(mean)
    after.bias.add_((after.weight[:, :, 0, 0] * mean).sum(1))
    after.weight.mul_(std.view(1, C, 1, 1))
    before.bias[:C].sub_(mean)
    before.bias[:C].div_(std)
    before.weight[:C].div_(std.view(C, 1, 1, 1))
    before.bias[C:].sub_(2 * std.log())  # the second half is the log of the variance
    vae.register_to_config(scaling_factor=round(1 / float(_means(vae, pictures).std()), 6))


def _means(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    return vae.encode(pictures.to(vae.device).float() / 127.5 - 1).latent_dist.mean.float()
