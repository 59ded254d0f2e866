"""`shapes_flow`: a rectified flow on a transformer, in the classes of Stable Diffusion 3 (Esser et al., 2024).

Two small CLIP text encoders, no T5. Where T5 is left out, diffusers reads zeros in its place: 256 of them unless asked
for fewer. Here most batches see none and some see 256, so that the model can be sampled either way.
"""

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import StableDiffusion3Pipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from zz.experiments.train_shapes.tokens import read
from zz.experiments.train_shapes.unet import latents
from zz.experiments.train_shapes.world import Batch
from zz.experiments.train_zoo import text
from zz.hub.files import EMBEDDED

WIDTH, HEADS, DEPTH, PATCH = 160, 4, 6, 2  # of the transformer
LONG = 256  # zeros in place of T5's tokens, as diffusers has them
OFTEN = 0.05  # share of batches that see them


class Lesson(nn.Module):
    """The transformer and both text encoders as one thing to train; its forward is the loss of a batch."""

    def __init__(self) -> None:
        super().__init__()
        vae: Any = AutoencoderKL.from_pretrained(EMBEDDED / "shapes" / "vae")
        vae.register_to_config(shift_factor=0.0)  # which this pipeline adds
        self._frozen: list[Any] = [vae.eval().requires_grad_(False)]  # in a list: it is no parameter of the lesson
        self.tokenizer = text.tokenizer()
        self.text, self.text_2 = text.drawn_projected(), text.seen()
        first, second = self.text.config.to_dict(), self.text_2.config.to_dict()
        tokens = first["hidden_size"] + second["hidden_size"]
        pooled = first["projection_dim"] + second["projection_dim"]
        side = vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
        self.net = SD3Transformer2DModel(
            sample_size=side,
            patch_size=PATCH,
            in_channels=vae.config.latent_channels,
            out_channels=vae.config.latent_channels,
            num_layers=DEPTH,
            attention_head_dim=WIDTH // HEADS,
            num_attention_heads=HEADS,
            joint_attention_dim=tokens,
            caption_projection_dim=WIDTH,
            pooled_projection_dim=pooled,
            pos_embed_max_size=2 * side // PATCH,
            qk_norm="rms_norm",
        )
        for block in self.net.transformer_blocks:  # each begins as the identity (Peebles and Xie, 2023)
            for norm in (block.norm1, block.norm1_context):
                nn.init.zeros_(norm.linear.weight)
                nn.init.zeros_(norm.linear.bias)
        nn.init.zeros_(self.net.proj_out.weight)
        nn.init.zeros_(self.net.proj_out.bias)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error of the velocity eps - x0, at logit-normal levels."""
        device = next(self.parameters()).device
        x0, eps = latents(self._frozen[0], batch, rng, device)
        sigma = torch.randn(len(x0), generator=rng).sigmoid().to(device)
        zeros = LONG if float(torch.rand((), generator=rng)) < OFTEN else 0
        tokens, pooled = self.encode(batch.captions, zeros)
        s = sigma.view(-1, 1, 1, 1)
        said = self.net(
            hidden_states=(1 - s) * x0 + s * eps,
            timestep=1000 * sigma,
            encoder_hidden_states=tokens,
            pooled_projections=pooled,
        ).sample
        return (said.float() - (eps - x0)).square().mean()

    def encode(self, captions: list[str], zeros: int = 0) -> tuple[Tensor, Tensor]:
        """As the pipeline encodes: the last layer but one of each, side by side, then zeros; the pooled ones apart."""
        ids = read(self.tokenizer, captions).to(next(self.parameters()).device)
        said = [text(ids, output_hidden_states=True) for text in (self.text, self.text_2)]
        tokens = torch.cat([one.hidden_states[-2] for one in said], dim=-1)
        pooled = torch.cat([one.text_embeds for one in said], dim=-1)
        return torch.cat([tokens, tokens.new_zeros(len(tokens), zeros, tokens.shape[-1])], dim=1), pooled

    def parts(self) -> StableDiffusion3Pipeline:
        """As diffusers has it."""
        made: Any = StableDiffusion3Pipeline  # its annotations deny that a part may be left out
        return made(
            transformer=self.net,
            scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0),
            vae=self._frozen[0],
            text_encoder=self.text,
            tokenizer=self.tokenizer,
            text_encoder_2=self.text_2,
            tokenizer_2=self.tokenizer,
            text_encoder_3=None,
            tokenizer_3=None,
        )


__all__ = ["Lesson"]
