"""The method for anyone's script: `zz.sample`. It knows no Hydra, no store and no cell."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import index
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from zz.diffusion.finite import naming, walked
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.network import Guided
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.probes.step import Probe, no_op
from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.base import ModelSchedule, Schedule
from zz.diffusion.solvers.base import Solver
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.validate import as_tuple, check_choice, check_count, check_text
from zz.models.base import Model, Pipeline, cut_line
from zz.models.compatible import check_guidance, check_pair
from zz.models.pretrained.borrowed import adapted


def sample(
    model: Model | Pipeline | object,
    prompts: str | Sequence[str],
    *,
    sampler: Sampler | None = None,
    steps: int | None = None,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    negative_prompt: str | Sequence[str | None] | None = None,
    solver: Solver | None = None,
    guidance: Guidance | None = None,
    schedule: Schedule | None = None,
    initial_latents: Tensor | None = None,
    output: Literal["image", "latent"] = "image",
    batch_size: int | None = None,
    device: str | None = None,
    probe: Probe = no_op,
    **others: Any,
) -> list[Any] | Tensor:
    """Sample one picture a prompt, or one clip.

    model:           a model's description, or one that is open already: ours, or a diffusers pipeline as it is
    prompts:         a prompt or a list of B
    sampler:         zz.Zigzag at the model's own gamma1 by default (5.5 for one that is open already); also
                     zz.Standard, zz.EndToEnd, zz.Resampling, ...
    steps:           T; the model's own by default (50 for one that is open already)
    size:            pixels a side, or (height, width); the model's own by default
    seed:            prompt i is sampled with seed + i, as on the command line
    seeds:           B whole numbers, in place of seed + i
    negative_prompt: one for all, or B; None is the model's null condition
    solver:          zz.DDIM() by default
    guidance:        zz.CFG() by default
    schedule:        a rule for the nodes; the model's own by default
    initial_latents: (B, C, h, w), of clips (B, C, F, h, w), in place of the starting noise, such as zz.invert gives
    output:          `image` gives B PIL images, of clips B lists of F frames; `latent` a tensor like initial_latents
    batch_size:      how many at once; all by default
    device:          where to open a description; the first GPU, or the CPU where there is none
    probe:           called with every `Step`

    Raises ValueError with the field, the value and what it may be (for diffusers' words, with ours), and `NotFinite`,
    which is one, where a picture or its latents are not finite.
    """
    refuse_others("zz.sample", others)
    texts = listed_prompts(prompts)
    check_count("seed", seed := _whole(seed))
    if seeds is not None and seed:
        raise ValueError(f"seed={seed} and seeds={seeds!r} are both given; give one")
    chosen = [seed + i for i in range(len(texts))] if seeds is None else _listed(seeds)
    check_kind("initial_latents", initial_latents, Tensor)
    if not isinstance(negative_prompt, str | Sequence | None):
        raise ValueError(f"negative_prompt={negative_prompt!r} must be a text, or a list of one (or None) each prompt")
    negatives = [negative_prompt] * len(texts) if isinstance(negative_prompt, str | None) else list(negative_prompt)
    for name, values in (("seeds", chosen), ("negative_prompt", negatives), ("initial_latents", initial_latents)):
        if values is not None and len(values) != len(texts):
            raise ValueError(f"{name} has {len(values)} entries for {len(texts)} prompts; give one each")
    for one in chosen:
        check_count("seeds", one)
        if one >= 2**63:
            raise ValueError(f"seeds={one} is too large; it must stay below 2^63")
    for text in negatives:
        check_text("negative_prompt", text)
    if steps is not None:
        check_count("steps", steps, 1)
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
    check_choice("output", output, ("image", "latent"))
    check_kind("sampler", sampler, Sampler)
    check_kind("solver", solver, Solver)
    check_kind("guidance", guidance, Guidance)
    check_kind("schedule", schedule, Schedule)
    check_pair(sampler or Zigzag(), guidance or CFG(), model)
    check_guidance(guidance or CFG(), model, negatives)
    if isinstance(model, Model):
        size, steps, sampler = size or model.size, steps or model.steps, sampler or Zigzag(model.gamma1)
    opened = opening(model, pair(size) if size is not None else None, texts, device)
    width = batch_size or len(texts)
    latents: list[Tensor] = []
    images: list[Any] = []
    with opened as pipeline:
        if size is None and initial_latents is None:
            size = pipeline.size
            if size is None:
                raise ValueError("size is needed with a model that is open already")
        tell_of_cut(pipeline, [*texts, *negatives])
        for start in range(0, len(texts), width):
            part = slice(start, start + width)
            with naming("prompts", start):
                x = draw(
                    pipeline,
                    pipeline.encode(texts[part], negatives[part]),
                    chosen[part],
                    sampler=sampler or Zigzag(),
                    solver=solver or DDIM(),
                    guidance=guidance or CFG(),
                    schedule=schedule or ModelSchedule(),
                    steps=steps or 50,
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
    schedule: Schedule,
    steps: int,
    size: tuple[int, int] | None,
    x_T: Tensor | None = None,
    probe: Probe = no_op,
    around: Callable[[Guided], Guided] | None = None,
) -> Tensor:
    """One batch, from noise to latents (B, *shape).

    conditions: what `pipeline.encode` gave for the prompts and the negative prompts
    around:     wraps what the sampler asks, as a prefix cache does

    Raises NotFinite, with the latents, where some are not finite.
    """
    check_pair(sampler, guidance, pipeline)
    shape = pipeline.shape(size) if size is not None else tuple(x_T.shape[1:])  # type: ignore[union-attr]
    if x_T is not None and tuple(x_T.shape[1:]) != tuple(shape):
        raise ValueError(f"initial_latents has shape {tuple(x_T.shape)}; this size needs (B, *{tuple(shape)})")
    rule = schedule.bind(pipeline.schedule)
    nodes = (rule if size is None else rule.sized(size)).nodes(pipeline.levels, steps)
    guidance.check_nodes(nodes)

    def walk(x: Tensor, conditions: tuple[Any, Any], probe: Probe) -> Tensor:
        guided = pipeline.bind(guidance.for_nodes(nodes).for_seeds(seeds), *conditions)
        noise = KeyedNoise(tuple(seeds), tuple(shape))
        return sampler.sample(guided if around is None else around(guided), x, nodes, solver, noise, probe)

    if x_T is None:
        start = pipeline.start(starting_noise(seeds, shape).to(pipeline.device), conditions[0])
    else:
        start = x_T.float().to(pipeline.device)  # the state is float32, whatever is given
    return walked(walk, start, conditions, probe)


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
    "schedule": "zz.diffusion.schedules.timesteps.Timesteps('trailing', 0)",
    "initial_latents": "a torch tensor (B, C, h, w)",
}


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise ValueError on a value that is given and not of its kind."""
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{name}={value!r} must be a {kind.__name__}, such as {_EXAMPLES[name]}")


def listed_prompts(prompts: str | Sequence[str]) -> list[str]:
    """One prompt or several, as a list."""
    texts = list(as_tuple(prompts))
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"prompts={prompts!r} must be a text, or a list of at least one")
    for text in texts:
        check_text("prompts", text)
    return texts


