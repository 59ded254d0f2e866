"""Runs on the test cluster: how they are sent, and what they made."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "slurm"
SCRIPT = SCRIPTS / "run.sbatch"
WORDS = ["model=mixture", "steps=300", "limit=48", "runner.batch_size=2", "scorers=[]"]
OWN = {
    "PYTHON": sys.executable,
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    "OMP_NUM_THREADS": "1",
    "ZZ_SLURM": str(SCRIPTS),
}


def submit(cluster, store, *options, words=WORDS, script=SCRIPT):
    line = ["sbatch", "--parsable", f"--output={cluster.folder}/%x-%A_%a.log", *options]
    return cluster(*line, script, *words, f"store={store}", **OWN)


def ended(cluster, job, states=("COMPLETED",)):
    return lambda: set(cluster.states(job).values()) <= set(states)


def events(store, kind):
    lines = [line for path in store.glob("cells/*/events.jsonl") for line in path.read_text().splitlines()]
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


def pictures(store):
    return {path.stem for path in store.glob("cells/*/images/[0-9]*.png")}


def files(store):
    """Every picture's bytes."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("cells/*/images/[0-9]*.png")}


def made(store):
    """How often each picture was made, those that were dropped again among them."""
    return Counter(name for e in events(store, "slot") for name in (*e["pictures"], *e.get("doubled", ())))


def restarts(cluster, job):
    told = cluster("scontrol", "--oneliner", "show", "job", job)
    return {
        fields["ArrayTaskId"]: int(fields["Restarts"])
        for line in told.splitlines()
        if (fields := dict(word.partition("=")[::2] for word in line.split()))
    }
