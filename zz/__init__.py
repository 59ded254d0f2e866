"""Zigzag Diffusion Sampling (Bai et al., ICLR 2025): the reference implementation, and its laboratory.

Names are looked up when first used, so that commands which need no torch start without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "sample": "zz.sampling",
    "invert": "zz.inversion",
    "Standard": "zz.diffusion.samplers",
    "Zigzag": "zz.diffusion.samplers",
    "EndToEnd": "zz.diffusion.samplers",
    "Resampling": "zz.diffusion.samplers",
    "FreeInit": "zz.diffusion.samplers",
    "GuidanceMatched": "zz.diffusion.samplers",
    "ImplicitZigzag": "zz.diffusion.samplers",
    "FixedPoint": "zz.diffusion.samplers",
    "Residuals": "zz.diffusion.samplers",
    "RePaint": "zz.diffusion.samplers",
    "Reflection": "zz.diffusion.samplers",
    "DDIM": "zz.diffusion.solvers",
    "EulerAncestral": "zz.diffusion.solvers",
    "EulerAncestralStored": "zz.diffusion.solvers",
    "DPMpp2M": "zz.diffusion.solvers",
    "NoisyInversion": "zz.diffusion.solvers",
    "CFG": "zz.diffusion.guidance",
    "Embedded": "zz.diffusion.guidance",
    "CFGpp": "zz.diffusion.guidance",
    "Interval": "zz.diffusion.guidance",
    "PAG": "zz.diffusion.guidance",
    "SAG": "zz.diffusion.guidance",
    "SCFG": "zz.diffusion.guidance",
    "SEG": "zz.diffusion.guidance",
    "AYS": "zz.diffusion.ays",
    "Karras": "zz.diffusion.karras",
    "Reflections": "zz.diffusion.theorems",
    "Mixture": "zz.models.mixture",
    "Network": "zz.models.networks",
    "Networks": "zz.models.networks",
    "StableDiffusion": "zz.models.sd",
    "shapes": "zz.models.shapes",
    "StableDiffusionXL": "zz.models.sdxl",
    "HunyuanDiT": "zz.models.hunyuan_dit",
    "StableDiffusion3": "zz.models.sd3",
    "Flux": "zz.models.flux",
    "AnimateDiff": "zz.models.animatediff",
    "AttentionMaps": "zz.models.attention",
}

if TYPE_CHECKING:
    from zz.diffusion.ays import AYS as AYS
    from zz.diffusion.guidance import CFG as CFG
    from zz.diffusion.guidance import PAG as PAG
    from zz.diffusion.guidance import SAG as SAG
    from zz.diffusion.guidance import SCFG as SCFG
    from zz.diffusion.guidance import SEG as SEG
    from zz.diffusion.guidance import CFGpp as CFGpp
    from zz.diffusion.guidance import Embedded as Embedded
    from zz.diffusion.guidance import Interval as Interval
    from zz.diffusion.karras import Karras as Karras
    from zz.diffusion.samplers import EndToEnd as EndToEnd
    from zz.diffusion.samplers import FixedPoint as FixedPoint
    from zz.diffusion.samplers import FreeInit as FreeInit
    from zz.diffusion.samplers import GuidanceMatched as GuidanceMatched
    from zz.diffusion.samplers import ImplicitZigzag as ImplicitZigzag
    from zz.diffusion.samplers import Reflection as Reflection
    from zz.diffusion.samplers import RePaint as RePaint
    from zz.diffusion.samplers import Resampling as Resampling
    from zz.diffusion.samplers import Residuals as Residuals
    from zz.diffusion.samplers import Standard as Standard
    from zz.diffusion.samplers import Zigzag as Zigzag
    from zz.diffusion.solvers import DDIM as DDIM
    from zz.diffusion.solvers import DPMpp2M as DPMpp2M
    from zz.diffusion.solvers import EulerAncestral as EulerAncestral
    from zz.diffusion.solvers import EulerAncestralStored as EulerAncestralStored
    from zz.diffusion.solvers import NoisyInversion as NoisyInversion
    from zz.diffusion.theorems import Reflections as Reflections
    from zz.inversion import invert as invert
    from zz.models.animatediff import AnimateDiff as AnimateDiff
    from zz.models.attention import AttentionMaps as AttentionMaps
    from zz.models.flux import Flux as Flux
    from zz.models.hunyuan_dit import HunyuanDiT as HunyuanDiT
    from zz.models.mixture import Mixture as Mixture
    from zz.models.networks import Network as Network
    from zz.models.networks import Networks as Networks
    from zz.models.sd import StableDiffusion as StableDiffusion
    from zz.models.sd3 import StableDiffusion3 as StableDiffusion3
    from zz.models.sdxl import StableDiffusionXL as StableDiffusionXL
    from zz.models.shapes import shapes as shapes
    from zz.sampling import sample as sample


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'zz' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
