"""Kill it anywhere: after any fault the same command completes, with files identical to an undisturbed run."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

IMAGES, WIDTH = 24, 2
LINE = ["steps=40", "lambda=null", f"limit={IMAGES}", f"runner.batch_size={WIDTH}", "scorers=[]"]
SWEEP = ["solver=euler_ancestral", "gamma2=0,1", "-m"]


def start(store, workers):
    """A sweep of two cells that share the beginning of their trajectories, on so many workers."""
    command = [
        sys.executable,
        "-m",
        "zz.run",
        "model=mixture",
        f"store={store}",
        f"runner.devices={workers}",
        *LINE,
        *SWEEP,
    ]
    environment = os.environ | {"TMPDIR": str(Path(store).parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def pictures(store):
    return sorted(Path(store).glob("cells/*/images/*/[0-9]*.png"))


def digests(store):
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in pictures(store)}


def children(pid):
    """Worker processes: children that are no resource tracker."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
        except FileNotFoundError:
            pass
    return found


def gone(pid):
    """Whether a process has ended, or is a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    process = start(store, 1)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    found = digests(store)
    assert len(found) == 2 * IMAGES
    return found


def disturb(store, seed):
    """One fault at a random moment of one run; return what was done."""
    rng = random.Random(seed)
    workers = rng.choice([1, 2, 3])
    fault = rng.choice(["kill the parent", "kill a worker", "terminate", "interrupt", "truncate", "tear the width"])
    if fault == "kill a worker" and workers == 1:
        workers = 2
    process = start(store, workers)
    after = rng.randrange(2 * IMAGES - 6)
    while len(pictures(store)) < after and process.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.random() * 0.05)
    below = children(process.pid) if process.poll() is None else []
    if fault == "kill a worker" and below:
        os.kill(rng.choice(below), signal.SIGKILL)
        process.communicate(timeout=240)  # the others finish the work
        assert process.returncode == 0
    elif fault in ("terminate", "interrupt"):
        process.send_signal(signal.SIGTERM if fault == "terminate" else signal.SIGINT)
        process.communicate(timeout=240)
        assert process.returncode in (0, 130, 143)
    else:
        process.kill()
        process.communicate(timeout=240)
        for path in rng.sample(pictures(store), min(3, len(pictures(store)))) if fault == "truncate" else []:
            path.write_bytes(path.read_bytes()[: rng.randrange(60)])
        if fault == "tear the width":
            for path in Path(store).glob("cells/*/width.json"):
                path.write_text("{")
    deadline = time.monotonic() + 60
    while not all(gone(pid) for pid in below):  # orphans end after their slot
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return f"{fault} after {after} pictures, {workers} workers"


def check(tmp_path, undisturbed, seed):
    store = tmp_path / "store"
    done = disturb(store, seed)
    kept = digests(store)
    process = start(store, 1 + seed % 2)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, (done, out)
    assert digests(store) == undisturbed, done
    lost = [path for path, digest in kept.items() if undisturbed[path] != digest]
    assert not lost or "truncate" in done, (done, lost)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_after_a_fault_the_files_are_those_of_an_undisturbed_run(tmp_path, undisturbed, seed):
    check(tmp_path, undisturbed, seed)


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 40))
def test_after_any_of_many_faults(tmp_path, undisturbed, seed):
    check(tmp_path, undisturbed, seed)
