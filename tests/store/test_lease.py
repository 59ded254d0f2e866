"""Leases on slots: what another run is making is not made again, and what a dead one left is taken up."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.make import PROMPTS, files, many, run, scored
from zz.lab.lease import Leases, sweep
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity
from zz.lab.scoring.scoring import unscored
from zz.lab.slots import slots
from zz.lab.store.store import Store
from zz.models.mixture import Mixture
from zz.scorers.mixture.log_odds import LogOdds

ELSEWHERE = ["another-host", 0, 1]  # a process that nobody here can ask for


def held_by(path, holder=ELSEWHERE, age=0.0):
    """A lease as another process would have left it, so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(holder))
    touched = path.stat().st_mtime - age
    os.utime(path, (touched, touched))


def test_one_holds_it_and_the_other_does_not(tmp_path):
    a, b, paths = Leases(60), Leases(60), [tmp_path / "leases" / name for name in "abc"]
    assert a.take(paths[:1]) and not a.held(paths[0]) and b.held(paths[0])
    assert not b.take(paths[::-1]), "all or none"
    assert [path.exists() for path in paths] == [True, False, False]
    a.release()
    assert b.take(paths) and not a.take(paths[1:2])
    b.release(paths[:1])
    assert [path.exists() for path in paths] == [False, True, True]


@pytest.mark.parametrize("off", [None, 0])
def test_without_leases_nothing_is_taken_or_heeded(tmp_path, off):
    held_by(tmp_path / "a")
    assert Leases(off).take([tmp_path / "a", tmp_path / "b"]) and not Leases(off).held(tmp_path / "a")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("age", [61, -61])
def test_one_that_was_not_touched_for_long_is_anyones(tmp_path, age):
    path, leases = tmp_path / "a", Leases(60)
    held_by(path, age=age)
    assert not leases.held(path) and leases.take([path])
    assert json.loads(path.read_text())[2] == os.getpid() and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("torn", ["", "[1", "{}"])
def test_one_whose_maker_ended_before_it_could_sign_is_soon_anyones(tmp_path, torn):
    """A run that is interrupted between making a lease and writing its name keeps no other waiting for minutes."""
    path, leases = tmp_path / "a", Leases(300)
    path.write_text(torn)
    assert leases.held(path) and not leases.take([path]), "it may be about to"
    touched = path.stat().st_mtime - 11
    os.utime(path, (touched, touched))
    assert not leases.held(path) and leases.take([path])
    assert json.loads(path.read_text())[2] == os.getpid()


def test_its_age_is_told_by_the_file_systems_clock(tmp_path, monkeypatch):
    held_by(tmp_path / "a", age=30)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert Leases(60).held(tmp_path / "a") and not Leases(20).held(tmp_path / "a")


def test_one_whose_process_is_gone_is_anyones_on_the_same_host(tmp_path):
    mine, path = Leases(60), tmp_path / "a"
    assert mine.take([path])
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host, view, _ = json.loads(path.read_text())
    held_by(path, [host, view, dead.pid])
    assert not Leases(60).held(path)
    held_by(path, [host, view + 1, dead.pid])
    assert Leases(60).held(path), "another container's processes cannot be seen from here"


def test_touching_keeps_it_alive(tmp_path):
    leases, path = Leases(60), tmp_path / "a"
    leases.take([path])
    os.utime(path, (0, 0))
    leases.touch()
    assert Leases(60).held(path)


def test_one_that_another_took_over_is_left_alone(tmp_path):
    leases, path = Leases(60), tmp_path / "a"
    leases.take([path])
    held_by(path)
    leases.release()
    assert path.exists()


def test_one_that_cannot_be_written_is_no_error(store_path):
    store, one = Store(store_path), many(limit=8)
    store.leases(one.cell).parent.mkdir(parents=True)
    store.leases(one.cell).write_text("in the way")
    assert run(store, one, batch_size=4)[0] == 0


def test_what_nobody_holds_is_swept(store_path):
    store, one = Store(store_path), many(limit=8)
    held_by(store.leases(one.cell) / "old", age=999)
    assert run(store, one, batch_size=4)[0] == 0
    assert not store.leases(one.cell).exists()
    held_by(store.leases(one.cell) / "new")
    sweep(store.leases(one.cell), 60)
    assert [path.name for path in store.leases(one.cell).iterdir()] == ["new"]


