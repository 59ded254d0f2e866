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

from zz.lab.store.store import Store

IMAGES, BATCH_SIZE = 24, 2
LINE = ["steps=40", "lambda=null", f"limit={IMAGES}", f"runner.batch_size={BATCH_SIZE}", "scorers=[]"]
FAULTS = (
    "kill the parent",
    "kill a worker",
    "terminate",
    "interrupt",
    "tear pictures",  # the machine went down before anybody had looked at them
    "tear pictures that were whole",  # and after: runner.verify=true looks at all again
    "tear the records",
    "tear the list of whole pictures",
)
SWEEP = ["solver=euler_ancestral", "gamma2=0,1", "-m"]


def start(store, workers, *more):
    """A sweep of two cells that share the beginning of their trajectories, on so many workers."""
    command = [
        sys.executable,
        "-m",
        "zz.run",
        "model=mixture",
        f"store={store}",
        f"runner.devices={workers}",
        *LINE,
        *more,
        *SWEEP,
    ]
    environment = os.environ | {"TMPDIR": str(Path(store).parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def pictures(store):
    return sorted(Path(store).glob("cells/*/images/[0-9]*.png"))


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
    """One fault at a random moment of one run; return what was done, and the words that mend it."""
    rng = random.Random(seed)
    workers = rng.choice([1, 2, 3])
    fault = FAULTS[seed % len(FAULTS)]
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
    deadline = time.monotonic() + 60
    while not all(gone(pid) for pid in below):  # orphans end after their slot
        assert time.monotonic() < deadline
        time.sleep(0.05)
    done = f"{fault} after {after} pictures, {workers} workers"
    return done, tear(Path(store), fault, rng)


def tear(store, fault, rng):
    """What a machine that goes down leaves of files that were being written; return the words that mend it."""
    whole = fault == "tear pictures that were whole"
    for folder in store.glob("cells/*/images") if whole else ():
        cell = Store(store).cell(folder.parent.name)[0]
        assert Store(store).missing(cell, [path.stem for path in folder.glob("[0-9]*.png")]).names == []
    if fault.startswith("tear pictures"):
        torn = rng.sample(pictures(store), min(3, len(pictures(store))))
        for path in torn:
            path.write_bytes(path.read_bytes()[: rng.randrange(60)])
        noted = [p for p in torn if (n := p.parents[1] / "whole.txt").exists() and p.stem in n.read_text().split()]
        assert noted == torn or not whole
        return ["runner.verify=true"] if noted else []
    if fault == "tear the records":
        for path in (*store.glob("rows/*.json"), *store.glob("cells/*/cell.json"), *store.glob("manifests/*.json")):
            path.write_text("{")
    if fault == "tear the list of whole pictures":
        for path in store.glob("cells/*/whole.txt"):
            path.write_bytes(path.read_bytes()[: rng.randrange(200)])
    return []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.ci) for seed in range(1, 16))])
def test_after_any_fault_the_files_are_those_of_an_undisturbed_run(tmp_path, undisturbed, seed):
    store = tmp_path / "store"
    done, words = disturb(store, seed)
    kept = digests(store)
    process = start(store, 1 + seed % 2, *words)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, (done, out)
    assert digests(store) == undisturbed, done
    lost = [path for path, digest in kept.items() if undisturbed[path] != digest]
    assert not lost or "tear pictures" in done, (done, lost)
