"""The import law: a floor knows only the floors below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "zz"
PLAIN = {"numpy", "scipy", "PIL"}  # numbers and pictures, no networks
GROUND = {"torch", *(f"zz.diffusion.{name}" for name in ("fields", "prediction", "schedule"))}

# (folder or file, what it may import beside the standard library and itself); the first match rules
LAW: list[tuple[str, set[str]]] = [
    ("diffusion/guidance", GROUND | {"zz.diffusion.trajectory"}),
    ("diffusion/solvers", GROUND),
    ("diffusion", {"torch"}),
    ("data", PLAIN),
    ("models/mixture.py", {"torch", "zz.diffusion", "zz.data", "zz.models"}),
    ("models/base.py", {"torch", "zz.diffusion"}),
    ("models/adapt.py", {"torch", "zz.models.base"}),
    (
        "models",
        {"torch", "huggingface_hub", "diffusers", "transformers", "safetensors", "zz.diffusion", "zz.data"} | PLAIN,
    ),
    ("scorers", {"torch", "transformers", "zz.data", "zz.models.quiet"} | PLAIN),
    ("sampling.py", {"torch", "PIL", "zz.diffusion", "zz.models.base", "zz.models.adapt"}),
    ("inversion.py", {"torch", "PIL", "numpy", "zz.diffusion", "zz.models.base", "zz.sampling"}),
    ("lab/cell.py", set()),
    ("lab/store.py", {"PIL", "zz.lab.cell"}),
    ("lab/stats.py", {"numpy", "scipy"}),
    ("lab/clips.py", {"torch", "PIL", "numpy", "av", "zz.lab"}),
    ("lab/worker.py", {"torch", "PIL", "lightning", "zz.diffusion", "zz.lab", "zz.models.base", "zz.sampling"}),
    ("lab", {"torch", "PIL", "zz.diffusion", "zz.models.base", "zz.scorers.base", "zz.sampling"}),
    ("cli", {"hydra", "omegaconf", "yaml", "rich", "zz.lab", "zz.models.base"}),
    ("__init__.py", {"zz"}),
    ("", {"hydra", "omegaconf", "rich", "zz"}),  # the roof
]


def imports(source: str) -> set[str]:
    """Every module that a source names in an import, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module or "")
    return found


def breaches(path: str, source: str) -> set[str]:
    """What the file at `path` (inside zz/) imports against the law."""
    room, allowed = next((room, allowed) for room, allowed in LAW if path.startswith(room))
    home = "zz." + room.removesuffix(".py").replace("/", ".") if room else "zz"
    permitted = allowed | {home, "zz.diffusion"} if path.startswith("diffusion/samplers") else allowed | {home}

    def fine(module: str) -> bool:
        top = module.split(".")[0]
        return top in sys.stdlib_module_names or any(module == m or module.startswith(m + ".") for m in permitted)

    return {module for module in imports(source) if not fine(module)}


FILES = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_a_floor_knows_only_the_floors_below_it(path):
    assert breaches(path, (ROOT / path).read_text()) == set()


@pytest.mark.parametrize(
    ("path", "line", "breach"),
    [
        ("diffusion/samplers/zigzag.py", "from zz.models.mixture import Mixture", "zz.models.mixture"),
        ("diffusion/samplers/zigzag.py", "import diffusers", "diffusers"),
        ("diffusion/solvers/ddim.py", "from zz.diffusion.samplers import Zigzag", "zz.diffusion.samplers"),
        ("models/mixture.py", "import diffusers", "diffusers"),
        ("lab/store.py", "import torch", "torch"),
        ("lab/runner.py", "from zz.models.mixture import Mixture", "zz.models.mixture"),
        ("lab/planner.py", "    from omegaconf import OmegaConf", "omegaconf"),
        ("sampling.py", "import hydra", "hydra"),
    ],
)
def test_the_law_can_be_broken(path, line, breach):
    source = (ROOT / path).read_text()
    broken = f"def inner():\n{line}\n" if line.startswith(" ") else f"{line}\n{source}"
    assert breach in breaches(path, broken)


def test_no_drawer_for_homeless_lines():
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert not [p for p in FILES if drawers & set(Path(p).with_suffix("").parts)]


@pytest.mark.parametrize(
    "command", ["import zz.models.mixture, zz.sampling", "import zz.run", "import zz.ls", "import zz.doctor"]
)
def test_the_exact_model_and_the_commands_need_no_diffusers(command):
    heavy = "{'diffusers', 'transformers', 'huggingface_hub', 'lightning', 'wandb', 'av'}"
    code = f"{command}; import sys; found = {heavy} & sys.modules.keys(); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_listing_a_store_needs_no_torch():
    code = "import zz.ls, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
