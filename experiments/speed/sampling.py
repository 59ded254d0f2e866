"""What sampling costs beside the usual way: zigzag beside its authors' loop, standard sampling beside diffusers' own.

Claim:   none of the paper's; whoever changes over should not wait longer
Command: python -m zz.experiments.speed.sampling
Cost:    about six minutes on two CPU cores; the two sides of a pair alternate, so that load falls on both
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMInverseScheduler, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

import zz
from zz.hub.files import resolve

Side = Callable[[], Any]  # makes the pictures of a pair
Pipe = Any  # a StableDiffusionPipeline, whose parts diffusers does not annotate


def embedded() -> Pipe:
    """The model that comes with zz, as diffusers opens it."""
    pipe: Pipe = StableDiffusionPipeline.from_pretrained(resolve("zz:shapes"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def larger(small: Pipe) -> Pipe:
    """A random U-Net of 110 million parameters on 32 x 32 latents, with the text encoder of the small model."""
    torch.manual_seed(0)
    unet: Any = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(144, 288, 560),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=3,
        attention_head_dim=8,
        norm_num_groups=16,
        cross_attention_dim=small.unet.config.cross_attention_dim,
    )
    vae: Any = AutoencoderKL(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    )
    pipe: Pipe = StableDiffusionPipeline(
        **(small.components | {"unet": unet.eval(), "vae": vae.eval()}), requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def authors_loop(pipe: Pipe, prompt: str, seed: int, steps: int, gamma1: float, gamma2: float) -> Any:
    """Zigzag as the official code runs it: one picture, both branches on every leg, the schedulers of diffusers."""
    forward, back = (
        DDIMScheduler.from_config(pipe.scheduler.config),
        DDIMInverseScheduler.from_config(pipe.scheduler.config),
    )
    forward.set_timesteps(steps)
    back.set_timesteps(steps)
    cond, uncond = pipe.encode_prompt(prompt, "cpu", 1, True)
    both, side = torch.cat([uncond, cond]), pipe.unet.config.sample_size
    x = torch.randn(1, pipe.unet.config.in_channels, side, side, generator=torch.Generator().manual_seed(seed))

    def eps(x: torch.Tensor, t: torch.Tensor, gamma: float) -> torch.Tensor:
        u, c = pipe.unet(torch.cat([x, x]), t, encoder_hidden_states=both, return_dict=False)[0].chunk(2)
        return u + gamma * (c - u)

    for i, t in enumerate(forward.timesteps):
        x = forward.step(eps(x, t, gamma1), t, x, return_dict=False)[0]
        if i < steps - 1:
            x = back.step(eps(x, t, gamma2), t, x, return_dict=False)[0]
            x = forward.step(eps(x, t, gamma1), t, x, return_dict=False)[0]
    decoded = pipe.vae.decode(x / pipe.vae.config.scaling_factor, return_dict=False)[0]
    return pipe.image_processor.postprocess(decoded)


def pairs(pipe: Pipe, batch: int, steps: int, gamma1: float) -> dict[str, tuple[Side, Side]]:
    """By name: theirs and ours, each making `batch` pictures."""
    prompts = ["a red circle", "a blue square", "a green triangle", "two yellow stars"] * (batch // 4 or 1)
    prompts, seeds = prompts[:batch], list(range(batch))
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor

    def ours(sampler: Any) -> Side:
        return lambda: zz.sample(pipe, prompts, sampler=sampler, steps=steps, size=side)

    def theirs() -> list[Any]:
        return [
            authors_loop(pipe, prompt, seed, steps, gamma1, 0.0) for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def diffusers() -> Any:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return pipe(
            prompts, height=side, width=side, num_inference_steps=steps, guidance_scale=gamma1, generator=generators
        )

    return {
        f"zigzag, batch {batch}, beside its authors' loop": (theirs, ours(zz.Zigzag(gamma1))),
        f"standard, batch {batch}, beside diffusers' pipeline": (diffusers, ours(zz.Standard(gamma1))),
    }


def compare(theirs: Side, ours: Side, repeats: int) -> list[tuple[float, float]]:
    """Seconds of each, in turns, after one turn that is not counted."""
    found = []
    for n in range(repeats + 1):
        first, second = (theirs, ours) if n % 2 else (ours, theirs)
        spent = {side: _seconds(side) for side in (first, second)}
        found.append((spent[theirs], spent[ours]))
    return found[1:]


def _seconds(work: Side) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    small = embedded()
    large = larger(small)
    for title, pipe, batches, steps in (("embedded model", small, (1, 16), 20), ("larger U-Net", large, (1,), 10)):
        millions = sum(p.numel() for p in pipe.unet.parameters()) / 1e6
        for batch in batches:
            for name, (theirs, ours) in pairs(pipe, batch, steps, 2.0).items():
                spent = compare(theirs, ours, asked.pairs)
                ratios = [one / other for one, other in spent]
                seconds = " / ".join(f"{np.median(column):.2f}" for column in zip(*spent, strict=True))
                low, high = min(ratios), max(ratios)
                print(
                    f"{title} ({millions:.1f} M), {name}: {np.median(ratios):.2f} times as fast "
                    f"({low:.2f} to {high:.2f}; {seconds} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
