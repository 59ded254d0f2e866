"""Zigzag Diffusion Sampling (Bai et al., ICLR 2025): the reference implementation, and its laboratory.

The public names are the classes of the rooms below, with `sample` and `invert`. They are found by reading the files, so
that a new file needs no list, and imported when first used, so that commands which need no torch start without it.
"""

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_ROOMS = (
    "diffusion/samplers/[!.]*.py",
    "diffusion/solvers/[!.]*.py",
    "diffusion/guidance/**/[!.]*.py",
    "diffusion/schedules/[!.]*.py",
    "diffusion/probes/[!.]*.py",
    "models/[!.]*.py",
    "models/attention/maps.py",
    "scorers/[!.]*.py",
    "scorers/geneval/[!.]*.py",
    "scorers/shapes/[!.]*.py",
    "scorers/video/[!.]*.py",
)
_OTHERS = {
    "sample": "zz.sampling",
    "invert": "zz.inversion",
    "score": "zz.scoring",
    "shapes": "zz.models.shapes",
    "Prompt": "zz.data.base",
}


@cache
def _homes() -> dict[str, str]:
    """Every public name, and the module that it is in."""
    here, found = Path(__file__).resolve().parent, dict[str, str]()
    for room in _ROOMS:
        for path in sorted(here.glob(room)):
            module = ".".join(("zz", *path.relative_to(here).with_suffix("").parts))
            for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(encoding="utf-8"), re.M):
                found.setdefault(name, module)
    return found | _OTHERS


def __getattr__(name: str) -> Any:
    if not name.startswith("__") and name in _homes():
        return getattr(import_module(_homes()[name]), name)
    raise AttributeError(f"module 'zz' has no attribute {name!r}; it has {', '.join(sorted(_homes()))}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_homes()])
