"""The runner: the same files whatever was interrupted and however many workers took part."""

import os
import signal
import threading
import time

import pytest
import torch

from tests.make import PROMPTS, files, grey_levels, many, run, scored
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.lab.plan import plan
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity
from zz.lab.scoring.scoring import unscored
from zz.lab.store.store import Store, StoreError
from zz.models.mixture import Mixture
from zz.scorers.mixture.log_odds import LogOdds


@pytest.mark.parametrize(("workers", "size"), [(1, 1), (1, 8), (2, 3), (8, 5), (7, 4)])
def test_starting_noise_depends_on_the_seed_alone(workers, size):
    """Bitwise, whatever the split: as a user of diffusers would draw it."""
    n, shape = 40, (4, 16, 16)
    slots = [range(start, min(start + size, n)) for start in range(0, n, size)]
    found = {}
    for rank in range(workers):
        for slot in slots[rank::workers]:
            padded = [min(i, n - 1) for i in range(slot.start, slot.start + size)]
            noise, later = starting_noise(padded, shape), KeyedNoise(tuple(padded), shape)(3, "zag", 1)
            found |= {i: (noise[i - slot.start], later[i - slot.start]) for i in slot}
    assert sorted(found) == list(range(n))
    for i in range(n):
        assert torch.equal(found[i][0], torch.randn(shape, generator=torch.Generator().manual_seed(i)))
        assert torch.equal(found[i][1], KeyedNoise((i,), shape)(3, "zag", 1)[0])


