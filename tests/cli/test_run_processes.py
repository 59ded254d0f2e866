"""zz.run as a process: signals, launchers, two at once, a full disk."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from zz.lab.store.store import Store

FAST = ["steps=4", "limit=3", "lambda=null"]


def zz_run(*args, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "zz.run", "model=mixture", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_ctrl_c_is_one_clean_line_and_the_run_goes_on_from_there(store_path, tmp_path):
    args = [f"store={store_path}", "steps=200", "runner.batch_size=1"]
    process = zz_run(*args, cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)})
    while not list(store_path.glob("cells/*/images/*.png")):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "stopped; what is made is kept, the same command goes on from there\n"
    made = len(list(store_path.glob("cells/*/images/*.png")))
    assert 0 < made < 56
    process = zz_run(*args, f"limit={made + 1}", cwd=tmp_path)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and f"1 images to make, {made} there already" in out


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
def test_another_launcher_makes_the_cells_and_tells_of_a_refusal(store_path, tmp_path, launcher):
    if launcher == "submitit_local":
        pytest.importorskip("submitit", reason="needs the slurm extra")
    args = [
        f"store={store_path}",
        f"hydra/launcher={launcher}",
        f"hydra.sweep.dir={tmp_path}",
        "steps=4",
        "limit=1",
        "-m",
    ]
    process = zz_run(*args, "gamma2=0,1", "lambda=3", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert len(list(Store(store_path).cells())) == 2
    process = zz_run(*args, "gamma2=0", "lambda=90", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2 and "error: lambda=90 is too many" in err


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.ci)])
def test_sigterm_finishes_the_slot_and_the_run_goes_on_from_there(store_path, tmp_path, devices):
    args = [f"store={store_path}", "steps=150", "runner.batch_size=4", f"runner.devices={devices}"]
    process = zz_run(*args, cwd=tmp_path)
    while not list(store_path.glob("cells/*/images/*.png")):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, out + err
    assert "terminated; what is made is kept" in out and err == ""
    made = len(list(store_path.glob("cells/*/images/*.png")))
    assert 0 < made < 56 and made % 4 == 0
    process = zz_run(*args, cwd=tmp_path)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and f"{56 - made} images to make, {made} there already" in out


@pytest.mark.slow
def test_two_processes_on_one_cell_both_finish(store_path, tmp_path):
    args = [f"store={store_path}", "steps=20", "runner.batch_size=2", "runner.threads=1"]
    both = [zz_run(*args, cwd=tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    store = Store(store_path)
    (row,) = store.cells()
    assert row.images == row.prompts and row.scores.popitem()[1] == row.prompts
    for name in store.names(row.cell):
        store.image(row.cell, name)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="needs root and unshare")
def test_a_full_disk_keeps_what_is_made(tmp_path):
    """On a real file system of 256 KiB: the run stops with one message, every picture that is there is whole."""
    small = tmp_path / "small"
    small.mkdir()
    run = f"{sys.executable} -m zz.run model=mixture store={small}/store steps=4 size=64 scorers=[]"
    check = f"{sys.executable} -m zz.ls store={small}/store"
    script = f"mount -t tmpfs -o size=256k none {small} && {run}; echo code $?; {check}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    if "mount:" in done.stderr:
        pytest.skip("this machine does not let us mount")
    assert "code 2" in done.stdout and "the disk is full: free some space" in done.stderr
    assert 0 < int(re.search(r"(\d+)/56", done.stdout)[1]) < 56
