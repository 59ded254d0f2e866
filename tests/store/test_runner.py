"""The runner: the same files whatever was interrupted and however many workers took part."""

import hashlib
import os
import signal
import threading
import time

import pytest
import torch

from tests.store.test_cell import job
from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.samplers import Standard, Zigzag
from zz.diffusion.solvers import EulerAncestral
from zz.lab.runner import Runner
from zz.lab.scoring import score, unscored
from zz.lab.store import Store, StoreError
from zz.models.mixture import Mixture
from zz.scorers.log_odds import LogOdds

PROMPTS = tuple(f"a {c} {s}" for c in ("red", "blue") for s in ("circle", "star", "square", "triangle")) * 3


def many(**fields):
    return job(**({"prompts": PROMPTS, "wanted": len(PROMPTS), "steps": 4} | fields))


def files(store, cell):
    return {i: hashlib.sha256(store.image_path(cell, i).read_bytes()).hexdigest() for i in sorted(store.images(cell))}


def run(store, *jobs, said=None, **fields):
    said = [] if said is None else said
    done = []
    missing = Runner(**({"devices": "cpu", "threads": 1} | fields)).run(jobs, store, done.append, said.append)
    return missing, done


@pytest.mark.parametrize(("workers", "width"), [(1, 1), (1, 8), (2, 3), (8, 5), (7, 4)])
def test_starting_noise_depends_on_the_seed_alone(workers, width):
    """Bitwise, whatever the split: as a user of diffusers would draw it."""
    n, shape = 40, (4, 16, 16)
    slots = [range(start, min(start + width, n)) for start in range(0, n, width)]
    found = {}
    for rank in range(workers):
        for slot in slots[rank::workers]:
            padded = [min(i, n - 1) for i in range(slot.start, slot.start + width)]
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
    for wanted in (1, 6, 6, 24):
        assert run(store, many(solver=EulerAncestral(), wanted=wanted), batch_size=4)[0] == 0
        found = files(store, many(solver=EulerAncestral()).cell)
        assert found == {i: undisturbed[i] for i in range(wanted)}


def test_a_lost_picture_is_made_again_alone_and_equal(store_path, undisturbed):
    store, one = Store(store_path), many(solver=EulerAncestral())
    run(store, one, batch_size=4)
    store.image_path(one.cell, 6).unlink()
    store.image_path(one.cell, 9).write_bytes(b"\x89PNG\r\n\x1a\n")
    _, done = run(store, one, batch_size=4)
    assert sorted(i for slot in done for i in slot.indices) == [6, 9]
    assert files(store, one.cell) == undisturbed
    _, done = run(store, one, batch_size=4)
    assert done == []


def test_several_workers_give_the_same_files(store_path, undisturbed):
    store, one = Store(store_path), many(solver=EulerAncestral())
    assert run(store, one, devices=2, batch_size=4)[0] == 0
    assert files(store, one.cell) == undisturbed


def test_across_batch_sizes_at_most_one_grey_level(store_path, tmp_path, undisturbed):
    one = many(solver=EulerAncestral())
    a, b = Store(store_path), Store(tmp_path / "other")
    run(a, one, batch_size=4)
    run(b, one, batch_size=7)
    for i in range(one.wanted):
        pixels = [torch.tensor(list(s.image(one.cell, i).tobytes()), dtype=torch.int16) for s in (a, b)]
        assert (pixels[0] - pixels[1]).abs().max() <= 1


def test_the_first_batch_size_governs_and_is_said(store_path):
    store, said = Store(store_path), []
    run(store, many(wanted=5), batch_size=4)
    run(store, many(), batch_size=3, said=said)
    assert "begun with batch size 4" in said[0]
    assert store.width(many().cell) == 4


def test_counted_cost_is_the_planned_cost(store_path):
    store = Store(store_path)
    for one in (many(), many(sampler=Standard(2.0)), many(sampler=Zigzag(2.0, 1.0, 2, rounds=2))):
        _, done = run(store, one)
        assert {(d.predictions, d.rows) for d in done} == {one.cost}


@pytest.mark.slow
def test_a_killed_worker_loses_its_slot_and_the_rest_goes_on(store_path, undisturbed):
    store, one, said = Store(store_path), many(solver=EulerAncestral()), []
    killed = []

    def kill_one():
        import multiprocessing

        while not killed:
            children = multiprocessing.active_children()
            if len(children) == 2 and store.images(one.cell):
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
    assert len(store.images(one.cell)) == 6
    assert run(store, one, batch_size=4)[0] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("devices", 0), ("devices", "gpu"), ("batch_size", 0), ("batch_size", "big"), ("precision", 8), ("threads", 0)],
)
def test_impossible_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=f"runner.{field}={value!r}".replace("'8'", "8")):
        Runner(**{field: value})


def test_scores_are_a_pass_of_their_own(store_path):
    store, one = Store(store_path), many(scorers=(LogOdds(),))
    run(store, one)
    before = files(store, one.cell)
    heard = []
    assert score(unscored([one], store), store, "cpu", heard.append) == (len(PROMPTS), (), {})
    assert sum(heard) == len(PROMPTS)
    assert unscored([one], store) == {}
    assert [len(work) for work in unscored([many(scorers=(LogOdds(std=0.3),))], store).values()] == [1]
    store.image_path(one.cell, 2).write_bytes(b"broken")
    other = many(scorers=(LogOdds(std=0.3),))
    made, unreadable, _ = score(unscored([other], store), store, "cpu", heard.append)
    assert made == len(PROMPTS) - 1 and "000002.png" in unreadable[0]
    assert {i: h for i, h in files(store, one.cell).items() if i != 2} == {i: h for i, h in before.items() if i != 2}
