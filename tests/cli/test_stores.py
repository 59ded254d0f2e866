"""A store that an older zz made: every command says so in one message, and touches nothing."""

import json
import sys

import pytest
from PIL import Image

import zz.doctor
import zz.ls
import zz.plan
import zz.run
import zz.score
import zz.table

KEY = "bf25ce92474f313f"


@pytest.fixture
def old(store_path):
    """Pictures by thousands, with the width beside them and no store.json."""
    folder = store_path / "cells" / KEY
    (folder / "images" / "000").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "images" / "000" / "000000.png")
    (folder / "width.json").write_text('{"width": 4}')
    (folder / "cell.json").write_text(json.dumps({"key": KEY, "images": 1, "ledger": {"format": 1}}))
    return store_path


@pytest.mark.parametrize(
    "command", [zz.run, zz.plan, zz.score, zz.ls, zz.table, zz.doctor], ids=lambda command: command.__name__
)
def test_a_store_of_the_old_format_is_refused(old, command, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "sweeps"))
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in old.rglob("*")}
    words = [] if command in (zz.ls, zz.table) else ["model=mixture", "limit=1", "steps=2"]
    monkeypatch.setattr(sys, "argv", [command.__name__, f"store={old}", *words])
    code = command.main()
    out, err = capfd.readouterr()
    assert code == 2 and out == ""
    assert err == (
        f"error: store: {old} is of format 1, and this zz writes 2: nothing in it is touched; "
        "choose another with store=PATH, or read it with the zz that made it\n"
    )
    after = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in old.rglob("*")}
    assert after == before
