"""Environments of workers: made by one command from a pinned file, below ~/.cache/zz/envs or in a folder of one's own.

A file of envs/ is installed in stages, which a line "# then" parts: the first with what it depends on, the others
exactly as they are listed, since the packages' own pins contradict each other.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from zz.hub.files import cache

HERE = Path(__file__).resolve().parent
NAMES = tuple(sorted(path.stem for path in (HERE / "envs").glob("*.txt")))
SCRIPTS = {"hpsv2": "score_hpsv2.py", "image_reward": "score_image_reward.py", "mmdet": "detect_mmdet.py"}
FULL = "complete"  # a file that says from which requirements an environment was made, once it is


def folder(name: str, at: str | None = None) -> Path:
    """Where an environment is, or will be."""
    return Path(at).expanduser() if at else cache() / "envs" / name


def requirements(name: str) -> str:
    """What it is made of. Raises ValueError on a name that is not known."""
    if name not in NAMES:
        raise ValueError(f"{name} is no environment; known are {', '.join(NAMES)}")
    return (HERE / "envs" / f"{name}.txt").read_text(encoding="utf-8")


def digest(name: str) -> str:
    """8 hex digits of what it is made of."""
    return sha256(requirements(name).encode()).hexdigest()[:8]


def create(name: str, at: str | None = None, python: str = sys.executable) -> Path:
    """Make it, or go on where making it was interrupted. Raises ValueError with the last line that pip said."""
    place, stages = folder(name, at), requirements(name).split("\n# then\n")
    _run([python, "-m", "venv", str(place)], f"{place} cannot be made")
    pip = [str(_python(place)), "-m", "pip", "install", "--disable-pip-version-check"]
    for n, stage in enumerate(stages):
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary, "requirements.txt")
            file.write_text(stage, encoding="utf-8")
            alone = ["--no-deps", "--no-build-isolation"] if n else []
            _run([*pip, *alone, "-r", str(file)], f"{name}: stage {n + 1} of {len(stages)} cannot be installed")
    (place / FULL).write_text(digest(name), encoding="utf-8")
    return place


def command(name: str, at: str | None = None) -> list[str]:
    """The command of its worker. Raises ValueError with the remedy where the environment is not there, or another."""
    place, remedy = folder(name, at), f"python -m zz.scorers.isolated {name}{f' {at}' if at else ''}"
    if not (place / FULL).is_file():
        raise ValueError(f"the environment of {name} is not in {place}; make it by: {remedy}")
    if (place / FULL).read_text(encoding="utf-8").strip() != digest(name):
        raise ValueError(f"{place} was made from other requirements than those of {name}; make it anew by: {remedy}")
    return [str(_python(place)), "-u", str(HERE / "workers" / SCRIPTS[name])]


def variables(device: str, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The worker's environment variables: none that leads it to this process's packages, and its one GPU, if any."""
    kept = {name: value for name, value in given.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    kind, _, number = device.partition(":")
    visible = [one for one in given.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    index = int(number or 0)
    gpu = visible[index] if index < len(visible) else str(index)
    return {**kept, "PYTHONNOUSERSITE": "1", "CUDA_VISIBLE_DEVICES": gpu if kind == "cuda" else ""}


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _run(command: list[str], problem: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "it said nothing")
        raise ValueError(f"{problem}: {said}")
