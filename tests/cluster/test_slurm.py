"""Runs on a real SLURM of two nodes: elements of an array address themselves alone, and tasks share one run."""

import time

import pytest

from tests.cluster.runs import OWN, SCRIPT, WORDS, ended, events, made, pictures, restarts, submit

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_an_element_of_an_array_is_requeued_alone(cluster, tmp_path):
    store = tmp_path / "store"
    job = submit(cluster, store, "--array=0-2", "--ntasks=1", "--job-name=array")
    cluster.until(lambda: len(events(store, "start")) == 3, 120)
    cluster("scancel", "--batch", "--signal=USR1", f"{job}_1")
    cluster.until(ended(cluster, job), 240)
    assert len(pictures(store)) == 48
    assert made(store) == dict.fromkeys(pictures(store), 1), "each once"
    assert restarts(cluster, job) == {"0": 0, "1": 1, "2": 0}
    logs = {index: (cluster.folder / f"array-{job}_{index}.log").read_text() for index in range(3)}
    assert ["terminated" in logs[index] for index in range(3)] == [False, True, False]
    assert "48/48" in logs[0], "the first one shows the tables"
    assert not list(store.glob("cells/*/leases"))


def test_a_job_submitted_from_inside_an_array_addresses_itself(cluster, tmp_path):
    """It inherits the variables of the element that submitted it."""
    store, outer = tmp_path / "store", tmp_path / "outer.sh"
    outer.write_text('#!/bin/bash\nsbatch --parsable "$@" > inner\nsleep 600\n')
    inner = [f"--output={cluster.folder}/inner.log", "--job-name=inner", SCRIPT, *WORDS, f"store={store}"]
    line = ["sbatch", "--parsable", "--array=5", f"--chdir={tmp_path}", "--output=/dev/null"]
    job = cluster(*line, outer, *inner, **OWN)
    cluster.until(lambda: len(events(store, "start")) == 1, 120)
    number = (tmp_path / "inner").read_text().strip()
    cluster("scancel", "--batch", "--signal=USR1", number)
    cluster.until(ended(cluster, number), 240)
    assert cluster.states(job) == {f"{job}_5": "RUNNING"} and restarts(cluster, job) == {"5": 0}
    cluster("scancel", job)
    log = (cluster.folder / "inner.log").read_text()
    assert "terminated" in log and "shard" not in log
    assert made(store) == dict.fromkeys(pictures(store), 1) and len(pictures(store)) == 48


def test_all_components_of_a_heterogeneous_job_share_one_run(cluster, tmp_path):
    store = tmp_path / "store"
    job = submit(cluster, store, "--ntasks=1", "--job-name=het", ":", "--ntasks=2")
    cluster.until(lambda: len(events(store, "start")) == 3, 120)
    cluster("scancel", "--batch", "--signal=USR1", job)
    cluster.until(lambda: set(cluster.states(job).values()) == {"PENDING"}, 60)
    time.sleep(8)  # by itself SLURM has them wait for two minutes, but their credentials expire in five seconds
    for component in cluster.states(job):
        cluster("scontrol", "update", f"jobid={component}", "starttime=now")
    cluster.until(ended(cluster, job), 240)
    assert len(pictures(store)) == 48 and made(store) == dict.fromkeys(pictures(store), 1)
    assert set(cluster.states(job)) == {f"{job}+0", f"{job}+1"}


def test_a_job_that_is_cancelled_ends_after_its_slot(cluster, tmp_path):
    store = tmp_path / "store"
    job = submit(cluster, store, "--ntasks=1", "--job-name=cancelled")
    cluster.until(lambda: len(events(store, "start")) == 1, 120)
    cluster("scancel", "--batch", "--signal=TERM", job)
    cluster.until(ended(cluster, job, ("FAILED",)), 120)
    assert "ExitCode=143:0" in cluster("scontrol", "show", "job", job)
    assert 0 < len(pictures(store)) < 48 and not list(store.glob("cells/*/leases"))
