"""hydra/launcher=submitit_*: what is refused, and what is sent. The commands of SLURM are stand-ins."""

import subprocess
import sys

import pytest

from zz.cli.compose import cells, composed, launcher_of
from zz.cli.launch import groups_of
from zz.cli.request import request

FAST = ["model=mixture", "steps=4", "lambda=null", "limit=2", "runner.batch_size=2"]
SLURM = "hydra/launcher=submitit_slurm"


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Stand-ins for srun, sinfo and scontrol."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = {"srun": "", "sinfo": "gpu*|8:00:00", "scontrol": "MaxArraySize            = 64"}
    for name, text in said.items():
        (folder / name).write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.launcher.partition=gpuu", "hydra.launcher.partition=gpuu: this cluster has no partition gpuu (did you"),
        (
            "hydra.launcher.array_size=65",
            "hydra.launcher.array_size=65 is more than an array may have here",
        ),
        ("hydra.launcher.array_size=0", "hydra.launcher.array_size=0 must be a whole number of at least 1"),
        ("hydra.launcher.timeout_min=soon", "hydra.launcher.timeout_min='soon' must be a whole number of at least 1"),
    ],
)
def test_what_the_cluster_has_not_is_refused(cli, stand_ins, store_path, word, said):
    code, _, err = cli(*FAST, SLURM, word)  # without -m, too
    assert code == 2 and said in err and len(err.splitlines()) == 1
    assert not list(store_path.glob("submitit"))


def test_without_submitit_it_says_what_to_install(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, _, err = cli(*FAST, SLURM, "-m")
    assert code == 2
    assert err == (
        "error: hydra/launcher=submitit_slurm needs submitit, which is not installed: pip install 'zz[slurm]'\n"
    )


def test_without_a_cluster_it_says_so(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = cli(*FAST, SLURM, "-m")
    assert code == 2 and "there is no SLURM here (no srun)" in err


def test_an_experiment_is_sent_by_these_alone():
    with pytest.raises(Exception, match="hydra/launcher=joblib: an experiment is sent by submitit_slurm or"):
        launcher_of(["hydra/launcher=joblib"], "config")
    assert launcher_of(["limit=1"], "config") is None and launcher_of(["hydra/launcher=zz"], "config") is None
    found = launcher_of([SLURM, "hydra.launcher.partition=gpu", "store=there", "limit=1"], "config")
    assert found["partition"] == "gpu" and found["submitit_folder"] == "there/submitit/%j"


def groups(store_path, *words):
    every = cells([*FAST, f"store={store_path}", *words])
    configs = list(composed(every))
    return groups_of(request(configs), every, configs)


def test_equal_cells_are_one(store_path):
    found = groups(store_path, "gamma2=0,1", "lambda=0,1,2")
    assert len(found) == 5 and all(len(group) == 1 for group in found)
    found = groups(store_path, "gamma2=0,1", "scorers=[],[log_odds]")
    assert [len(group) for group in found] == [2, 2], "one row, asked for in two ways, is one job's"


def test_what_is_there_is_not_sent(cli, store_path):
    assert cli(*FAST, "gamma2=0")[0] == 0
    (group,) = groups(store_path, "gamma2=0,1")
    assert "gamma2=1" in group[0]
    assert len(groups(store_path, "gamma2=0", "controls=[standard]")) == 1, "its control is not there"
    assert len(groups(store_path, "gamma2=0", "scorers=[cleanliness]")) == 1, "nor that score"
    assert groups(store_path, "gamma2=0") == []


def test_what_is_only_listed_is_not_sent(store_path):
    assert len(groups(store_path, "gamma2=0,1", "made=true")) == 2 and groups(store_path, "made=false") == []
    (group,) = groups(store_path, "gamma2=0", "lambda=1,2", "made=true")[:1]
    assert "lambda=1" in group[0]


@pytest.mark.ci
def test_an_experiment_is_sent_and_keeps_its_name(tmp_path, store_path):
    words = ["experiment=gap", "limit=1", "dataset.repeats=1", f"store={store_path}"]
    command = [sys.executable, "-m", "zz.run", *words, "hydra/launcher=submitit_local"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "distinct cells in 2 processes" in done.stdout and "images are missing" not in done.stdout
    assert list(store_path.glob("manifests/gap-*.json"))
    assert len(list((store_path / "submitit").glob("[0-9]*"))) == 2
