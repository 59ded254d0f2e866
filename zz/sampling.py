"""The method for anyone's script: `zz.sample`. It knows no Hydra, no store and no cell."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from zz.diffusion.fields import check_choice, check_count
from zz.diffusion.guidance import CFG, Guidance
from zz.diffusion.memory import Memory
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.samplers import FixedPoint, FreeInit, Sampler, Zigzag
from zz.diffusion.solvers import DDIM, Solver
from zz.diffusion.spacing import Own, Spacing
from zz.diffusion.trajectory import Probe, silent
from zz.models.adapt import adapted
from zz.models.base import Model, Pipeline


def sample(
    model: Model | Pipeline | object,
    prompts: str | Sequence[str],
    *,
    sampler: Sampler | None = None,
    steps: int = 50,
    size: int | tuple[int, int] | None = None,
    seeds: Sequence[int] | None = None,
    negative_prompt: str | Sequence[str | None] | None = None,
    solver: Solver | None = None,
    guidance: Guidance | None = None,
    schedule: Spacing | None = None,
    initial_latents: Tensor | None = None,
    output: Literal["image", "latent"] = "image",
    batch_size: int | None = None,
    device: str | None = None,
    probe: Probe = silent,
) -> list[Any] | Tensor:
    """Sample one picture a prompt, or one clip.

    model:           a model's description, or one that is open already: ours, or a diffusers pipeline as it is
    prompts:         a prompt or a list of B
    sampler:         zz.Zigzag() by default; also zz.Standard, zz.EndToEnd, zz.Resampling, ...
    steps:           T
    size:            pixels a side, or (height, width); the model's own by default
    seeds:           B whole numbers; 0, 1, 2, ... by default
    negative_prompt: one for all, or B; None is the model's null condition
    solver:          zz.DDIM() by default
    guidance:        zz.CFG() by default
    schedule:        a spacing; the model's own by default
    initial_latents: (B, C, h, w), of clips (B, C, F, h, w), in place of the starting noise, such as zz.invert gives
    output:          `image` gives B PIL images, of clips B lists of F frames; `latent` a tensor like initial_latents
    batch_size:      how many at once; all by default
    device:          where to open a description; the first GPU, or the CPU where there is none
    probe:           called with every `Step`

    Raises ValueError with the field, the value and what it may be.
    """
    texts = listed_prompts(prompts)
    chosen = list(range(len(texts))) if seeds is None else _listed(seeds)
    check_kind("initial_latents", initial_latents, Tensor)
    if not isinstance(negative_prompt, str | Sequence | None):
        raise ValueError(f"negative_prompt={negative_prompt!r} must be a text, or a list of one (or None) each prompt")
    negatives = [negative_prompt] * len(texts) if isinstance(negative_prompt, str | None) else list(negative_prompt)
    for name, values in (("seeds", chosen), ("negative_prompt", negatives), ("initial_latents", initial_latents)):
        if values is not None and len(values) != len(texts):
            raise ValueError(f"{name} has {len(values)} entries for {len(texts)} prompts; give one each")
    for seed in chosen:
        check_count("seeds", seed)
    check_count("steps", steps, 1)
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
    check_choice("output", output, ("image", "latent"))
    check_kind("sampler", sampler, Sampler)
    check_kind("solver", solver, Solver)
    check_kind("guidance", guidance, Guidance)
    check_kind("schedule", schedule, Spacing)
    check_pair(sampler or Zigzag(), guidance or CFG(), model)
    check_guidance(guidance or CFG(), model, negatives)
    if size is None and isinstance(model, Model):
        size = model.size
    opened = opening(model, pair(size) if size is not None else None, texts, device)
    width = batch_size or len(texts)
    latents: list[Tensor] = []
    images: list[Any] = []
    with opened as pipeline:
        if size is None and initial_latents is None:
            size = pipeline.size
            if size is None:
                raise ValueError("size is needed with a model that is open already")
        for start in range(0, len(texts), width):
            part = slice(start, start + width)
            x = draw(
                pipeline,
                pipeline.encode(texts[part], negatives[part]),
                chosen[part],
                sampler=sampler or Zigzag(),
                solver=solver or DDIM(),
                guidance=guidance or CFG(),
                spacing=schedule or Own(),
                steps=steps,
                size=pair(size) if size is not None else None,
                x_T=None if initial_latents is None else initial_latents[part],
                probe=probe,
            )
            if output == "latent":
                latents.append(x)
            else:
                images += [_shown(picture) for picture in pipeline.decode(x)]
    return torch.cat(latents) if output == "latent" else images


@torch.no_grad()
def draw(
    pipeline: Pipeline,
    conditions: tuple[Any, Any],
    seeds: Sequence[int],
    *,
    sampler: Sampler,
    solver: Solver,
    guidance: Guidance,
    spacing: Spacing,
    steps: int,
    size: tuple[int, int] | None,
    x_T: Tensor | None = None,
    probe: Probe = silent,
    memory: Memory | None = None,
) -> Tensor:
    """One batch, from noise to latents (B, *shape).

    conditions: what `pipeline.encode` gave for the prompts and the negative prompts
    memory:     shared between batches of the same prompts, seeds and settings that differ in the sampler only
    """
    check_pair(sampler, guidance, pipeline)
    shape = pipeline.shape(size) if size is not None else tuple(x_T.shape[1:])  # type: ignore[union-attr]
    if x_T is not None and tuple(x_T.shape[1:]) != tuple(shape):
        raise ValueError(f"initial_latents has shape {tuple(x_T.shape)}; this size needs (B, *{tuple(shape)})")
    cond, uncond = conditions
    start = starting_noise(seeds, shape) if x_T is None else x_T.float()  # the state is float32, whatever is given
    guided = pipeline.bind(guidance, cond, uncond)
    nodes = spacing.bind(pipeline.spacing)
    return sampler.sample(
        guided if memory is None else memory.of(guided),
        start.to(pipeline.device),
        (nodes if size is None else nodes.sized(size)).schedule(pipeline.curve, steps),
        solver,
        KeyedNoise(tuple(seeds), tuple(shape)),
        probe,
    )


def opening(
    model: Any, size: tuple[int, int] | None, prompts: Sequence[str], device: str | None
) -> AbstractContextManager[Pipeline]:
    """A description, opened where it fits; what is open already, which stays open; a diffusers pipeline, borrowed."""
    if not isinstance(model, Model):
        return nullcontext(model) if isinstance(model, Pipeline) else adapted(model)
    model.check(size or model.size, prompts)
    if device and device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device}: torch sees no GPU here; choose cpu")
    return model.open(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _shown(pixels: Tensor) -> Image.Image | list[Image.Image]:
    """A picture (H, W, 3), or the frames of a clip (F, H, W, 3)."""
    return [Image.fromarray(f.numpy()) for f in pixels] if pixels.ndim == 4 else Image.fromarray(pixels.numpy())


_EXAMPLES = {
    "sampler": "zz.Zigzag(gamma1=5.5)",
    "solver": "zz.DDIM()",
    "guidance": "zz.CFG()",
    "schedule": "zz.diffusion.spacing.Timesteps('trailing', 0)",
    "initial_latents": "a torch tensor (B, C, h, w)",
}


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise ValueError on a value that is given and not of its kind."""
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{name}={value!r} must be a {kind.__name__}, such as {_EXAMPLES[name]}")


