"""Whether a sampler, a guidance and a model are compatible, checked before anything is loaded."""

from collections.abc import Sequence
from typing import Any

from zz.diffusion.guidance.base import Guidance
from zz.diffusion.samplers.base import Sampler
from zz.models.base import Model, Pipeline

LACKING = {  # what a guidance needs and a model cannot, and what to do
    "taps": (
        "reaches into a U-Net's self-attention, which {what} has not",
        "choose guidance=cfg, guidance=cfgpp, or a model of Stable Diffusion",
    ),
    "scaled": (
        "tells the network gamma, which that of {what} was not made for",
        "choose guidance=cfg, or a model like FLUX.1-dev",
    ),
    "tokens": (
        "changes tokens of an encoded prompt, which {what} has not, or has in a form of its own",
        "choose guidance=cfg, or a Stable Diffusion",
    ),
    "inside": (
        "changes the network while it answers, which that of {what} does not allow",
        "choose guidance=cfg, or a model that diffusers loads",
    ),
    "blocks": (
        "leaves out transformer blocks, of which the network of {what} is no stack",
        "choose guidance=pag, or a transformer such as model=sd35",
    ),
    "weak": (
        "guides away from a weak network, and {what} is alone",
        "set weak.model, weak.unet, weak.lora or weak.prompt",
    ),
}


def check_pair(sampler: Sampler, guidance: Guidance, model: Any) -> None:
    """Raise ValueError if the sampler or the model is incompatible with the guidance.

    model: a description or an open pipeline
    """
    check_guidance(guidance, model)
    sampler.check(guidance)


def check_guidance(guidance: Guidance, model: Any, negative_prompts: Sequence[str | None] = ()) -> None:
    """Raise ValueError if the model lacks what the guidance needs, or the guidance ignores a negative prompt.

    model: a description or an open pipeline
    """
    ours = isinstance(model, Model | Pipeline)
    what = f"model={model.name}" if isinstance(model, Model) else f"the {type(model).__name__}"
    for name, (why, remedy) in LACKING.items():
        if getattr(guidance.needs, name) and ours and not getattr(model.can, name):
            raise ValueError(f"guidance={type(guidance).__name__} {why.format(what=what)}; {remedy}")
    own = model.negative_prompts if isinstance(model, Model) else ()
    if guidance.needs.scaled and any(negative is not None for negative in (*negative_prompts, *own)):
        raise ValueError(
            "negative_prompt has no part in guidance=embedded; choose negative_prompt=null or guidance=cfg"
        )
