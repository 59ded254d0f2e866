"""A diffusers pipeline that the caller has loaded, as a zz pipeline. It is left as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any

import torch

import zz.models
from zz.models.base import Pipeline
from zz.models.pretrained.pipeline import LatentPipeline


@contextmanager
def adapted(parts: Any) -> Iterator[Pipeline]:
    """A zz pipeline with the parts of a diffusers pipeline, for as long as the `with` lasts.

    Dropout is off meanwhile; scheduler, device, dtypes and attention processors are not changed.
    Raises ValueError on anything else, with what is supported.
    """
    bases = [kind.__name__ for kind in type(parts).__mro__ if kind.__module__.startswith("diffusers.")]
    ours = supported()
    name = next((name for name in bases if name in ours), None)
    if name is None:
        what = f"model is a {type(parts).__name__}, which is not supported" if bases else f"model={parts!r} is no model"
        raise ValueError(f"{what}; give one of zz's, such as zz.Mixture(), or diffusers' {', '.join(sorted(ours))}")
    modules = [m for part in parts.components.values() if isinstance(part, torch.nn.Module) for m in part.modules()]
    training = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield ours[name](parts)
    finally:
        parts.maybe_free_model_hooks()  # offloaded parts go back to the CPU
        for module, before in zip(modules, training, strict=True):
            module.training = before


def supported() -> dict[str, type[LatentPipeline]]:
    """The pipelines of zz/models and of imported extensions, by the name of the diffusers class that they open."""
    for module in iter_modules(zz.models.__path__, "zz.models."):
        import_module(module.name)
    return {kind.__name__: kind for kind in _subclasses(LatentPipeline) if not isabstract(kind)}


def _subclasses(kind: type[Any]) -> Iterator[type[LatentPipeline]]:
    """Its direct and indirect subclasses."""
    for sub in kind.__subclasses__():
        yield sub
        yield from _subclasses(sub)


__all__ = ["adapted", "supported"]