def test_noise_is_fresh_for_every_step_leg_and_round():
    noise = KeyedNoise((0,), (1, 8, 8))
    keys = [(step, leg, round) for step in range(3) for leg in ("zig", "zag", "renoise") for round in range(3)]
    drawn = torch.stack([noise(*key).flatten() for key in keys] + [starting_noise((0,), (1, 8, 8)).flatten()])
    assert len(drawn.unique(dim=0)) == len(keys) + 1


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Files of one worker at batch size 4, for a stochastic zigzag: every kind of noise takes part."""
    store, one = Store(tmp_path_factory.mktemp("undisturbed")), many(solver=EulerAncestral())
    assert run(store, one, batch_size=4)[0] == 0
    found = files(store, one.cell)
    assert len(found) == len(set(found.values())) == len(PROMPTS)
    return found


def test_limit_and_resume_give_the_same_files(store_path, undisturbed):
    store = Store(store_path)
    for limit in (1, 6, 6, 24):
        one = many(solver=EulerAncestral(), limit=limit)
        assert run(store, one, batch_size=4)[0] == 0
        assert files(store, one.cell) == {name: undisturbed[name] for name in one.names()}
        assert len(one.names()) == limit


def test_a_lost_picture_is_made_again_alone_and_equal(store_path, undisturbed):
    store, one = Store(store_path), many(solver=EulerAncestral())
    run(store, one, batch_size=4)
    names, noted = one.names(), store.folder(one.cell) / "whole.txt"
    assert set(noted.read_text().split()) == set(names), "a run that ends looks at what it made"
    store.image_path(one.cell, names[6]).unlink()
    store.image_path(one.cell, names[9]).write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run(store, one, batch_size=4)[1][0].names == (names[6],), "the other one was whole once"
    noted.unlink()  # the machine went down before anybody had looked
    _, done = run(store, one, batch_size=4)
    assert [slot.names for slot in done] == [(names[9],)]
    assert files(store, one.cell) == undisturbed
    _, done = run(store, one, batch_size=4)
    assert done == []


def test_verify_looks_at_every_file(store_path, undisturbed):
    store, one = Store(store_path), many(solver=EulerAncestral())
    run(store, one, batch_size=4)
    store.image_path(one.cell, one.names()[9]).write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run(store, one, batch_size=4) == (0, [])
    planned = plan([one], 1, store, verify=True)
    assert planned.missing == (1,) and planned.broken == (str(store.image_path(one.cell, one.names()[9])),)
    missing, done = run(store, one, batch_size=4, verify=True)
    assert missing == 0 and [slot.names for slot in done] == [(one.names()[9],)]
    assert files(store, one.cell) == undisturbed


@pytest.mark.slow
def test_several_workers_give_the_same_files(store_path, undisturbed):
    store, one = Store(store_path), many(solver=EulerAncestral())
    assert run(store, one, devices=2, batch_size=4)[0] == 0
    assert files(store, one.cell) == undisturbed


def test_across_batch_sizes_at_most_one_grey_level(store_path, tmp_path, undisturbed):
    one = many(solver=EulerAncestral())
    a, b = Store(store_path), Store(tmp_path / "other")
    run(a, one, batch_size=4)
    run(b, one, batch_size=7)
    assert a.names(one.cell) == b.names(one.cell) == set(one.names())
    assert grey_levels(a, b, one.cell, one.cell) <= 1


def test_the_first_batch_size_governs_and_is_said(store_path):
    store, said = Store(store_path), []
    run(store, many(limit=5), batch_size=4)
    run(store, many(), batch_size=3, said=said)
    assert "begun with batch size 4" in said[0]
    assert store.batch_size(many().id) == 4


def test_counted_cost_is_the_planned_cost(store_path):
    store = Store(store_path)
    for one in (many(), many(sampler=Standard(2.0)), many(sampler=Zigzag(2.0, 1.0, 2, rounds=2))):
        _, done = run(store, one)
        assert {(d.predictions, d.evals) for d in done} == {one.recipe.cost}


@pytest.mark.slow
def test_a_killed_worker_loses_its_slot_and_the_rest_goes_on(store_path, undisturbed):
    store, one, said = Store(store_path), many(solver=EulerAncestral()), []
    killed = []

    def kill_one():
        import multiprocessing

        while not killed:
            children = multiprocessing.active_children()
            if len(children) == 2 and store.names(one.cell):
                os.kill(children[0].pid, signal.SIGKILL)
                killed.append(children[0].pid)
            time.sleep(0.001)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    missing, _ = run(store, one, devices=2, batch_size=1, said=said)
    killed.append(None)
    thread.join()
    assert killed[0] is not None
    assert missing == 0 and files(store, one.cell).keys() == undisturbed.keys()
    assert any("exit code -9" in text for text in said)


class Sick(Mixture):
    """A model that cannot be opened."""

    def open(self, device="cpu", precision="32"):
        raise ValueError("model.pretrained=nowhere: no such weights; download them first")


@pytest.mark.slow
def test_an_error_in_every_worker_is_reported_and_nothing_hangs(store_path):
    said = []
    missing, _ = run(Store(store_path), many(model=Sick()), devices=2, said=said)
    assert missing == len(PROMPTS)
    assert any("no such weights" in text for text in said)


def test_a_full_disk_stops_the_run_and_keeps_what_is_made(store_path, monkeypatch):
    store, one = Store(store_path), many()
    put, left = Store.put_image, [6]

    def full(self, *args):
        if not left[0]:
            raise StoreError("store: the disk is full")
        left[0] -= 1
        put(self, *args)

    monkeypatch.setattr(Store, "put_image", full)
    with pytest.raises(StoreError, match="full"):
        run(store, one, batch_size=4)
    monkeypatch.undo()
    assert len(store.names(one.cell)) == 6
    assert run(store, one, batch_size=4)[0] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("devices", 0),
        ("devices", "gpu"),
        ("batch_size", 0),
        ("batch_size", "big"),
        ("precision", 8),
        ("threads", 0),
        ("verify", 1),
    ],
)
def test_impossible_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=f"runner.{field}={value!r}".replace("'8'", "8")):
        Runner(**{field: value})


def test_scores_are_a_pass_of_their_own(store_path):
    store, one, heard = Store(store_path), many(), []
    run(store, one)
    before = files(store, one.cell)
    assert scored(store, one, scorers=(LogOdds(),), tell=heard.append) == (len(PROMPTS), (), {})
    assert sum(done.scored for done in heard) == len(PROMPTS)
    assert unscored([one], {one.id: (LogOdds(),)}, store) == []
    other, broken = LogOdds(std=0.3), one.names()[2]
    assert [len(slot.pictures) for slot in unscored([one], {one.id: (LogOdds(), other)}, store)] == [24]
    store.image_path(one.cell, broken).write_bytes(b"broken")
    made, unreadable, crashed = scored(store, one, scorers=(other,), tell=heard.append)
    assert made == len(PROMPTS) - 1 and f"{broken}.png" in unreadable[0] and crashed == {}
    assert store.scores(one.cell, identity(other)).keys() == set(one.names()) - {broken}
    after = files(store, one.cell)
    assert after.pop(broken) != before.pop(broken) and after == before
