"""Sweeps by hydra/launcher=submitit_slurm: one array of distinct cells, resumed after the head process was killed."""

import os
import re
import subprocess
import sys

import pytest

from tests.cluster.runs import OWN, events, restarts

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SWEEP = ["model=mixture", "steps=300", "limit=12", "runner.batch_size=2", "gamma2=0,1", "lambda=0,50,null", "-m"]


def head(cluster, store, *words):
    """The process that sends and waits; its output goes to a file."""
    log = store.with_suffix(f".{len(list(store.parent.glob('*.log')))}.log")
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "zz.run", *words, f"store={store}", "hydra/launcher=submitit_slurm"],
            env=os.environ | cluster.environment | OWN,
            cwd=store.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return process, log


def slots(store):
    return [(event["row"], *event["pictures"]) for event in events(store, "slot")]


def test_a_sweep_is_one_array_and_is_resumed_when_its_head_is_killed(cluster, tmp_path):
    store = tmp_path / "store"
    process, log = head(cluster, store, *SWEEP)
    cluster.until(lambda: len(slots(store)) >= 3 or process.poll() is not None, 120)
    process.kill()
    assert process.wait() == -9
    array, first = re.search(r"sent 5 distinct cells as an array of (\d), job (\d+)", log.read_text()).groups()
    assert array == "5" and set(restarts(cluster, first)) >= {"0", "1"}
    process, log = head(cluster, store, *SWEEP)
    assert process.wait(240) == 0, log.read_text()
    said = log.read_text()
    assert "6 cells asked for, 5 distinct" in said and said.count("12/12") >= 5, "its tables are of all"
    assert len(list(store.glob("cells/*/images/[0-9]*.png"))) == 60
    assert len(slots(store)) == len(set(slots(store))) == 30, "each slot once"
    assert not any(event.get("doubled") for event in events(store, "slot"))
    assert set(cluster.states(first).values()) == {"COMPLETED"}


def test_what_failed_is_named_with_its_log_and_nothing_is_made_here(cluster, tmp_path):
    store = tmp_path / "store"
    process, log = head(cluster, store, "model=mixture", "steps=900", "limit=40", "runner.batch_size=2")
    cluster.until(lambda: slots(store), 120)
    (number,) = re.findall(r"job (\d+)", log.read_text())
    cluster("scancel", "--signal=KILL", "--full", number)
    assert process.wait(120) == 1
    assert re.search(rf"failed: job {number} ended without a result \(\w+\); log: \S+_0_log.out", log.read_text())
    assert 0 < len(slots(store)) < 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["hydra.launcher.partition=lwo"],
            "hydra.launcher.partition=lwo: this cluster has no partition lwo",
        ),
        (["hydra.launcher.array_size=65"], "hydra.launcher.array_size=65 is more than an array may have here"),
        (["hydra.launcher.gres=tpu:1"], "sbatch refuses the array: sbatch: error:"),
    ],
)
def test_what_the_cluster_has_not_is_refused_before_anything_is_sent(cluster, tmp_path, words, said):
    process, log = head(cluster, tmp_path / "store", "model=mixture", "limit=2", *words)
    assert process.wait(60) == 2 and said in log.read_text()
    assert not list(tmp_path.glob("store/cells/*/images/*"))


def test_more_cells_than_an_array_may_have_are_shared_by_its_jobs(cluster, tmp_path):
    store = tmp_path / "store"
    sweep = ["model=mixture", "steps=10", "limit=2", "gamma2=0,1,2", "hydra.launcher.array_size=2", "-m"]
    process, log = head(cluster, store, *sweep)
    assert process.wait(120) == 0 and "sent 3 distinct cells as an array of 2" in log.read_text()
    assert len(list(store.glob("cells/*"))) >= 3