def listed_prompts(prompts: str | Sequence[str]) -> list[str]:
    """One prompt or several, as a list."""
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"prompts={prompts!r} must be a text, or a list of at least one")
    return texts


def _listed(seeds: Any) -> list[Any]:
    try:
        return [int(n) if hasattr(n, "__index__") else n for n in seeds]  # numpy's and torch's integers too
    except TypeError:
        raise ValueError(f"seeds={seeds!r} must be a list of whole numbers, one a prompt") from None


def check_pair(sampler: Sampler, guidance: Guidance, model: Any) -> None:
    """Raise ValueError on a sampler or a model that does not go with a guidance. model: open or not."""
    check_guidance(guidance, model)
    if isinstance(sampler, FreeInit):
        sampler = sampler.inner
    for name, value in vars(sampler).items():
        if name.startswith("gamma") and isinstance(value, int | float):
            guidance.check(name, value)
    if sampler.linear and not guidance.linear:
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(sampler).__name__).lower()
        raise ValueError(f"sampler={name} needs a guidance that is linear in gamma: guidance=cfg, rescale 0")
    if isinstance(sampler, FixedPoint) and sampler.iterations and sampler.gamma2 != 0 and not guidance.on_line:
        raise ValueError(
            f"sampler=fixed_point settles one eps, but guidance={type(guidance).__name__} moves up with two of them at "
            f"gamma2={sampler.gamma2}; choose gamma2=0, or sampler=zigzag"
        )


def check_guidance(guidance: Guidance, model: Any, negative_prompts: Sequence[str | None] = ()) -> None:
    """Raise ValueError where a model's network has not what a guidance needs, or a negative prompt is lost on it.

    model: open or not
    """
    ours = isinstance(model, Model | Pipeline)
    what = f"model={model.name}" if isinstance(model, Model) else f"the {type(model).__name__}"
    if guidance.taps and ours and not model.tappable:
        raise ValueError(
            f"guidance={type(guidance).__name__} reaches into a U-Net's self-attention, which {what} has not; "
            "choose cfg, cfgpp, or a model of Stable Diffusion"
        )
    if guidance.embedded and ours and not model.embeds_guidance:
        raise ValueError(
            f"guidance={type(guidance).__name__} tells the network gamma, which that of {what} was not made for; "
            "choose cfg, or a model like FLUX.1-dev"
        )
    own = model.negative_prompts if isinstance(model, Model) else ()
    if guidance.embedded and any(negative is not None for negative in (*negative_prompts, *own)):
        raise ValueError("negative_prompt has no part in guidance=embedded; leave it null, or choose guidance=cfg")


def pair(size: Any) -> tuple[int, int]:
    """(height, width) from an int or a pair."""
    both = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(both) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in both):
        raise ValueError(f"size={size!r} must be a whole number of pixels, or [height,width]")
    return both
