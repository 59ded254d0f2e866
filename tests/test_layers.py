"""The import law: a floor knows only the floors below it; each rule is shown to bite on a planted breach."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ROOT = REPO / "zz"
NUMBERS = {"numpy", "scipy", "PIL"}  # numbers and pictures, no networks
MATHS = {"torch", "zz.diffusion"}
LAB = MATHS | {
    "numpy",
    "psutil",
    "lightning",
    "lightning_utilities",
    "zz.data",
    "zz.hub",
    "zz.models",
    "zz.sampling",
    "zz.scorers",
}
GROUND = {"torch", *(f"zz.diffusion.{n}" for n in ("validate", "prediction", "schedule", "leg", "network", "levels"))}
GUIDANCE = GROUND | {"zz.diffusion.noise", "zz.diffusion.outputs"}

# (folder or file, what it may import in addition to the standard library and its own room); the first match rules
LAW: list[tuple[str, set[str]]] = [
    ("diffusion/guidance", GUIDANCE),
    ("diffusion/solvers", GROUND),
    ("diffusion/schedules", GROUND),
    ("diffusion/probes", GROUND),
    ("diffusion/samplers", MATHS),
    ("diffusion/finite.py", MATHS | {"lightning_utilities"}),
    ("diffusion", {"torch"}),
    ("worlds", NUMBERS),
    ("hub", {"huggingface_hub", "safetensors", "filelock"}),
    ("data/reading.py", {"pyarrow", "zz.diffusion.validate"}),
    ("data", NUMBERS | {"zz.worlds", "zz.hub", "zz.diffusion.validate"}),
    ("models/mixture.py", MATHS | {"zz.worlds", "zz.models"}),
    ("models/base.py", MATHS),
    ("models/compatible.py", MATHS | {"zz.models.base"}),
    (
        "models",
        MATHS
        | NUMBERS
        | {"huggingface_hub", "diffusers", "transformers", "safetensors", "zz.worlds", "zz.hub", "zz.models"},
    ),
    ("scorers/isolated/protocol.py", set()),  # workers import it where nothing else of zz is
    ("scorers/isolated/workers", {"protocol", "torch", "PIL", "numpy", "hpsv2", "ImageReward", "mmcv", "mmdet"}),
    (
        "scorers",
        NUMBERS
        | {
            "torch",
            "transformers",
            "openai",  # a service that is asked to judge clips
            "zz.worlds",
            "zz.data",
            "zz.diffusion.validate",
            "zz.hub",
            "zz.models.pretrained.quiet",
        },
    ),
    ("sampling.py", MATHS | {"PIL", "zz.models"}),
    ("scoring.py", MATHS | NUMBERS | {"zz.data", "zz.scorers"}),
    ("inversion.py", MATHS | {"PIL", "numpy", "zz.models", "zz.sampling"}),
    ("lab/cell.py", set()),
    ("lab/store", {"PIL", "numpy", "zz.lab.cell"}),
    ("lab/stats.py", {"numpy", "scipy", "zz.scorers.interval"}),
    ("lab/video.py", {"PIL", "numpy", "av", "zz.lab"}),
    ("lab/loggers", LAB | {"PIL", "wandb", "zz.lab"}),
    ("lab", LAB | {"PIL", "zz.lab"}),
    (
        "cli/verbs",
        {
            "omegaconf",
            "rich",
            "wandb",
            "zz",
            "zz.analysis",
            "zz.cli",
            "zz.data",
            "zz.diffusion",
            "zz.hub",
            "zz.lab",
            "zz.models",
            "zz.scorers",
        },
    ),
    (
        "cli",
        {
            "hydra",
            "omegaconf",
            "yaml",
            "rich",
            "submitit",
            "zz.experiments.stand_ins",
            "zz.data",
            "zz.diffusion",
            "zz.hub",
            "zz.lab",
            "zz.models",
            "zz.sampling",
            "zz.scorers",
        },
    ),
    ("analysis/dashboard.py", {"wandb_workspaces", "zz.lab"}),
    (
        "analysis",
        NUMBERS
        | {
            "matplotlib",
            "pandas",
            "jinja2",
            "markupsafe",
            "zz",
            "zz.analysis",
            "zz.data",
            "zz.lab",
            "zz.scorers",
            "zz.diffusion",
            "zz.models",
            "zz.worlds",
        },
    ),
    (
        "experiments",
        NUMBERS
        | {
            "torch",
            "diffusers",
            "transformers",
            "safetensors",
            "lightning",
            "rich",
            "matplotlib",
            "hydra",
            "yaml",
            "zz",
            "zz.analysis",
            "zz.cli",
            "zz.data",
            "zz.diffusion",
            "zz.experiments",
            "zz.hub",
            "zz.inversion",
            "zz.lab",
            "zz.models",
            "zz.sampling",
            "zz.scoring",
            "zz.scorers",
            "zz.worlds",
        },
    ),
    ("__init__.py", {"zz"}),
    ("", {"zz.cli.command"}),  # the roof
]
COMMANDS = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "sampling", "scoring", "inversion"}
FILES = sorted(
    str(path.relative_to(ROOT))
    for folder in (ROOT, ROOT / "experiments", ROOT / "analysis")
    for path in folder.rglob("*.py")
    if folder != ROOT or path.relative_to(ROOT).parts[0] not in ("experiments", "analysis")
)


def imports(source: str) -> set[str]:
    """Every module that a source names in an import, wherever it stands; of `from a import b` both a and a.b."""
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
    home = {"zz." + room.removesuffix(".py").replace("/", ".")} if room else set()
    permitted = allowed | home

    def fine(module: str) -> bool:
        top = module.split(".")[0]
        if top in sys.stdlib_module_names or module in permitted:
            return True
        return any(module.startswith(m + ".") for m in permitted if m != "zz")

    return {module for module in imports(source) if not fine(module)}


def module_of(path: str) -> str:
    return ".".join(("zz", *Path(path).with_suffix("").parts)).removesuffix(".__init__")


def circles(sources: dict[str, str]) -> list[list[str]]:
    """Circles of files, by module; imports inside functions and under TYPE_CHECKING count."""
    graph = {}
    for module, source in sources.items():
        named = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                named |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
        graph[module] = (named & sources.keys()) - {module}
    found, done = [], set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append(trail[trail.index(module) :])
            return
        if module in done:
            return
        for other in sorted(graph[module]):
            visit(other, [*trail, module])
        done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def privates(source: str) -> set[str]:
    """Names with a leading underscore that are taken from another file of zz."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zz"):
            found |= {alias.name for alias in node.names if alias.name.startswith("_")}
    return found


