"""Folders that others write into as well, and file systems that lack what a local disk has."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zz.data.base import picture_name
from zz.hub.files import digest
from zz.lab.cell import Cell, row_id
from zz.lab.store.atomic import creating, sweep
from zz.lab.store.manifest import Manifest, Row, find, names, put
from zz.lab.store.store import Store

CELL = Cell({"format": 2, "sampler": {"is": "Standard", "gamma1": 2}, "steps": 4})
RED = Image.new("RGB", (8, 8), "red")
NAMES = [picture_name("a", seed) for seed in range(2)]


@pytest.fixture
def store(store_path):
    return Store(store_path)


STRANGERS = (
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "000001 (1).png",
    "._000001.png",
    ".nfs00000001",
    "backup-20240101",
    "x.json~",
    "New",
)


def test_what_others_put_into_a_store_is_not_there(store):
    """Files and folders beside ours, in every folder: nothing lists them, and none is taken away."""
    cell, made = CELL, Manifest("run", (row_of(CELL),))
    store.begin(cell, {"model": "m", "predictions": 1, "evals": 2})
    store.begin_row(row_id(cell.key, "a"), cell, "a", 4)
    store.put_prompts("a", [{"text": "a\u2028b", "seed": 0, "meta": {"path": "\udcff"}}])
    store.put_image(cell, NAMES[0], RED, "a", 0)
    store.put_failure(cell, NAMES[1], "a", 1, "no")
    store.put_scores(cell, "s-00000001", {"name": "s"}, {NAMES[0]: 0.5})
    store.put_features(cell, "f-00000001", {NAMES[0]: np.zeros(2)})
    store.put_measured(cell, "m-00000001", NAMES[0], {"x": 1.0})
    put(store, made)

    def seen():
        store.fold(cell)
        return (
            list(store.cells()),
            store.names(cell),
            store.missing(cell, NAMES[:2], verify=True),
            store.failures(cell),
            store.scores(cell, "s-00000001"),
            sorted(store.features(cell, "f-00000001")),
            store.measurements(cell),
            store.unmeasured(cell, "m-00000001", NAMES[:2]),
            store.prompts("a"),
            names(store),
            find(store),
        )

    before = seen()
    assert before[0][0].scores == {"s-00000001": 1} and before[6] == ["m-00000001"] and before[9] == [made.id]
    assert before[8] == [{"text": "a\u2028b", "seed": 0, "meta": {"path": "\udcff"}}]
    strangers = []
    for folder in [store.root, *(path for path in store.root.rglob("*") if path.is_dir())]:
        for copied in [path for path in folder.iterdir() if path.is_file()]:
            strangers.append(copied.with_name(f"{copied.stem} (1){copied.suffix}"))
            strangers[-1].write_bytes(copied.read_bytes())
        for name in STRANGERS:
            strangers.append(folder / name)
            strangers[-1].mkdir() if name == "New" else strangers[-1].write_bytes(b"\0\0\0\1Bud1")
            os.utime(strangers[-1], (0, 0))
        sweep(folder)
    assert seen() == before
    assert all(path.exists() for path in strangers)


def row_of(cell):
    return Row("r", cell.key, "a", "inline", "a title", "asked")


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK])
def test_a_file_system_without_hard_links_serves_as_well(store, monkeypatch, code):
    """What is there is kept, also where it comes to be there just before the rename."""

    def refused(*paths):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refused)
    store.check_writable()
    assert store.begin_row("a" * 16, CELL, "one", 4) == 4 == store.begin_row("a" * 16, CELL, "one", 16)
    store.put_image(CELL, NAMES[0], RED, "a", 0)
    store.put_image(CELL, NAMES[0], Image.new("RGB", (8, 8), "blue"), "a", 0)
    assert store.image(CELL, NAMES[0]).tobytes() == RED.tobytes()
    path = store.root / "late"
    with creating(path) as temporary:
        temporary.write_text("mine")
        taken = os.open(path.with_name(".late.lock"), os.O_CREAT | os.O_EXCL)
        threading.Timer(0.05, lambda: (path.write_text("theirs"), path.with_name(".late.lock").unlink())).start()
    os.close(taken)
    assert path.read_text() == "theirs"
    with creating(store.root / "left") as temporary:
        temporary.write_text("mine")
        lock = store.root / ".left.lock"
        lock.touch()
        os.utime(lock, (0, 0))  # whoever made it is dead
    assert (store.root / "left").read_text() == "mine"
    assert not list(store.root.rglob(".*")), "no lock and no temporary file is left"


def test_many_writers_without_hard_links_write_once(store, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no links")))
    path, renamed, rename = store.root / "one", [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (renamed.append(self), rename(self, target)))

    def write(number):
        with creating(path) as temporary:
            temporary.write_text(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(32)))
    assert len(renamed) == 1 and path.read_text() in map(str, range(32))


def test_what_others_put_into_a_models_folder_moves_no_identity(tmp_path):
    part = tmp_path / "unet"
    part.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (part / name).write_text("{}")
    before = digest(tmp_path, ["unet"])
    for name in (*STRANGERS[:-1], "._config.json", "._model.safetensors", "config (1).json", "model (1).safetensors"):
        (part / name).write_text("other")
    (part / "New.json").mkdir()
    assert digest(tmp_path, ["unet"]) == before
    (part / "added.json").write_text("{}")
    assert digest(tmp_path, ["unet"]) != before
