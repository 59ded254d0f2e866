"""A real picture back to noise: `zz.invert` (Bai et al. 2025, Appendix C.2, Figures 12 and 13; Mokady et al. 2023)."""

from collections.abc import Sequence
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from zz.diffusion.finite import WEIGHTS, checked, naming, walked
from zz.diffusion.guidance.base import Guidance
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.noise import KeyedNoise
from zz.diffusion.probes.step import Probe, no_op
from zz.diffusion.samplers.walk import NetworkTime, Time, Walk
from zz.diffusion.schedules.base import ModelSchedule, Schedule
from zz.diffusion.solvers.base import Solver
from zz.diffusion.solvers.ddim import DDIM
from zz.diffusion.validate import check_choice, check_count, check_number, check_text
from zz.models.base import Model, Pipeline
from zz.models.compatible import check_guidance
from zz.sampling import check_kind, listed_prompts, opening, refuse_others, tell_of_cut

ENCODED = f"the autoencoder's latents of the picture are not finite; {WEIGHTS}"


@torch.no_grad()
def invert(
    model: Model | Pipeline,
    images: Image.Image | Sequence[Image.Image],
    prompts: str | Sequence[str],
    *,
    gamma: float = 0.0,
    steps: int = 50,
    negative_prompt: str | None = None,
    solver: Solver | None = None,
    guidance: Guidance | None = None,
    schedule: Schedule | None = None,
    network_time: NetworkTime = "t",
    v_at: Time = "t",
    batch_size: int | None = None,
    device: str | None = None,
    probe: Probe = no_op,
    **others: Any,
) -> Tensor:
    """Latents (B, C, h, w) at node 0, which `zz.sample(..., initial_latents=...)` starts from on the same nodes.

    A picture's latent is put on the last node as it is, with no noise added where that node is not clean: sampling
    decodes what stands there, so that the way up starts just where a way down ends.

    model:           a model's description, or one that is open already
    images:          B PIL pictures of one size that the model takes; made RGB and upright, transparency dropped
    prompts:         one for all, or B; gamma = 0 does not look at them
    gamma:           guidance of the way up; 0 is unconditional
    steps:           T
    negative_prompt: for all; None is the model's null condition
    solver:          zz.DDIM() by default
    guidance:        zz.CFG() by default
    schedule:        a rule for the nodes; the model's own by default
    network_time:    the time that the network is given: of the noisier node t (Eq. 4), of the cleaner s, or `even`
    v_at:            the level at which a v-prediction is read: t, or where the latent lies, s (as diffusers); no
                     other prediction heeds it, a flow's velocity is read where the latent lies
    batch_size:      how many at once; all by default
    device:          where to open a description; the first GPU, or the CPU where there is none
    probe:           called with every `Step`

    Raises ValueError with the field, the value and what it may be (for diffusers' words, with ours), and `NotFinite`,
    which is one, where latents are not finite.
    """
    refuse_others("zz.invert", others)
    check_text("negative_prompt", negative_prompt)
    pictures = read([images] if isinstance(images, Image.Image) else images)
    B, size = len(pictures), (pictures.shape[1], pictures.shape[2])
    texts = listed_prompts(prompts) * (B if isinstance(prompts, str) else 1)
    if len(texts) != B:
        raise ValueError(f"prompts has {len(texts)} entries for {B} images; give one for all, or one each")
    check_number("gamma", gamma)
    check_count("steps", steps, 1)
    check_choice("network_time", network_time, get_args(NetworkTime))
    check_choice("v_at", v_at, ("t", "s"))
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
    check_kind("solver", solver, Solver)
    check_kind("guidance", guidance, Guidance)
    check_kind("schedule", schedule, Schedule)
    (guidance or CFG()).check("gamma", gamma)
    check_guidance(guidance or CFG(), model)
    latents = []
    with opening(model, size, texts, device) as pipeline:
        shape = pipeline.shape(size)
        check_guidance(guidance or CFG(), pipeline, [negative_prompt])
        nodes = (schedule or ModelSchedule()).bind(pipeline.schedule).sized(size).nodes(pipeline.levels, steps)
        tell_of_cut(pipeline, [*texts, negative_prompt])
        rule = guidance or CFG()
        rule.check_nodes(nodes)

        def up(noise: KeyedNoise, x: Tensor, conditions: Any, probe: Probe) -> Tensor:
            bound = pipeline.bind(rule.for_nodes(nodes).for_seeds(noise.seeds), *conditions)
            walk = Walk(bound, nodes, solver or DDIM(), noise, probe)
            for i in reversed(range(steps)):
                x = walk.up(x, i, gamma, network_time=network_time, v_at=v_at)
            return x

        for chosen in torch.arange(B).split(batch_size or B):
            conditions = pipeline.encode([texts[b] for b in chosen], [negative_prompt] * len(chosen))
            noise = KeyedNoise(tuple(chosen.tolist()), shape)
            with naming("images", int(chosen[0])):
                clean = checked(pipeline.encode_image(pictures[chosen]), ENCODED)
                latents.append(walked(partial(up, noise), clean, conditions, probe))
    return torch.cat(latents)


_TURNS = {  # by EXIF's orientation: what sets a picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read(images: Any) -> Tensor:
    """PIL pictures of one size as (B, H, W, 3), uint8. Raises ValueError on what is none, or not of one size."""
    if not isinstance(images, list | tuple) or not images:
        raise ValueError(f"images={images!r} must be a PIL picture, or a list of at least one")
    pictures = []
    for b, image in enumerate(images):
        if not isinstance(image, Image.Image):
            raise ValueError(f"images[{b}]={image!r} is no PIL picture; open a file with PIL.Image.open")
        if image.mode[0] in "IF":
            raise ValueError(f"images[{b}] has mode {image.mode}, more than 8 bits; save it with 8 bits a channel")
        if not image.width or not image.height:
            raise ValueError(f"images[{b}] is {image.height}x{image.width} pixels, none at all; give another")
        try:
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # a camera's previews are no frames
            pictures.append(_upright(image))
        except Exception as error:  # any that Pillow's readers raise
            raise ValueError(f"images[{b}] cannot be read: {error}; replace the file, or save it as RGB") from error
        if frames > 1:
            raise ValueError(f"images[{b}] has {frames} frames; seek one and give its copy()")
    if len(sizes := sorted({f"{p.height}x{p.width}" for p in pictures})) > 1:
        raise ValueError(f"images are {', '.join(sizes)} pixels; crop or resize them to one size")
    return torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))


def _upright(image: Image.Image) -> Image.Image:
    """A picture of any mode of 8 bits as RGB, turned as its EXIF says; transparency is dropped."""
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if image.mode in ("La", "RGBa", "P", "PA"):  # which are not, or not quite, converted in one step
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    rgb = image.convert("RGB")
    return rgb if turn is None else rgb.transpose(turn)
