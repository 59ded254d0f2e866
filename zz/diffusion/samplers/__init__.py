"""Samplers: a loop over steps. One method, one page."""

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.controls import GuidanceMatched
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.fixed_point import FixedPoint, Residuals
from zz.diffusion.samplers.free_init import FreeInit
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.reflection import Reflection
from zz.diffusion.samplers.repaint import RePaint
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag

__all__ = [
    "EndToEnd",
    "FixedPoint",
    "FreeInit",
    "GuidanceMatched",
    "ImplicitZigzag",
    "RePaint",
    "Reflection",
    "Resampling",
    "Residuals",
    "Sampler",
    "Standard",
    "Zigzag",
]
