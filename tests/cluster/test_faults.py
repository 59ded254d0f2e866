"""An array over one cell through everything that a cluster does to its jobs: the same bytes, and no slot made twice."""

import subprocess
import sys

import pytest

from tests.cluster.runs import OWN, SCRIPTS, ended, events, files, made, pictures, restarts, submit

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

WORDS = ["model=mixture", "steps=900", "rounds=2", "limit=30", "dataset.repeats=2", "runner.batch_size=2", "scorers=[]"]


def those(cluster, job, state):
    return [name for name, found in sorted(cluster.states(job).items()) if found == state]


def test_an_array_of_which_each_element_meets_another_fault(cluster, tmp_path):
    store, plain = tmp_path / "store", tmp_path / "plain"
    job = submit(cluster, store, "--array=0-3", "--job-name=faults", words=WORDS, script=SCRIPTS / "array.sbatch")
    cluster.until(lambda: len(events(store, "start")) == 4, 120)
    every = those(cluster, job, "RUNNING")
    assert len(every) == 4

    # all four CPUs are taken, so that one must give way, for its grace time is longer than a slot
    cluster("sbatch", "--partition=high", "--ntasks=1", "--output=/dev/null", "--wrap=sleep 1")
    cluster.until(lambda: those(cluster, job, "PENDING"), 60)
    (preempted,) = those(cluster, job, "PENDING")
    timed, killed, requeued = (name for name in every if name != preempted)

    cluster("scontrol", "update", f"jobid={timed}", "timelimit=1")  # and it is told two minutes before
    cluster("scancel", "--signal=KILL", f"{killed}.0")  # the task; of a job it would be cancelling
    cluster("scancel", "--batch", "--signal=USR1", requeued)
    cluster.until(lambda: timed in those(cluster, job, "PENDING"), 90)
    cluster("scontrol", "update", f"jobid={timed}", "timelimit=60")
    cluster.until(ended(cluster, job, ("COMPLETED", "FAILED")), 240)

    assert [name for name, state in cluster.states(job).items() if state == "FAILED"] == [killed]
    assert {f"{job}_{n}": times for n, times in restarts(cluster, job).items()} == {
        killed: 0,
        preempted: 1,
        requeued: 1,
        timed: 1,
    }
    logs = {name: (cluster.folder / f"faults-{name}.log").read_text() for name in every}
    assert {name for name in every if "terminated" in logs[name]} == {preempted, requeued, timed}

    counted = made(store)
    assert set(counted.values()) == {1}, "no picture twice"
    assert len(pictures(store)) == 60
    assert len(pictures(store) - set(counted)) in (0, 2), "but for the slot of which the killed one could not tell"

    subprocess.run(
        [sys.executable, "-m", "zz.run", *WORDS, "runner.devices=2", f"store={plain}"],
        env=cluster.environment | OWN,
        check=True,
        capture_output=True,
    )
    assert files(store) == files(plain)
