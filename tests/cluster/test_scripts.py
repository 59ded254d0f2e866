"""The scripts of slurm/, and those that zz.plan prints: taken by sbatch, and run to their end."""

import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.cluster.runs import OWN, ROOT, SCRIPTS, WORDS, ended, events, made, pictures, submit

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def zz(cluster, verb, *words, cwd, code=0):
    done = subprocess.run(
        [sys.executable, "-m", f"zz.{verb}", *map(str, words)],
        env=os.environ | cluster.environment | OWN,
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.sbatch")))
def test_sbatch_takes_a_script(cluster, script):
    assert "to start at" in cluster("sbatch", "--test-only", f"--chdir={ROOT}", SCRIPTS / script, "limit=1")


def test_a_script_far_from_its_body_says_where_it_looked(cluster, tmp_path):
    log = tmp_path / "log"
    job = cluster("sbatch", "--parsable", f"--output={log}", SCRIPTS / "run.sbatch", "limit=1")
    cluster.until(ended(cluster, job, ("FAILED",)), 60)
    (line,) = log.read_text().splitlines()
    assert f"error: {cluster.folder}/slurm/body.sh is not there" in line and "ZZ_SLURM" in line


def test_tasks_on_two_nodes_share_one_run(cluster, tmp_path):
    store = tmp_path / "store"
    job = submit(cluster, store, "--job-name=nodes", script=SCRIPTS / "nodes.sbatch")
    cluster.until(lambda: len(events(store, "start")) == 2, 120)
    assert "NodeList=n[1-2]" in cluster("scontrol", "show", "job", job)
    cluster.until(ended(cluster, job), 240)
    assert len(pictures(store)) == 48 and made(store) == dict.fromkeys(pictures(store), 1)
    records = [json.loads(path.read_text()) for path in store.glob("cells/*/runs/*.json")]
    assert {record["slurm"]["procid"] for record in records} == {"0", "1"}


def test_two_tasks_share_the_scores(cluster, tmp_path):
    store = tmp_path / "store"
    words = ["model=shapes", "sampler=standard", "steps=1", "limit=256", "runner.batch_size=32"]
    zz(cluster, "run", *words, "scorers=[]", "runner.devices=2", f"store={store}", cwd=tmp_path)
    own = [*words, "scorers=[shapes_correct]"]
    job = submit(cluster, store, "--job-name=score", words=own, script=SCRIPTS / "score.sbatch")
    cluster.until(ended(cluster, job), 240)
    (cell,) = store.glob("cells/*")
    parts = list(cell.glob("scores/shapes_correct-*/*.json"))
    assert len({path.name.split("-")[1] for path in parts}) == 2, "each bears the number of the process that wrote it"
    scored = Counter(re.findall(r"\d{6}-[0-9a-f]{12}", "".join(path.read_text() for path in parts)))
    assert len(scored) == 256 and set(scored.values()) == {1}
    (log,) = cluster.folder.glob(f"score-{job}_*.log")
    assert log.read_text().count("128/256 scores") == 2, "each has scored its half"


def test_a_script_of_zz_plan_runs_to_its_end(cluster, tmp_path):
    words = [*WORDS, "gamma2=0,1", "store=store", "-m"]
    done = zz(cluster, "plan", *words, "sbatch=true", "slurm.tasks=3", "slurm.partition=low", cwd=tmp_path)
    assert "2 cells asked for" in done.stderr and done.stdout.startswith("#!/usr/bin/env bash\n")
    (tmp_path / "job.sbatch").write_text(done.stdout)
    assert "to start at" in cluster("sbatch", "--test-only", tmp_path / "job.sbatch")
    job = cluster("sbatch", "--parsable", f"--chdir={tmp_path}", tmp_path / "job.sbatch", **OWN)
    cluster.until(ended(cluster, job), 240)
    assert len(cluster.states(job)) == 3
    store = tmp_path / "store"
    assert len(list(store.glob("cells/*"))) == 2
    found = events(store, "slot")
    assert sum(len(event["pictures"]) for event in found) == 96 and not any(event.get("doubled") for event in found)
    logs = sorted(path.name for path in tmp_path.glob("*.log"))
    assert logs == [f"zz-{job}_{n}.log" for n in range(3)]
    assert "48/48" in (tmp_path / logs[0]).read_text()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "slurm.partition=lwo",
            "slurm.partition=lwo: this cluster has no partition lwo (did you mean low?)",
        ),
        ("slurm.tasks=65", "slurm.tasks=65 is more than an array may have here (MaxArraySize=64); choose at most 64"),
        ("slurm.time=9:00:00", "slurm.time=9:00:00 is more than the partition allows (08:00:00)"),
    ],
)
def test_what_the_cluster_has_not_is_refused(cluster, tmp_path, word, said):
    done = zz(cluster, "plan", *WORDS, "sbatch=true", word, f"store={tmp_path}/store", cwd=tmp_path, code=2)
    assert done.stdout == "" and said in done.stderr and len(done.stderr.splitlines()) == 1
