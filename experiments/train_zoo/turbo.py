"""`shapes_turbo` and `shapes_turbo_free`: few steps by progressive distillation (Salimans and Ho, 2022) of `shapes_v`.

A student learns to do in one DDIM step what its teacher does in two; then it is the teacher. It stays an ordinary
v-prediction model on its own nodes, so that guidance and inversion are defined on it as on any other: that is why it is
this method and not consistency or adversarial distillation, whose steps cannot be walked back.

`shapes_turbo` learns both branches and keeps guidance, as DreamShaper XL Turbo. The first teacher of
`shapes_turbo_free` is guided (Meng et al., 2023, with one scale), so that its student is sampled without, as
SDXL-Turbo.
"""

from copy import deepcopy
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn

from zz.experiments.train_shapes.export import pipeline
from zz.experiments.train_shapes.tokens import read
from zz.experiments.train_shapes.unet import latents, scheduler
from zz.experiments.train_shapes.world import Batch


class Lesson(nn.Module):
    """A student of `steps` steps; its forward is the loss of a batch, mean squared error of v.

    teacher: the parts of a v-prediction pipeline, which is done twice as many steps; its U-Net is not changed
    steps:   of the student, at trailing spacing
    gamma:   guidance of the teacher; None: none, so that the student has both branches
    """

    def __init__(self, teacher: Any, steps: int, gamma: float | None = None) -> None:
        super().__init__()
        unet = teacher.unet.eval().requires_grad_(False)
        self._frozen: list[Any] = [part.eval().requires_grad_(False) for part in (teacher.vae, teacher.text_encoder)]
        self._frozen.append(unet)  # in a list: they are no parameters of the lesson
        self.tokenizer = teacher.tokenizer
        self.unet = deepcopy(unet).requires_grad_(True)
        self.steps, self.gamma = steps, gamma
        trained = scheduler().alphas_cumprod
        self.times: Tensor
        self.abar: Tensor
        self.register_buffer("times", trailing(2 * steps), persistent=False)  # of the teacher
        self.register_buffer("abar", torch.cat([trained[self.times], trained[:1]]), persistent=False)  # and at the end

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        device = self.abar.device
        vae, text, teacher = (part.to(device) for part in self._frozen)
        x0, drawn = latents(vae, batch, rng, device)
        with torch.no_grad():
            at = 2 * torch.randint(self.steps, (len(x0),), generator=rng).to(device)
            signal, noise = self._levels(at)
            x = signal * x0 + noise * drawn
            cond, empty = (self._encode(text, captions) for captions in (batch.captions, [""] * len(x0)))
            end = x
            for step in (at, at + 1):
                v = teacher(end, self.times[step], encoder_hidden_states=cond).sample.float()
                if self.gamma is not None:
                    without = teacher(end, self.times[step], encoder_hidden_states=empty).sample.float()
                    v = without + self.gamma * (v - without)
                a, s = self._levels(step)
                clean, eps = a * end - s * v, s * end + a * v
                a, s = self._levels(step + 1)
                end = a * clean + s * eps
            share = s / noise  # the clean picture from which one step leads from x to where the teacher came
            target = (end - share * x) / (a - share * signal)
            wanted = (signal * x - target) / noise
        said = self.unet(x, self.times[at], encoder_hidden_states=cond).sample
        return (said.float() - wanted).square().mean()

    def _levels(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise at a node of the teacher  # (B, 1, 1, 1) each"""
        abar = self.abar[step].view(-1, 1, 1, 1)
        return abar.sqrt(), (1 - abar).sqrt()

    def _encode(self, text: Any, captions: list[str]) -> Tensor:
        return text(read(self.tokenizer, captions).to(self.abar.device)).last_hidden_state

    def parts(self) -> StableDiffusionPipeline:
        """As diffusers has it; the next student's teacher."""
        vae, text, _ = self._frozen
        made = pipeline(vae, self.unet, text, self.tokenizer, "v_prediction")
        made.scheduler = DDIMScheduler.from_config(made.scheduler.config, timestep_spacing="trailing")
        return made


def trailing(steps: int, N: int = 1000) -> Tensor:
    """Training times of so many steps, from pure noise down, as diffusers' trailing spacing  # (steps,)"""
    return (N - torch.arange(steps) * N / steps).round().long() - 1


__all__ = ["Lesson"]
