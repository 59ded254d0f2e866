"""Samplers: a loop over steps. One method, one page."""

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.samplers.controls import GuidanceMatched
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.free_init import FreeInit
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag

__all__ = ["EndToEnd", "FreeInit", "GuidanceMatched", "Resampling", "Sampler", "Standard", "Zigzag"]
