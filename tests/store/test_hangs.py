"""Workers that hang or are stopped, and signals that ask for the end: nothing waits for ever."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.store.test_faults import children, pictures
from zz.lab import pool
from zz.lab.pool import Terminated
from zz.lab.store.store import Store

WORDS = ["model=mixture", "steps=400", "scorers=[]", "runner.batch_size=2", "limit=48"]


def hanging_once(marker, items, store, device, alive):
    """Item 0 hangs the first time."""
    for item in items:
        if item == 0 and not Path(marker).exists():
            Path(marker).touch()
            time.sleep(1000)
        yield item


@pytest.mark.slow
def test_a_worker_that_hangs_is_said_and_started_again(tmp_path):
    done, said = [], []
    work = partial(hanging_once, str(tmp_path / "marker"))
    pool.run(work, range(4), Store(tmp_path), ["cpu"] * 2, 1, done.append, said.append, patience=3)
    assert sorted(done) == [0, 1, 2, 3]
    assert len(said) == 1 and "worker 0 on cpu showed no sign of life" in said[0] and "is killed" in said[0]


def test_work_in_this_process_says_that_it_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "SILENCE", 0.1)
    said = []

    def work(items, store, device, alive):
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            time.sleep(0.05)
        yield from items

    pool.run(work, [1], Store(tmp_path), ["cpu"], 1, lambda done: None, said.append)
    assert "no sign of life" in said[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_the_work_after_the_item_under_way(tmp_path, number):
    done = []

    def work(items, store, device, alive):
        for item in items:
            if item == 1:
                os.kill(os.getpid(), number)
            yield item

    before = signal.getsignal(number)
    with pytest.raises(Terminated):
        pool.run(work, range(4), Store(tmp_path), ["cpu"], 1, done.append, lambda text: None)
    assert done == [0, 1] and signal.getsignal(number) is before


def test_a_hangup_that_is_ignored_stays_so(tmp_path):
    """As under nohup."""
    done, before = [], signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def work(items, store, device, alive):
        for item in items:
            os.kill(os.getpid(), signal.SIGHUP)
            yield item

    try:
        pool.run(work, range(3), Store(tmp_path), ["cpu"], 1, done.append, lambda text: None)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done == [0, 1, 2]


def command(store, workers, impatient="pass"):
    line = f"import sys; from zz.lab import pool; {impatient}; from zz.run import main; sys.exit(main())"
    words = [*WORDS, f"store={store}", f"runner.devices={workers}"]
    line = [sys.executable, "-c", line, *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.ci
def test_a_stopped_worker_does_not_keep_a_run_from_its_end(tmp_path):
    process = command(tmp_path / "store", 3, "pool.GRACE = 2.0")
    until(lambda: len(children(process.pid)) == 3 and len(pictures(tmp_path / "store")) > 2, process)
    stopped = children(process.pid)[1]
    os.kill(stopped, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 143 and "is killed" in said and "terminated" in said
    assert not Path(f"/proc/{stopped}").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_asked_to_end_leaves_no_lease(tmp_path, number):
    store = tmp_path / "store"
    process = command(store, 1)
    until(lambda: list(store.glob("cells/*/leases/*")), process)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 143 and "terminated" in said
    assert pictures(store) and not list(store.glob("cells/*/leases"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.ci)])
def test_a_full_output_does_not_end_a_run(tmp_path, workers):
    with Path("/dev/full").open("w") as full:
        words = [*WORDS[2:4], "model=mixture", "steps=4", "limit=8", f"store={tmp_path}", f"runner.devices={workers}"]
        line = [sys.executable, "-m", "zz.run", *words]
        assert subprocess.run(line, stdout=full, stderr=full, timeout=120).returncode == 0
    assert len(pictures(tmp_path)) == 8


@pytest.mark.slow
def test_a_closed_pipe_does_not_end_a_run_and_a_full_output_is_said(tmp_path):
    words = [*WORDS[2:4], "model=mixture", "steps=4", "limit=8", f"store={tmp_path}"]
    process = subprocess.Popen([sys.executable, "-m", "zz.run", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(timeout=120) == 0 and process.stderr.read() == b"" and len(pictures(tmp_path)) == 8
    with Path("/dev/full").open("w") as full:
        line = [sys.executable, "-m", "zz.ls", f"store={tmp_path}"]
        listed = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert listed.returncode == 1 and listed.stderr == "error: No space left on device\n"


STUCK = """
import ctypes, sys
from zz.lab import pool
from zz.lab.store.store import Store

pool.GRACE = 1.0

def work(items, store, device, alive):
    yield 1
    libc, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(lock)
    print("stuck", flush=True)
    libc.pthread_mutex_lock(lock)  # never returns, and no handler in Python runs meanwhile

pool.run(work, [1], Store(sys.argv[1]), ["cpu"], 1, lambda done: print(done, flush=True), print)
"""


@pytest.mark.slow
def test_a_call_that_hangs_in_this_process_does_not_outlive_a_signal(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", STUCK, tmp_path], stdout=subprocess.PIPE, text=True)
    assert [process.stdout.readline() for _ in range(2)] == ["1\n", "stuck\n"]
    time.sleep(2)  # it is in the call by now
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143


@pytest.mark.ci
def test_a_run_that_waits_for_another_ends_when_it_is_asked_to(tmp_path):
    done = subprocess.run([sys.executable, "-m", "zz.run", *WORDS[:4], "limit=2", f"store={tmp_path}"], timeout=120)
    assert done.returncode == 0
    (picture, *_) = pictures(tmp_path)
    lease = picture.parents[1] / "leases" / picture.stem
    picture.unlink()
    lease.parent.mkdir()
    lease.write_text('["another-host", 0, 1]')
    process = command(tmp_path, 1)
    assert any("another run is making" in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and "terminated" in said and lease.exists()