def private_attributes(path: str, source: str) -> set[str]:
    """Private attributes of other objects than self, cls or this file's own classes' instances."""
    tree = ast.parse(source)
    own = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _is_self(n)}
    own |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    own |= {f.target.id for f in ast.walk(tree) if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)}
    ours = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _private(n.attr) and not _is_self(n)}
    return {name for name in ours - own if name in PRIVATE_NAMES - _defined(tree)}


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _defined(tree: ast.AST) -> set[str]:
    names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _is_self(n)}
    return {name for name in names if _private(name) and name not in ("_asdict", "_replace", "_fields")}


SOURCES = {path: (ROOT / path).read_text() for path in FILES}
PRIVATE_NAMES = set().union(*(_defined(ast.parse(source)) for source in SOURCES.values()))


def commands_imported(path: str, source: str) -> set[str]:
    """Commands that a command imports, and what a command does, which no file imports."""
    found = {module for module in imports(source) if module.startswith("zz.cli.verbs.")}
    if path.startswith("cli/verbs/") or ("/" not in path and Path(path).stem in COMMANDS):
        found |= {module for module in imports(source) if module[3:] in COMMANDS}
    return found


GENERIC = (
    "diffusion/samplers/base.py", "diffusion/samplers/walk.py", "diffusion/cost.py", "diffusion/budget.py",
    "diffusion/prefix_cache.py", "models/base.py", "models/compatible.py", "lab/", "cli/",
)  # fmt: skip
SAMPLERS = {path.stem for path in (ROOT / "diffusion/samplers").glob("*.py")} - {
    *("__init__", "base", "walk", "reflecting", "standard", "guidance_matched"),  # the frame, and the controls
}


