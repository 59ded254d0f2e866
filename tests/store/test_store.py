"""The store: atomic, content-addressed, resumable, listable; two writers cannot tear it."""

import json
import multiprocessing as mp
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from zz.data.base import picture_name
from zz.lab.cell import Cell, row_id
from zz.lab.store import store as store_module
from zz.lab.store.store import Store, StoreError

CELL = Cell({"format": 2, "sampler": {"is": "Standard", "gamma1": 2}, "steps": 4})
ABOUT = {"model": "m", "predictions": 4, "evals": 8}
RED = Image.new("RGB", (8, 8), "red")
NAMES = [picture_name("a", seed) for seed in range(200)]


@pytest.fixture
def store(store_path):
    store = Store(store_path)
    store.begin(CELL, ABOUT)
    return store


def test_a_picture_that_another_task_has_made_has_not_failed(store):
    store.put_failure(CELL, NAMES[17], "a", 17, "full")
    assert set(store.failures(CELL)) == {NAMES[17]}
    store.put_image(CELL, NAMES[17], RED, "a", 17)
    store.put_failure(CELL, NAMES[17], "a", 17, "full")
    assert store.failures(CELL) == {}


def test_a_picture_comes_back_with_key_prompt_and_seed_only(store):
    name = picture_name("a réd circle", 17)
    assert name == "000017-c8a5c43157ee", "as sha256sum has it"
    store.put_image(CELL, name, RED, "a réd circle", 17)
    with Image.open(store.image_path(CELL, name)) as png:
        png.load()
        assert png.text == {"key": CELL.key, "prompt": "a réd circle", "seed": "17"}
    assert store.image(CELL, name).tobytes() == RED.tobytes()
    assert store.names(CELL) == {name}


def test_equal_pictures_are_equal_files(store, tmp_path):
    other = Store(tmp_path / "other")
    for one in (store, other):
        one.put_image(CELL, NAMES[17], RED, "a", 17)
    assert store.image_path(CELL, NAMES[17]).read_bytes() == other.image_path(CELL, NAMES[17]).read_bytes()


def test_a_whole_picture_is_never_replaced_and_a_torn_one_is(store):
    path, blue = store.image_path(CELL, NAMES[0]), Image.new("RGB", (8, 8), "blue")
    store.put_image(CELL, NAMES[0], RED, "a", 0)
    before = path.read_bytes(), path.stat().st_mtime_ns
    store.put_image(CELL, NAMES[0], blue, "a", 0)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    path.write_bytes(before[0][:-1])
    store.put_image(CELL, NAMES[0], blue, "a", 0)
    assert store.image(CELL, NAMES[0]).tobytes() == blue.tobytes()
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing is left beside it"


def test_a_picture_that_another_writes_between_two_looks_is_kept(store, monkeypatch):
    path, look = store.image_path(CELL, NAMES[0]), store_module.is_whole

    def look_then_another_writes(asked):
        found = look(asked)
        monkeypatch.setattr(store_module, "is_whole", look)
        Store(store.root).put_image(CELL, NAMES[0], RED, "a", 0)
        written.append(asked.stat().st_ino)
        return found

    written: list[int] = []
    monkeypatch.setattr(store_module, "is_whole", look_then_another_writes)
    store.put_image(CELL, NAMES[0], RED, "a", 0)
    assert written == [path.stat().st_ino], "it is never removed: its writer and readers look for it"


@pytest.mark.parametrize("harm", ["empty", "head", "cut", "text"])
def test_a_broken_picture_is_missing_and_said_to_be(store, harm):
    for seed in range(2):
        store.put_image(CELL, NAMES[seed], RED, "a", seed)
    path = store.image_path(CELL, NAMES[1])
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "head": whole[:8], "cut": whole[: len(whole) // 2 + 40], "text": b"not a picture at all"}[harm]
    )
    for _ in range(2):
        assert store.missing(CELL, NAMES[:3]) == (NAMES[1:3], [NAMES[1]])
    with pytest.raises(StoreError, match=rf"{NAMES[1]}\.png"):
        store.image(CELL, NAMES[1])


