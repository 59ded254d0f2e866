"""Guidance: from what a network says with and without the prompt, to one prediction."""

from zz.diffusion.guidance.base import Branches, Denoiser, Guidance, Guided, Told
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.guidance.cfgpp import CFGpp
from zz.diffusion.guidance.embedded import Embedded
from zz.diffusion.guidance.interval import Interval
from zz.diffusion.guidance.pag import PAG
from zz.diffusion.guidance.sag import SAG
from zz.diffusion.guidance.scfg import SCFG
from zz.diffusion.guidance.seg import SEG

__all__ = [
    "CFG",
    "PAG",
    "SAG",
    "SCFG",
    "SEG",
    "Branches",
    "CFGpp",
    "Denoiser",
    "Embedded",
    "Guidance",
    "Guided",
    "Interval",
    "Told",
]
