"""Clips from the command line, of a tiny AnimateDiff with random weights: killed and resumed, to the bit."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

import zz.lab.video
import zz.run
from tests.parity import tiny
from zz.data.base import picture_name
from zz.lab.store.store import Store

PROMPTS, F = ["a red star", "a blue ring", "a star", "a ring"], 3


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    base, adapter = tmp_path_factory.mktemp("sd"), tmp_path_factory.mktemp("adapter")
    tiny.sd().save_pretrained(base)
    tiny.motion_adapter().save_pretrained(adapter)
    return [
        *("model=animatediff", f"model.pretrained={base}", f"model.motion_adapter={adapter}", f"model.frames={F}"),
        *(
            "dataset=inline",
            "scorers=[]",
            f"dataset.texts=[{','.join(PROMPTS)}]",
            "size=[16,32]",
            "steps=6",
            "gamma2=0",
        ),
        *("sampler=free_init", "sampler.iterations=2", "solver=euler_ancestral", "runner.devices=cpu"),
    ]


@pytest.fixture
def run(line, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def main(store, *more):
        monkeypatch.setattr(sys, "argv", ["zz.run", f"store={store}", *line, *more])
        capfd.readouterr()
        code = zz.run.main()
        out, err = capfd.readouterr()
        return code, out, err

    return main


def files(store):
    found = [p for p in store.glob("cells/*/*/**/[0-9]*.*") if p.suffix in (".png", ".mp4")]
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


@pytest.mark.ci
def test_killed_and_resumed_it_makes_the_same_files(run, line, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    code, out, err = run(whole)
    assert code == 0, err
    assert "4 images to make" in out and "videos: " in out and "contact sheet: " in out
    (row,) = Store(whole).cells()
    assert row.images == len(PROMPTS) and row.predictions == 2 * (6 + 2 * 5)
    assert row.cell.ledger["model"]["frames"] == F
    assert Store(whole).image(row.cell, picture_name(PROMPTS[0], 0)).size == (F * 32, 16)
    names = sorted(p.rpartition("/")[2] for p in files(whole))
    assert names == sorted(
        f"{picture_name(text, i)}.{kind}" for i, text in enumerate(PROMPTS) for kind in ("mp4", "png")
    )

    process = subprocess.Popen(
        [sys.executable, "-m", "zz.run", f"store={cut}", *line],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    while not files(cut) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = files(cut)
    assert 0 < len(before) < len(files(whole)) and before.items() < files(whole).items()
    code, out, _ = run(cut)
    assert code == 0 and f"{len(PROMPTS) - sum(p.endswith('.png') for p in before)} images to make" in out
    assert files(cut) == files(whole)

    video = next(cut.glob("cells/*/videos/*/000001-*.mp4"))
    video.unlink()
    code, out, _ = run(cut)
    assert code == 0 and "0 images to make" in out and files(cut) == files(whole), "a video costs no sampling"
    with Image.open(next(cut.glob("cells/*/images/000001-*.png"))) as strip:
        assert strip.text["prompt"] == PROMPTS[1]


def test_without_pyav_nothing_runs(run, tmp_path, monkeypatch):
    monkeypatch.setattr(zz.lab.video, "find_spec", lambda name: None)
    code, _, err = run(tmp_path / "store")
    assert code == 2 and "model=animatediff makes clips, and their videos are written by PyAV" in err
    assert not (tmp_path / "store").exists()


def test_too_many_frames_are_refused_before_anything_is_made(run, tmp_path):
    code, _, err = run(tmp_path / "store", "model.frames=7")
    assert code == 2 and "model.frames=7 is too many: the motion adapter was made for at most 6" in err