def test_a_picture_is_looked_at_once_and_later_its_name_is_enough(store, monkeypatch):
    """Written down when it was found whole, not when it was made: a machine may go down in between."""
    for seed in range(3):
        store.put_image(CELL, NAMES[seed], RED, "a", seed)
    assert not (store.folder(CELL) / "whole.txt").exists()
    looked, whole = [], store_module.is_whole
    monkeypatch.setattr(store_module, "is_whole", lambda path: looked.append(Path(path).stem) or whole(path))
    for _ in range(2):
        assert store.missing(CELL, NAMES[:4]) == (NAMES[3:4], [])
    assert sorted(looked) == NAMES[:3]
    store.image_path(CELL, NAMES[1]).write_bytes(b"torn")
    store.image_path(CELL, NAMES[2]).unlink()
    assert store.missing(CELL, NAMES[:3]) == (NAMES[2:3], []), "it was whole once; one that is gone is missing"
    for _ in range(2):
        assert store.missing(CELL, NAMES[:3], verify=True) == (NAMES[1:3], [NAMES[1]])
    assert store.missing(CELL, NAMES[:3]) == (NAMES[1:3], [NAMES[1]]), "what was found torn is not trusted again"
    noted = (store.folder(CELL) / "whole.txt").read_text().split()
    assert sorted(noted) == [NAMES[0], NAMES[2]], "looking again notes nothing twice"


def test_a_torn_list_of_whole_pictures_costs_a_second_look_only(store):
    for seed in range(3):
        store.put_image(CELL, NAMES[seed], RED, "a", seed)
    store.missing(CELL, NAMES[:3])
    noted = store.folder(CELL) / "whole.txt"
    noted.write_bytes(noted.read_bytes()[:-8] + b"\xff\xfe")
    store.image_path(CELL, NAMES[0]).write_bytes(b"torn")
    assert store.missing(CELL, NAMES[:3]) == ([NAMES[0]], [NAMES[0]])


def test_a_failed_write_leaves_nothing_behind(store, monkeypatch):
    def fails(*args, **kwargs):
        args[1].write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(StoreError, match="disk is full: free some space"):
        store.put_image(CELL, NAMES[0], RED, "a", 0)
    monkeypatch.undo()
    assert store.missing(CELL, NAMES[:1]).names == NAMES[:1]
    assert list(store.image_path(CELL, NAMES[0]).parent.iterdir()) == []


def test_the_batch_size_that_a_row_began_with_governs_it(store):
    row, other = row_id(CELL.key, "one"), row_id(CELL.key, "other")
    assert store.batch_size(row) is None
    assert store.begin_row(row, CELL, "one", 4) == 4 == store.begin_row(row, CELL, "one", 16) == store.batch_size(row)
    assert store.begin_row(other, CELL, "other", 16) == 16 and store.batch_size(row) == 4
    for torn in ("", "{", '{"batch_size": 0}', '{"batch_size": true}', '{"batch_size": 1e9}', "[4]"):
        (store.root / "rows" / f"{row}.json").write_text(torn)
        assert store.batch_size(row) is None
        assert store.begin_row(row, CELL, "one", 8) == 8 == store.batch_size(row)


def test_scores_are_added_and_never_lost(store):
    a, b, c = NAMES[:3]
    store.put_scores(CELL, "s-00000001", {"name": "s"}, {a: 0.5, c: 1.5})
    (torn,) = (store.folder(CELL) / "scores" / "s-00000001").iterdir()
    store.put_scores(CELL, "s-00000001", {"name": "s"}, {b: 2.0})
    assert store.scores(CELL, "s-00000001") == {a: 0.5, b: 2.0, c: 1.5}
    assert store.scores(CELL, "t-1") == {}
    torn.write_text(torn.read_text()[:-10])
    assert store.scores(CELL, "s-00000001") == {b: 2.0}  # scored again, not trusted