def test_another_limit_and_more_prompts_meet_on_the_same_lease(store_path):
    store = Store(store_path)
    found = [
        [slot.lease(store) for slot in slots(one, 4, one.names())]
        for one in (many(limit=6), many(), many(prompts=(*PROMPTS, "a green star")))
    ]
    assert found[0] == found[1][:2] and found[1] == found[2][:6] and len(set(found[2])) == 7
    again = many()
    assert slots(again, 4, again.names()[6:])[0].lease(store) == found[0][1], "whatever of it is there already"


def falls_silent(lease, said):
    """A listener that notes what is said, and lets a lease expire when it is waited for."""

    def hear(text):
        said.append(text)
        if "another run" in text:
            os.utime(lease, (0, 0))

    return hear


def test_what_a_silent_run_holds_comes_last_and_is_taken_over(store_path):
    store, one, done, said = Store(store_path), many(), [], []
    second = slots(one, 4, one.names())[1]
    held_by(second.lease(store))
    hear = falls_silent(second.lease(store), said)
    assert Runner(devices="cpu", batch_size=4).run([one], store, done.append, hear) == 0
    assert [slot.names for slot in done][-1] == second.names and len(done) == 6
    assert sum("another run" in text for text in said) == 1


def test_what_another_run_makes_meanwhile_is_taken_as_it_is(store_path):
    store, one, done, said = Store(store_path), many(), [], []
    second = slots(one, 4, one.names())[1]
    held_by(second.lease(store))

    def hear(text):
        said.append(text)
        if "another run" in text:
            second.lease(store).unlink()
            others.extend(run(store, one, batch_size=4)[1])

    others = []
    assert Runner(devices="cpu", batch_size=4).run([one], store, done.append, hear) == 0
    assert [slot.names for slot in others] == [second.names] and len(done) == 5
    assert len(said) == 1


def test_pictures_that_two_made_are_counted_apart(store_path, tmp_path):
    """Another run, which heeds no lease, makes them while this one decodes its own."""
    store, other, calls = Store(store_path), Store(tmp_path / "other"), []

    class Raced(Mixture):
        @contextmanager
        def open(self, device="cpu", precision="32"):
            with super().open(device, precision) as pipeline:
                decode = pipeline.decode

                def decoded(x):
                    calls.append(len(x))
                    if len(calls) == 1:
                        run(store, many(model=Raced(), limit=3), batch_size=4, lease=0)
                    return decode(x)

                pipeline.decode = decoded
                yield pipeline

    one = many(model=Raced(), limit=8)
    missing, done = run(store, one, batch_size=4)
    names = one.names()
    assert missing == 0 and [slot.doubled for slot in done] == [tuple(names[:3]), ()]
    assert [slot.names for slot in done] == [(names[3],), tuple(names[4:])]
    run(other, many(limit=8), batch_size=4)
    assert sorted(files(store, one.cell)) == sorted(files(other, many().cell))


def test_a_run_without_a_rest_leaves_no_lease(store_path):
    store, one = Store(store_path), many()
    run(store, one, batch_size=4)
    assert not store.leases(one.cell).exists()


def test_what_another_run_scores_meanwhile_is_not_scored_again(store_path, monkeypatch):
    monkeypatch.setattr("zz.lab.scoring.scoring.BATCH", 10)
    store, one, metric, said = Store(store_path), many(), LogOdds(), []
    run(store, one, batch_size=4)
    lease = unscored([one], {one.id: (metric,)}, store)[1].lease(store)
    held_by(lease)

    def say(text):
        said.append(text)
        lease.unlink()
        others.append(scored(store, one, scorers=(metric,)))

    others = []
    assert scored(store, one, scorers=(metric,), say=say) == (14, (), {})
    assert others == [(10, (), {})] and len(said) == 1 and "another run is scoring" in said[0]
    assert len(store.scores(one.cell, identity(metric))) == len(PROMPTS) and not store.leases(one.cell).exists()


def test_scores_that_a_silent_run_holds_are_taken_over(store_path, monkeypatch):
    monkeypatch.setattr("zz.lab.scoring.scoring.BATCH", 10)
    store, one, metric = Store(store_path), many(), LogOdds()
    run(store, one, batch_size=4)
    lease, said = unscored([one], {one.id: (metric,)}, store)[1].lease(store), []
    held_by(lease)
    assert scored(store, one, scorers=(metric,), say=falls_silent(lease, said)) == (24, (), {})
    assert len(said) == 1