def _listed(seeds: Any) -> list[Any]:
    try:
        return [_whole(n) for n in seeds]
    except TypeError:
        raise ValueError(f"seeds={seeds!r} must be a list of whole numbers, one a prompt; or give seed=0") from None


def _whole(n: Any) -> Any:
    """numpy's and torch's integers as Python's; anything else as it is."""
    try:
        return n if isinstance(n, bool) else index(n)
    except TypeError:
        return n


_OURS = {  # by diffusers' word
    "generator": "seed=0 (prompt i is sampled with seed + i), or seeds=[...], one a prompt",
    "num_inference_steps": "steps=50",
    "timesteps": "steps=50 and schedule=...",
    "guidance_scale": "sampler=zz.Zigzag(gamma1=5.5), or zz.Standard(gamma1=5.5); zz.invert takes gamma=0.0",
    "guidance_rescale": "guidance=zz.CFG(rescale=0.7)",
    "prompt": "prompts",
    "num_images_per_prompt": "prompts=[prompt] * 4",
    "height": "size=(height, width)",
    "width": "size=(height, width)",
    "latents": "initial_latents",
    "output_type": 'output="image" or "latent"',
    "image": "zz.invert(model, images, prompts)",
    "eta": "solver=zz.EulerAncestral(eta=1.0)",
    "callback_on_step_end": "probe",
}


def refuse_others(function: str, words: Mapping[str, Any]) -> None:
    """Raise ValueError on a word of diffusers, with ours for it; TypeError, as Python does, on another."""
    for word, value in words.items():
        if word in _OURS:
            raise ValueError(f"{word}={value!r} is not a word of {function}; what it is here: {_OURS[word]}")
        raise TypeError(f"{function}() got an unexpected keyword argument {word!r}")


def tell_of_cut(pipeline: Pipeline, texts: Sequence[str | None]) -> None:
    """Warn, once, of prompts that a text encoder does not read to the end."""
    if cut := pipeline.cut(list(dict.fromkeys(text for text in texts if text is not None))):
        warnings.warn(cut_line(cut), stacklevel=3)


def pair(size: Any) -> tuple[int, int]:
    """(height, width) from an int or a pair."""
    both = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(both) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in both):
        raise ValueError(f"size={size!r} must be a whole number of pixels, or [height,width]")
    return both