def test_foreign_files_are_neither_pictures_nor_cells(store):
    store.put_image(CELL, NAMES[0], RED, "a", 0)
    folder = store.image_path(CELL, NAMES[0]).parent
    (folder / f".{NAMES[1]}.png.host.1.2").write_bytes(b"left by a killed writer")
    for name in ("thumbs.db", "000001.png", f"copy of {NAMES[1]}.png", f"{NAMES[1]}.png.bak"):
        (folder / name).write_bytes(b"")
    assert store.names(CELL) == {NAMES[0]}
    store.put_scores(CELL, "s-00000001", {"name": "s"}, {NAMES[0]: 0.5})
    assert list(store.cells()) == [(CELL, "m", 0, 1, {"s-00000001": 1}, 4, 8)]


def test_a_ledger_changed_by_hand_is_found_out(store):
    path = store.folder(CELL) / "cell.json"
    path.write_text(path.read_text().replace('"gamma1": 2', '"gamma1": 3'))
    with pytest.raises(StoreError, match="changed by hand"):
        list(store.cells())
    path.write_text("{")
    with pytest.raises(StoreError, match="not a cell's record"):
        list(store.cells())


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
    store.begin(CELL, ABOUT)
    store.begin_row("row", CELL, "p", 1 + os.getpid() % 4096)
    for i, name in enumerate(NAMES):
        store.put_image(CELL, name, Image.new("RGB", (16, 16), (i, 0, 0)), "a", i)


def test_two_writers_tear_nothing(store_path):
    context = mp.get_context("spawn")
    begin = context.Event()
    writers = [context.Process(target=_write, args=(store_path, begin)) for _ in range(2)]
    for writer in writers:
        writer.start()
    begin.set()
    store = Store(store_path)
    while any(writer.is_alive() for writer in writers):  # a reader sees whole files only
        assert store.missing(CELL, NAMES).broken == []
        for name in store.names(CELL):
            store.image(CELL, name)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert store.missing(CELL, NAMES, verify=True) == ([], [])
    sizes = {1 + writer.pid % 4096 for writer in writers}
    assert {store.begin_row("row", CELL, "p", 99) for _ in range(3)} == {store.batch_size("row")} <= sizes


def test_a_killed_writer_leaves_no_half_picture(store_path):
    code = (
        "from PIL import Image; from zz.lab.cell import Cell; from zz.lab.store.store import Store\n"
        "from zz.data.base import picture_name\n"
        f"cell, store = Cell({dict(CELL.ledger)!r}), Store({str(store_path)!r})\n"
        "picture = Image.effect_noise((256, 256), 90).convert('RGB'); print('go', flush=True); i = 0\n"
        "while True: store.put_image(cell, picture_name('a', i), picture, 'a', i); i += 1\n"
    )
    for wait in (0.05, 0.11, 0.23):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        writer.stdout.readline()
        store = Store(store_path)
        while not store.names(CELL) and writer.poll() is None:
            time.sleep(0.01)  # on a busy machine the first picture takes its time
        time.sleep(wait)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        there = store.names(CELL)
        assert there and store.missing(CELL, sorted(there)) == ([], [])
        for name in there:
            store.image(CELL, name)


@pytest.mark.slow
def test_thirty_thousand_pictures_stay_usable(store_path):
    store = Store(store_path)
    store.begin(CELL, ABOUT)
    names = [picture_name("a", seed) for seed in range(30_000)]
    store.put_image(CELL, names[0], RED, "a", 0)
    data = store.image_path(CELL, names[0]).read_bytes()
    for name in names[1:]:
        store.image_path(CELL, name).write_bytes(data)
    assert [row.images for row in store.cells()] == [30_000]
    assert store.missing(CELL, names) == ([], [])
    start = time.perf_counter()
    assert store.missing(CELL, names) == ([], [])
    assert time.perf_counter() - start < 2, "by their names: no file is opened"


def test_the_run_record_holds_what_varies(store):
    path = store.put_run(CELL, {"devices": ["cpu"]})
    assert json.loads(path.read_text()) == {"devices": ["cpu"]}
    assert "devices" not in (store.folder(CELL) / "cell.json").read_text()
