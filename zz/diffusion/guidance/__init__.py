"""Guidance: from what a network says with and without the prompt, to one prediction."""

from zz.diffusion.guidance.base import Branches, Denoiser, Guidance, Guided
from zz.diffusion.guidance.cfg import CFG

__all__ = ["CFG", "Branches", "Denoiser", "Guidance", "Guided"]