def samplers_named(path: str, source: str) -> set[str]:
    """Single samplers that generic code imports; the controls are what everything is compared with."""
    if not path.startswith(GENERIC):
        return set()
    found = {module.rpartition(".")[2] for module in imports(source) if module.startswith("zz.diffusion.samplers.")}
    return found & SAMPLERS


@pytest.mark.parametrize("path", FILES)
def test_a_floor_knows_only_the_floors_below_it(path):
    assert breaches(path, SOURCES[path]) == set()
    assert privates(SOURCES[path]) == set()
    assert private_attributes(path, SOURCES[path]) == set()
    assert commands_imported(path, SOURCES[path]) == set()
    assert samplers_named(path, SOURCES[path]) == set()


def test_no_circle_of_files():
    assert circles({module_of(path): source for path, source in SOURCES.items()}) == []


@pytest.mark.parametrize(
    ("path", "line", "breach"),
    [
        ("diffusion/samplers/zigzag.py", "from zz.models.mixture import Mixture", "zz.models.mixture"),
        ("diffusion/samplers/zigzag.py", "import diffusers", "diffusers"),
        (
            "diffusion/solvers/ddim.py",
            "from zz.diffusion.samplers.zigzag import Zigzag",
            "zz.diffusion.samplers.zigzag",
        ),
        ("data/base.py", "from zz.models.base import Model", "zz.models.base"),
        ("models/mixture.py", "import diffusers", "diffusers"),
        ("scorers/clip.py", "from zz.lab.stats import mean", "zz.lab.stats"),
        ("lab/store/store.py", "import torch", "torch"),
        ("lab/plan.py", "    from omegaconf import OmegaConf", "omegaconf"),
        ("lab/runner.py", "from zz.cli.config import build", "zz.cli.config"),
        ("cli/request.py", "from zz.run import run", "zz.run"),
        ("sampling.py", "import hydra", "hydra"),
        ("analysis/cells.py", "from zz.cli.config import build", "zz.cli.config"),
    ],
)
def test_an_arrow_up_is_found(path, line, breach):
    source = (ROOT / path).read_text()
    broken = f"def inner():\n{line}\n" if line.startswith(" ") else f"{line}\n{source}"
    assert breach in breaches(path, broken)


def test_the_other_rules_bite():
    assert circles({"zz.a": "import zz.b", "zz.b": "def f():\n    from zz import a"}) == [["zz.a", "zz.b"]]
    assert circles({"zz.a": "from zz.b import x", "zz.b": "", "zz.c": "import zz.a"}) == []
    assert privates("from zz.lab.store.store import _whole") == {"_whole"}
    assert private_attributes("lab/plan.py", "def f(store):\n    return store._checked(1)") == {"_checked"}
    assert commands_imported("plan.py", "from zz.run import run") == {"zz.run"}
    assert commands_imported("cli/verbs/plan.py", "from zz.run import main") == {"zz.run"}
    assert commands_imported("cli/finish.py", "from zz.cli.verbs.run import run") == {"zz.cli.verbs.run"}
    assert commands_imported("cli/request.py", "from zz.run import run") == set()
    assert samplers_named("lab/job.py", "from zz.diffusion.samplers.reflection import Reflection") == {"reflection"}


def test_no_drawer_for_homeless_lines():
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert not [p for p in FILES if drawers & set(Path(p).with_suffix("").parts)]


@pytest.mark.parametrize(
    "command", ["import zz.models.mixture, zz.sampling", "import zz.run", "import zz.ls", "import zz.doctor"]
)
def test_the_exact_model_and_the_commands_need_no_diffusers(command):
    heavy = "{'diffusers', 'transformers', 'huggingface_hub', 'lightning', 'wandb', 'av', 'pandas', 'matplotlib'}"
    code = f"{command}; import sys; found = {heavy} & sys.modules.keys(); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_listing_a_store_needs_no_torch():
    code = "import zz.ls, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
