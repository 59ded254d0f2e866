"""Shards of a run: as SLURM tells them, and together the whole; and the batch script, which addresses its own job."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.make import PROMPTS, files, many, run
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.lab.cluster import Shard
from zz.lab.runner import Runner
from zz.lab.store.store import Store

BATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_NNODES": "2"}  # sbatch -n4, without srun
STEP = BATCH | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}


def array(index, first=0, last=9, stride=1):
    names = {"ID": index, "MIN": first, "MAX": last, "STEP": stride}
    return {f"SLURM_ARRAY_TASK_{name}": str(n) for name, n in names.items()}


def _entries(slot):
    """The entries of the pictures that a slot wrote; all prompts are of one list."""
    return [many().names().index(name) for name in slot.names]


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, Shard(0, 1)),
        (BATCH, Shard(0, 1)),
        (STEP, Shard(2, 4)),
        (BATCH | array(3), Shard(3, 10)),
        (BATCH | array(7, 1, 10, 3), Shard(2, 4)),
        (STEP | array(3), Shard(3 * 4 + 2, 40)),
        (BATCH | array(5, 5, 5), Shard(0, 1)),
        (STEP | array(3) | {"SUBMITIT_EXECUTOR": "slurm"}, Shard(2, 4)),
        (BATCH | array(3) | {"SUBMITIT_EXECUTOR": "slurm"}, Shard(0, 1)),
        (BATCH | {"SLURM_ARRAY_TASK_ID": "7"}, Shard(0, 1)),
        (STEP | {"SLURM_HET_SIZE": "2", "SLURM_LOCALID": "0"}, Shard(2, 4)),
    ],
)
def test_the_shard_is_what_slurm_says(environment, shard):
    assert Shard.here(environment) == shard


def test_every_slot_has_one_owner():
    for world in (1, 3, 7):
        assert all(sum(Shard(rank, world).owns(n) for rank in range(world)) == 1 for n in range(40))


def test_a_shard_begins_with_its_own_slots_and_ends_with_everything_made(store_path, tmp_path, monkeypatch):
    """The middle one of three tasks, alone: its own first, then what the others have not made; no picture differs."""
    jobs = [many(solver=EulerAncestral(), sampler=Zigzag(2.0, g)) for g in (0.0, 1.0)]
    whole, store, said = Store(tmp_path / "whole"), Store(store_path), []
    run(whole, *jobs, batch_size=4)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.setenv("SLURM_PROCID", "1")
    missing, done = run(store, *jobs, batch_size=4, said=said)
    assert missing == 0 and "shard 2 of 3 is done" in said[0]
    slots = [_entries(slot)[0] // 4 for slot in done]
    own = [n for n in range(len(PROMPTS) // 4) if n % 3 == 1]
    assert slots[: 2 * len(own)] == [n for n in own for _ in jobs], "two cells that begin alike stay together"
    assert len(slots) == 12
    for job in jobs:
        assert files(store, job.cell) == files(whole, job.cell)


def test_help_comes_in_an_order_of_ones_own(tmp_path, monkeypatch):
    """Two tasks in step would make each slot at once, and the help would be none."""
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    orders = []
    for rank in ("0", "1"):
        monkeypatch.setenv("SLURM_PROCID", rank)
        missing, done = run(Store(tmp_path / rank), many(steps=2), batch_size=2)
        made = [_entries(slot)[0] // 2 for slot in done]
        assert missing == 0 and made[:4] == [n for n in range(12) if n % 3 == int(rank)]
        orders.append([n for n in made[4:] if n % 3 == 2])
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) != orders[0]


def test_what_another_task_has_made_meanwhile_is_not_made_again(store_path, monkeypatch):
    store, one = Store(store_path), many()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    done = []

    def tell(slot):
        done.append(slot)
        if len(done) == 1:  # the other one does its part while the first is at work
            monkeypatch.setenv("SLURM_PROCID", "1")
            others.append(run(store, one, batch_size=4)[1])

    others = []
    assert Runner(devices="cpu", batch_size=4).run([one], store, tell, lambda text: None) == 0
    made = [i for slot in [*done, *others[0]] for i in _entries(slot)]
    assert sorted(made) == list(range(len(PROMPTS))), "every picture once"


SCRIPT = Path(__file__).resolve().parents[2] / "slurm" / "run.sbatch"
ELEMENT = {"SLURM_ARRAY_JOB_ID": "1234", "SLURM_ARRAY_TASK_ID": "7"}
STUBS = {
    "srun": 'trap "exit 143" TERM; echo "array ${SLURM_ARRAY_TASK_ID-none}" >> "$LOG"; echo $$ > "$LOG.pid"; '
    "while :; do sleep 0.05; done",
    "scancel": 'kill -TERM "$(cat "$LOG.pid")"',
    "scontrol": "",
    "squeue": 'printf "$SQUEUE"; test -n "$SQUEUE"',
}


@pytest.fixture
def script(tmp_path):
    """The batch script beside stubs of SLURM's commands: its exit code after a signal, and what it called."""
    for name, body in STUBS.items():
        path, said = tmp_path / name, "" if name == "squeue" else f'echo "{name} $*" >> "$LOG"; '
        path.write_text(f"#!/bin/bash\n{said}{body}\n")
        path.chmod(0o755)
    log = tmp_path / "log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}

    def run(number, environment, squeue=""):
        own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log), "SQUEUE": squeue, "PYTHON": "python"}
        own["ZZ_SLURM"] = str(SCRIPT.parent)
        process = subprocess.Popen(["bash", SCRIPT, "limit=1"], env=inherited | environment | own)
        deadline = time.monotonic() + 60
        while not Path(f"{log}.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        return process.wait(timeout=60), log.read_text().splitlines()

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "squeue", "scancelled", "requeued", "shared"),
    [
        ({"SLURM_JOB_ID": "1234"}, "", "1234", "1234", "none"),
        (ELEMENT | {"SLURM_JOB_ID": "1234"}, "", "1234_7", "1234_7", "7"),
        (ELEMENT | {"SLURM_JOB_ID": "1241"}, "", "1234_7", "1234_7", "7"),
        # the last element bears the array's number; others are still waiting
        (ELEMENT | {"SLURM_JOB_ID": "1234"}, "1234 1234_[8-9]\n1240 1234_6\n1234 1234_7\n", "1234_7", "1234_7", "7"),
        # submitted from inside an element, whose variables it inherits
        (ELEMENT | {"SLURM_JOB_ID": "1300"}, "1300 1300\n", "1300", "1300", "none"),
        ({"SLURM_JOB_ID": "1234", "SLURM_HET_SIZE": "2"}, "1234 1234+0\n1235 1234+1\n", "1234+0", "1234", "none"),
        ({"SLURM_JOB_ID": "1234", "SLURM_HET_SIZE": "2"}, "", "1234", "1234", "none"),
    ],
)
def test_a_job_signals_and_requeues_itself_alone(script, environment, squeue, scancelled, requeued, shared):
    code, called = script(signal.SIGUSR1, environment, squeue)
    groups = "--het-group=0-1 " if "SLURM_HET_SIZE" in environment else ""
    assert called == [
        f"srun --kill-on-bad-exit=0 {groups}python -m zz.run limit=1",
        f"array {shared}",
        f"scancel --signal=TERM {scancelled}",
        f"scontrol requeue {requeued}",
    ]
    assert code != 0


def test_a_job_that_is_told_to_end_tells_its_tasks_and_is_not_requeued(script):
    code, called = script(signal.SIGTERM, ELEMENT | {"SLURM_JOB_ID": "1241"})
    assert code == 143 and called[2:] == ["scancel --signal=TERM 1234_7", "scontrol --oneliner show job 1234_7"]
