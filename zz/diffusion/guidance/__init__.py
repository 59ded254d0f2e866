"""Guidance: from what a network says with and without the prompt, to one prediction."""

from zz.diffusion.guidance.base import Denoiser, Guidance, Guided, Told
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.embedded import Embedded

__all__ = ["CFG", "Denoiser", "Embedded", "Guidance", "Guided", "Told"]
