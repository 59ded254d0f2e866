"""The store: atomic, content-addressed, resumable, listable; two writers cannot tear it."""

import json
import multiprocessing as mp
import os
import subprocess
import sys
import time

import pytest
from PIL import Image

from zz.lab.cell import Cell
from zz.lab.store import Store, StoreError

CELL = Cell({"format": 1, "sampler": {"is": "Standard", "gamma1": 2}, "steps": 4})
ABOUT = {"model": "m", "dataset": "d"}
RED = Image.new("RGB", (8, 8), "red")


@pytest.fixture
def store(store_path):
    store = Store(store_path)
    store.begin(CELL, 10, 4, ABOUT)
    return store


def test_a_picture_that_another_task_has_made_has_not_failed(store):
    store.put_failure(CELL, 3, "a", 17, "full")
    assert set(store.failures(CELL)) == {3}
    store.put_image(CELL, 3, RED, "a", 17)
    store.put_failure(CELL, 3, "a", 17, "full")
    assert store.failures(CELL) == {}


def test_a_picture_comes_back_with_key_prompt_and_seed_only(store):
    store.put_image(CELL, 3, RED, "a réd circle", 17)
    with Image.open(store.image_path(CELL, 3)) as png:
        png.load()
        assert png.text == {"key": CELL.key, "prompt": "a réd circle", "seed": "17"}
    assert store.image(CELL, 3).tobytes() == RED.tobytes()
    assert store.images(CELL) == {3}


def test_equal_pictures_are_equal_files(store):
    store.put_image(CELL, 3, RED, "a", 17)
    first = store.image_path(CELL, 3).read_bytes()
    store.put_image(CELL, 3, RED, "a", 17)
    assert store.image_path(CELL, 3).read_bytes() == first


@pytest.mark.parametrize("harm", ["empty", "head", "cut", "text"])
def test_a_broken_picture_is_missing_and_said_to_be(store, harm):
    store.put_image(CELL, 0, RED, "a", 0)
    store.put_image(CELL, 1, RED, "a", 1)
    path = store.image_path(CELL, 1)
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "head": whole[:8], "cut": whole[: len(whole) // 2 + 40], "text": b"not a picture at all"}[harm]
    )
    assert store.missing(CELL, range(3)) == ([1, 2], [1])
    with pytest.raises(StoreError, match=r"000001\.png"):
        store.image(CELL, 1)


def test_a_failed_write_leaves_nothing_behind(store, monkeypatch):
    def fails(*args, **kwargs):
        args[1].write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(StoreError, match="disk is full: free some space"):
        store.put_image(CELL, 0, RED, "a", 0)
    monkeypatch.undo()
    assert store.missing(CELL, range(1)).indices == [0]
    assert list(store.image_path(CELL, 0).parent.iterdir()) == []


def test_the_width_that_a_cell_began_with_governs_it(store):
    assert store.begin(CELL, 10, 16, ABOUT) == 4
    assert store.width(CELL) == 4


def test_scores_are_added_and_never_lost(store):
    store.put_scores(CELL, "s-1", {"name": "s"}, {0: 0.5, 1500: 1.5})
    store.put_scores(CELL, "s-1", {"name": "s"}, {1: 2.0})
    assert store.scores(CELL, "s-1") == {0: 0.5, 1: 2.0, 1500: 1.5}
    assert store.scores(CELL, "t-1") == {}
    torn = store.folder(CELL) / "scores" / "s-1" / "000.json"
    torn.write_text(torn.read_text()[:-10])
    assert store.scores(CELL, "s-1") == {1500: 1.5}  # scored again, not trusted


def test_foreign_files_are_neither_pictures_nor_cells(store):
    store.put_image(CELL, 0, RED, "a", 0)
    folder = store.image_path(CELL, 0).parent
    (folder / ".000001.png.host.1.2").write_bytes(b"left by a killed writer")
    (folder / "thumbs.db").write_bytes(b"")
    assert store.images(CELL) == {0}
    assert [row.images for row in store.table()] == [1]


def test_a_ledger_changed_by_hand_is_found_out(store):
    path = store.folder(CELL) / "cell.json"
    path.write_text(path.read_text().replace('"gamma1": 2', '"gamma1": 3'))
    with pytest.raises(StoreError, match="changed by hand"):
        list(store.table())
    path.write_text("{")
    with pytest.raises(StoreError, match="not a cell's record"):
        list(store.table())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="store=PATH"):
        Store(tmp_path / "store").check_writable()


def test_a_store_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="store=PATH"):
        Store(tmp_path / "file" / "store").check_writable()


def _write(root, begin):
    begin.wait()
    store = Store(root)
    store.begin(CELL, 200, 4 + os.getpid() % 2, ABOUT)
    for i in range(200):
        store.put_image(CELL, i, Image.new("RGB", (16, 16), (i, 0, 0)), "a", i)


def test_two_writers_tear_nothing(store_path):
    context = mp.get_context("spawn")
    begin = context.Event()
    writers = [context.Process(target=_write, args=(store_path, begin)) for _ in range(2)]
    for writer in writers:
        writer.start()
    begin.set()
    store = Store(store_path)
    while any(writer.is_alive() for writer in writers):  # a reader sees whole files only
        for i in store.images(CELL):
            store.image(CELL, i)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert store.missing(CELL, range(200)) == ([], [])
    assert {store.begin(CELL, 200, 99, ABOUT) for _ in range(3)} == {store.width(CELL)}


def test_a_killed_writer_leaves_no_half_picture(store_path):
    code = (
        "from PIL import Image; from zz.lab.cell import Cell; from zz.lab.store import Store; import random\n"
        f"cell, store = Cell({dict(CELL.ledger)!r}), Store({str(store_path)!r})\n"
        "picture = Image.effect_noise((256, 256), 90).convert('RGB'); print('go', flush=True); i = 0\n"
        "while True: store.put_image(cell, i, picture, 'a', i); i += 1\n"
    )
    for wait in (0.05, 0.11, 0.23):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        writer.stdout.readline()
        store = Store(store_path)
        while not store.images(CELL) and writer.poll() is None:
            time.sleep(0.01)  # on a busy machine the first picture takes its time
        time.sleep(wait)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        there = store.images(CELL)
        assert there and store.missing(CELL, there).indices == []
        for i in there:
            store.image(CELL, i)


@pytest.mark.slow
def test_thirty_thousand_pictures_stay_usable(store_path):
    store = Store(store_path)
    store.begin(CELL, 30_000, 16, ABOUT)
    store.put_image(CELL, 0, RED, "a", 0)
    data = store.image_path(CELL, 0).read_bytes()
    for i in range(1, 30_000):
        path = store.image_path(CELL, i)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    assert max(len(list(f.iterdir())) for f in (store.folder(CELL) / "images").iterdir()) == 1000
    assert [row.images for row in store.table()] == [30_000]
    assert store.missing(CELL, range(30_000)) == ([], [])


def test_the_run_record_holds_what_varies(store):
    path = store.put_run(CELL, {"devices": ["cpu"]})
    assert json.loads(path.read_text()) == {"devices": ["cpu"]}
    assert "devices" not in (store.folder(CELL) / "cell.json").read_text()
