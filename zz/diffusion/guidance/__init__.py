"""Guidance: from what a network says with and without the prompt, to one prediction."""

from zz.diffusion.guidance.base import Denoiser, Guidance, Guided
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp

__all__ = ["CFG", "CFGpp", "Denoiser", "Guidance", "Guided"]
