"""Shards of a run: as SLURM tells them, and together the whole."""

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
