"""The generator of the shapes model: diffusers' UNet2DConditionModel on 8 x 8 latents, and a small CLIP text encoder.

Both learn together, from noise prediction on scaled-linear levels, as Stable Diffusion 1.x (Rombach et al., 2022).
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from zz.experiments.train_shapes.tokens import LENGTH, read
from zz.experiments.train_shapes.world import Batch


@dataclass(frozen=True)
class Plan:
    """The shape of the generator.

    channels: of each level of the U-Net
    layers:   blocks a level
    heads:    of attention
    width:    of the text encoder, and so of cross-attention
    depth:    layers of the text encoder
    """

    channels: tuple[int, ...] = (96, 128)
    layers: int = 1
    heads: int = 4
    width: int = 128
    depth: int = 3

    def unet(self, latent: int, side: int) -> UNet2DConditionModel:
        levels = len(self.channels)
        return UNet2DConditionModel(
            sample_size=side,
            in_channels=latent,
            out_channels=latent,
            block_out_channels=self.channels,
            down_block_types=("CrossAttnDownBlock2D",) * levels,
            up_block_types=("CrossAttnUpBlock2D",) * levels,
            layers_per_block=self.layers,
            cross_attention_dim=self.width,
            attention_head_dim=self.heads,  # diffusers' name for the number of heads
            norm_num_groups=16,
        )

    def text(self, tokenizer: CLIPTokenizer) -> CLIPTextModel:
        return CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=self.width,
                intermediate_size=4 * self.width,
                projection_dim=self.width,
                num_hidden_layers=self.depth,
                num_attention_heads=4,
                max_position_embeddings=LENGTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )


def scheduler(prediction_type: str = "epsilon") -> DDIMScheduler:
    """Stable Diffusion's levels and DDIM's steps on them."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        num_train_timesteps=1000,
        timestep_spacing="leading",
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
        prediction_type=prediction_type,
    )


class Lesson(nn.Module):
    """The U-Net and the text encoder as one thing to train; its forward is the loss of a batch.

    vae: encodes the pictures and learns nothing
    """

    def __init__(self, plan: Plan, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        config: Any = vae.config
        self.unet = plan.unet(config.latent_channels, config.sample_size // 2 ** (len(config.block_out_channels) - 1))
        self.text = plan.text(tokenizer)
        self.tokenizer = tokenizer
        self._frozen: list[Any] = [vae.eval().requires_grad_(False)]  # in a list: it is no parameter of the lesson
        self.abar: Tensor
        self.register_buffer("abar", scheduler().alphas_cumprod, persistent=False)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error of the prediction."""
        device = self.abar.device
        x0, eps = latents(self._frozen[0], batch, rng, device)
        times = stratified(len(x0), len(self.abar), rng).to(device)
        abar = self.abar[times].view(-1, 1, 1, 1)
        x = abar.sqrt() * x0 + (1 - abar).sqrt() * eps
        said = self.unet(x, times, encoder_hidden_states=self.encode(batch.captions)).sample
        return (said.float() - self.target(x0, eps, abar)).square().mean()

    def target(self, x0: Tensor, eps: Tensor, abar: Tensor) -> Tensor:
        """What the network is to say."""
        return eps

    @property
    def vae(self) -> AutoencoderKL:
        """Which learns nothing."""
        return self._frozen[0]

    def encode(self, captions: list[str]) -> Tensor:
        return self.text(read(self.tokenizer, captions).to(self.abar.device)).last_hidden_state


@torch.no_grad()
def latents(vae: Any, batch: Batch, rng: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """A batch's clean latents, drawn from the autoencoder and scaled, and noise of their shape  # (B, C, h, w) each"""
    posterior = vae.to(device).encode(batch.pixels(device)).latent_dist
    draw = torch.randn(2, *posterior.mean.shape, generator=rng).to(device)
    return (posterior.mean + posterior.std * draw[0]).float() * vae.config.scaling_factor, draw[1]


def stratified(n: int, N: int, rng: torch.Generator) -> Tensor:
    """n training times in random order, one from each n-th of the range: uniform, with less variance."""
    places = (torch.randperm(n, generator=rng) + torch.rand(n, generator=rng)) / n
    return (places * N).long().clamp(max=N - 1)
