"""A diffusers pipeline that someone has already loaded, as one of ours. It is left as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

from zz.models.base import Pipeline

HOMES = {  # by diffusers' name
    "StableDiffusionPipeline": "zz.models.sd",
    "StableDiffusionXLPipeline": "zz.models.sdxl",
    "HunyuanDiTPipeline": "zz.models.hunyuan_dit",
    "StableDiffusion3Pipeline": "zz.models.sd3",
    "FluxPipeline": "zz.models.flux",
    "AnimateDiffPipeline": "zz.models.animatediff",
}


@contextmanager
def adapted(parts: Any) -> Iterator[Pipeline]:
    """Ours over the very parts of a diffusers pipeline, for as long as the `with` lasts.

    Its networks do not drop out meanwhile; scheduler, device, types and attention processors are not touched.
    Raises ValueError on anything else, with what is supported.
    """
    known = [kind.__name__ for kind in type(parts).__mro__ if kind.__module__.startswith("diffusers.")]
    name = next((name for name in known if name in HOMES), None)
    if name is None:
        what = f"model is a {type(parts).__name__}, which is not supported" if known else f"model={parts!r} is no model"
        raise ValueError(f"{what}; give one of zz's, such as zz.Mixture(), or diffusers' {', '.join(HOMES)}")
    modules = [m for part in parts.components.values() if isinstance(part, torch.nn.Module) for m in part.modules()]
    training = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield getattr(import_module(HOMES[name]), name)(parts)
    finally:
        parts.maybe_free_model_hooks()  # offloaded parts go back to wait
        for module, before in zip(modules, training, strict=True):
            module.training = before


__all__ = ["adapted"]
