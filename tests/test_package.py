"""The wheel: it holds zz with its conf and nothing else, and runs far from the checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_zz_and_its_conf_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert "zz" in tops and all(top == "zz" or top.endswith(".dist-info") for top in tops)
    conf = {str(p.relative_to(ROOT)) for p in (ROOT / "conf").rglob("*.yaml")}
    assert {f"zz/{path}" for path in conf} <= set(names)
    assert {"zz/cli/plugins/hydra_plugins/zz.py", "zz/slurm/body.sh"} <= set(names)
    for folder in ("experiments", "analysis"):
        paths = [p for p in (ROOT / folder).rglob("*.*") if p.suffix in (".py", ".html", ".css", ".js")]
        files = {str(p.relative_to(ROOT)) for p in paths}
        assert {f"zz/{path}" for path in files} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_the_wheel_holds_the_models_that_fit_70_mb(wheel):
    size, models = wheel.stat().st_size, ROOT / "zz" / "weights"
    held = {name.split("/")[2] for name in zipfile.ZipFile(wheel).namelist() if name.startswith("zz/weights/")}
    left = {path.name for path in models.iterdir()} - held
    assert size < 70e6 and {"shapes", "shapes_clip"} <= held
    assert left == {"shapes_dpo", "shapes_xl", "shapes_dit", "shapes_motion"}, "others are in a checkout"


@pytest.mark.ci
def test_it_runs_from_elsewhere(wheel, tmp_path):
    """Installed alone into a fresh environment that borrows the dependencies of this one."""
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    borrowed = [p for p in sys.path if p.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    python = tmp_path / "venv" / "bin" / "python"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = subprocess.run(
        [python, "-P", "-c", "import zz; print(zz.__file__)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env=alone,
    )
    assert str(site) in where.stdout
    args = ["-m", "zz.run", "sampler=zigzag", "gamma2=0", "lambda=2", "steps=4", "limit=2", "-m", "store=here"]
    done = subprocess.run([python, *args], cwd=tmp_path, capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    assert "2 images to make" in done.stdout and (tmp_path / "here" / "cells").is_dir()
    args = ["-m", "zz.plan", "steps=4", "limit=2", "sbatch=true", "store=there"]
    done = subprocess.run([python, *args], cwd=tmp_path, capture_output=True, text=True, env=alone)
    assert done.returncode == 0 and "#SBATCH --time=" in done.stdout and '-m "$command"' in done.stdout, done.stderr
    words = ["experiment=gap", "limit=1", "dataset.repeats=1", "store=gap"]
    for args in (["zz.run", *words], ["zz.table", "name=gap", "store=gap", "out=gap.md"]):
        done = subprocess.run([python, "-m", *args], cwd=tmp_path, capture_output=True, text=True, env=alone)
        assert done.returncode == 0, done.stderr
    assert "guidance-matched" in (tmp_path / "gap.md").read_text() and (tmp_path / "gap.png").is_file()
