"""The result of checking one requirement of a run: a line of the output of `zz.doctor`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One requirement of a run.

    name:   in one word
    state:  ok, missing (also: too little, or not as expected), or unknown
    found:  what there is
    remedy: what to do; "" if nothing
    """

    name: str
    state: Literal["ok", "missing", "unknown"]
    found: str
    remedy: str = ""

    @classmethod
    def disk(cls, name: str, path: Path, need_gb: float, remedy: str) -> "Check":
        """Whether `need_gb` GB can be written at `path`, which need not exist yet. Creates nothing."""
        above = next(p for p in (path.absolute(), *path.absolute().parents) if os.access(p, os.F_OK))
        if need_gb and not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            return cls(name, "missing", f"{path} cannot be written", remedy)
        free = shutil.disk_usage(above).free / 1e9
        found = f"{free:,.1f} GB free at {path}" + (f", {need_gb:.1f} GB needed" if need_gb else "")
        return cls(name, "ok", found) if free >= need_gb else cls(name, "missing", found, remedy)
