"""What lies where the store's files belong, or cannot be read or written: one message with the path, others go on."""

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest

import zz.ls
import zz.plan
import zz.run
import zz.score
import zz.table
from zz.lab import worker
from zz.lab.store.store import Store

WORDS = ["model=mixture", "steps=2", "limit=3", "gamma2=0,1", "scorers=[log_odds]", "runner.batch_size=2", "-m"]


def call(monkeypatch, capfd, command, store, *words):
    """Exit code, output and errors of a command."""
    words = words if command in (zz.ls, zz.table) else [*WORDS, *words]
    monkeypatch.setenv("TMPDIR", str(Path(store).parent))
    monkeypatch.setattr(sys, "argv", [command.__name__, f"store={store}", *words])
    code = command.main()
    return code, *capfd.readouterr()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(root.parent))
        patch.setattr(sys, "argv", ["zz.run", f"store={root}", *WORDS])
        assert zz.run.main() == 0
    return root


@pytest.fixture
def store(made, store_path):
    shutil.copytree(made, store_path)
    return store_path


def cells(store):
    return sorted((store / "cells").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", '{"ledger": {"a": 1}}', "[" * 100_000])
def test_a_cells_record_that_is_torn_is_named_and_written_anew(store, monkeypatch, capfd, text):
    one, other = cells(store)
    before = (one / "cell.json").read_bytes()
    (one / "cell.json").write_text(text)
    code, out, err = call(monkeypatch, capfd, zz.ls, store)
    assert code == 2 and str(one / "cell.json") in err and "Traceback" not in err
    assert other.name in out and one.name not in out and "1 cells" in out
    code, _, _ = call(monkeypatch, capfd, zz.run, store)
    assert code == 0 and (one / "cell.json").read_bytes() == before


def loop(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def file(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.write_text("")


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("harm", [loop, file])
@pytest.mark.parametrize("where", ["images", "scores"])
def test_what_lies_where_a_folder_belongs_is_named(store, monkeypatch, capfd, harm, where):
    one, other = cells(store)
    harm(one / where)
    code, out, err = call(monkeypatch, capfd, zz.ls, store)
    assert code == 2 and other.name in out and f"{one / where}: it is in the way: remove it" in err
    code, _, err = call(monkeypatch, capfd, zz.run, store)
    assert code == 2 and f"{one / where}: it is in the way: remove it" in err
    (one / where).unlink()
    assert call(monkeypatch, capfd, zz.run, store)[0] == 0, "the remedy works"


def test_a_folder_where_a_part_or_a_record_belongs_is_named(store, monkeypatch, capfd):
    for path in (next(cells(store)[0].glob("scores/*/*.json")), next((store / "rows").iterdir())):
        kept = path.read_bytes()
        folder(path)
        code, out, err = call(monkeypatch, capfd, zz.ls, store)
        assert code == 2 and f"{path}: it is in the way" in err and cells(store)[1].name in out
        path.rmdir()
        path.write_bytes(kept)


def test_a_part_that_leads_nowhere_is_no_part(store):
    one = Store(store)
    cell, _ = one.cell(cells(store)[0].name)
    part = next(cells(store)[0].glob("scores/*/*.json"))
    part.with_name("part-x-1.json").symlink_to("nowhere")
    assert len(one.scores(cell, part.parent.name)) == 3


@pytest.mark.parametrize(
    ("error", "where"), [(errno.EIO, "images"), (errno.ESTALE, "scores"), (errno.EACCES, "cell.json")]
)
def test_a_path_that_fails_is_named_and_the_others_are_listed(store, monkeypatch, capfd, error, where):
    one, other = cells(store)
    listdir, read = os.listdir, Path.read_text

    def fails(path):
        if one / where in (Path(path), *Path(path).parents):
            raise OSError(error, os.strerror(error), str(path))

    monkeypatch.setattr(os, "listdir", lambda path: fails(path) or listdir(path))
    monkeypatch.setattr(Path, "read_text", lambda path, *a, **more: fails(path) or read(path, *a, **more))
    code, out, err = call(monkeypatch, capfd, zz.ls, store)
    assert code == 2 and str(one / where) in err and other.name in out
    if where != "cell.json":  # which is written anew
        code, _, err = call(monkeypatch, capfd, zz.run, store)
        assert code == 2 and err.count("\n") == 1 and str(one / where) in err


def test_a_picture_that_cannot_be_read_now_is_not_taken_for_torn(store, monkeypatch, capfd):
    one = cells(store)[0]
    path, opened = next((one / "images").iterdir()), Path.open
    (one / "whole.txt").unlink(missing_ok=True)
    before = path.read_bytes()

    def fails(self, *args, **more):
        if self == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(self, *args, **more)

    monkeypatch.setattr(Path, "open", fails)
    code, _, err = call(monkeypatch, capfd, zz.run, store)
    monkeypatch.undo()
    assert code == 2 and str(path) in err and path.read_bytes() == before


def test_cells_that_cannot_be_listed_are_not_no_cells(store, monkeypatch, capfd):
    shutil.rmtree(store / "cells")
    (store / "cells").write_text("")
    code, out, err = call(monkeypatch, capfd, zz.ls, store)
    assert code == 2 and out == "" and f"{store / 'cells'}: it is in the way" in err


def test_what_lies_where_a_picture_belongs_fails_alone(store, monkeypatch, capfd):
    one = cells(store)[0]
    first, second, third = sorted((one / "images").glob("*.png"))
    (one / "whole.txt").unlink()  # none has been looked at yet
    folder(first)
    second.unlink()
    third.unlink()
    code, out, err = call(monkeypatch, capfd, zz.run, store)
    assert code == 1 and err == "" and f"{first}: it is in the way: remove it" in out.replace("\n", "")
    assert second.is_file() and third.is_file()
    assert sorted(path.name for path in (one / "images").iterdir()) == [first.name, second.name, third.name]
    first.rmdir()
    assert call(monkeypatch, capfd, zz.run, store)[0] == 0 and first.is_file()
    assert not list((one / "failed").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("size", [-4, 1_000_000, 4096])
def test_a_batch_size_that_was_edited_is_at_most_what_there_are_prompts(store, monkeypatch, capfd, size):
    for path in (store / "rows").iterdir():
        path.write_text(json.dumps({**json.loads(path.read_text()), "batch_size": size}))
    for path in store.glob("cells/*/images/*.png"):
        path.unlink()
    asked, draw = [], worker.draw_pictures

    def counted(job, pictures, *more):
        asked.append(len(pictures))
        return draw(job, pictures, *more)

    monkeypatch.setattr(worker, "draw_pictures", counted)
    assert call(monkeypatch, capfd, zz.run, store)[0] == 0
    assert 0 < max(asked) <= 80  # of the exact model's own prompts


def test_a_batch_size_beyond_the_prompts_asked_for_governs_nothing(store_path, monkeypatch, capfd):
    assert call(monkeypatch, capfd, zz.run, store_path, "runner.batch_size=4096", "limit=24")[0] == 0
    assert {json.loads(path.read_text())["batch_size"] for path in (store_path / "rows").iterdir()} == {24}


def test_a_score_that_is_no_finite_number_is_made_again(store, monkeypatch, capfd):
    part = next(cells(store)[0].glob("scores/*/*.json"))
    record = json.loads(part.read_text())
    name, right = next(iter(record["scores"].items()))
    one = Store(store)
    cell, _ = one.cell(cells(store)[0].name)
    for value in ("NaN", '"1.5"', "true", "null", "[1]", "1e999", "1" + "0" * 400):
        part.write_text(json.dumps(record).replace(json.dumps(right), value))
        assert one.scores(cell, part.parent.name).keys() == record["scores"].keys() - {name}, value
    assert call(monkeypatch, capfd, zz.score, store)[0] == 0
    assert one.scores(cell, part.parent.name)[name] == right


@contextlib.contextmanager
def nobody():
    """One whom permissions bind."""
    if root := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def locked(made):
    """A store that can only be read."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "store"
        shutil.copytree(made, root)
        Path(name).chmod(0o777)
        for path in (*root.rglob("*"), root):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield root
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)


@pytest.mark.parametrize("command", [zz.run, zz.score, zz.plan, zz.table, zz.ls], ids=lambda one: one.__name__)
def test_a_store_that_can_only_be_read_shows_what_is_there(locked, monkeypatch, capfd, command):
    before = {path: path.stat().st_mtime_ns for path in locked.rglob("*")}
    with nobody():
        code, out, err = call(monkeypatch, capfd, command, locked)
    assert code == 0 and err == "", err
    assert (
        "3 images" if command is zz.plan else "3/3" if command is not zz.ls else "2 cells"
    ) in out or "6 there" in out
    assert {path: path.stat().st_mtime_ns for path in locked.rglob("*")} == before


@pytest.mark.parametrize("command", [zz.run, zz.score], ids=lambda one: one.__name__)
def test_what_would_have_to_be_written_there_is_refused(locked, monkeypatch, capfd, command):
    words = ["limit=4"] if command is zz.run else ["scorers=[atypicality]"]
    with nobody():
        code, _, err = call(monkeypatch, capfd, command, locked, *words)
    assert code == 2 and err == f"error: store: {locked}: it cannot be written: choose another with store=PATH\n"


def test_cells_without_permission_are_not_no_cells(locked, monkeypatch, capfd):
    (locked / "cells").chmod(0)
    with nobody():
        code, out, err = call(monkeypatch, capfd, zz.ls, locked)
    assert code == 2 and out == "" and f"{locked / 'cells'}: it cannot be read" in err


def test_what_killed_writers_left_long_ago_is_swept(store, monkeypatch, capfd):
    one = cells(store)[0]
    images, scores = one / "images", next((one / "scores").iterdir())
    old = [where / ".x.png.host.77.1a2b" for where in (images, scores, one, store / "rows", store / "manifests")]
    young, foreign = images / ".y.png.host.77.1a2b", images / ".DS_Store"
    for path in (*old, young, foreign):
        path.write_bytes(b"half")
    for path in (*old, foreign):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    assert call(monkeypatch, capfd, zz.run, store)[0] == 0
    assert not any(path.exists() for path in old) and young.exists() and foreign.exists()


def test_a_list_of_prompts_that_is_torn_is_written_anew(store, monkeypatch, capfd):
    (path,) = (store / "prompts").iterdir()
    before = path.read_bytes()
    for text in (before[:-7], b'{"text": 3}\n'):
        path.write_bytes(text)
        code, _, err = call(monkeypatch, capfd, zz.table, store)
        assert code == 2 and str(path) in err and "Traceback" not in err
        assert call(monkeypatch, capfd, zz.run, store)[0] == 0 and path.read_bytes() == before
