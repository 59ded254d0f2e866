"""Manifests: what was asked for, kept and found again; whatever is wrong with one is said with its path."""

import json
import os
import re
from dataclasses import replace

import pytest
from PIL import Image

from tests.make import job
from zz.lab.job import CONTROLS
from zz.lab.results import Results
from zz.lab.store import manifest
from zz.lab.store.manifest import Manifest, Row, find
from zz.lab.store.store import Store, StoreError

SCORERS = {"log_odds": {"id": "log_odds-1a2b3c4d", "kind": "image", "unit": "nats", "higher_is_better": True}}


def rows(store):
    """Our cell and its controls, begun in the store."""
    ours, found = job(), []
    for role, one in {"asked": ours, **ours.controls()}.items():
        store.begin(one.cell, {"model": "mixture"})
        row = Row(one.id, one.cell.key, one.prompts.record_digest, "inline", f"the {role} one", role)
        control_of = () if role == "asked" else ((ours.id, role),)
        row = replace(
            row, controls=control_of, scorers=SCORERS, wanted=3, repeats=2, labels=("SDXL | Z-Sampling", "k = 1")
        )
        found.append(replace(row, **one.recipe.cost._asdict()))
    return tuple(found)


@pytest.fixture
def store(store_path):
    return Store(store_path)


@pytest.fixture
def kept(store):
    """A manifest, and the file that it lies in."""
    whole = Manifest("gap", rows(store), {"scores": ["log_odds"], "by": None})
    manifest.put(store, whole)
    return whole, store.root / "manifests" / f"{whole.id}.json"


def test_a_manifest_comes_back_as_it_was(store, kept):
    whole, path = kept
    assert path.is_file() and whole.id.startswith("gap-")
    for name in (None, "gap", whole.id):
        assert find(store, name) == whole
    ours, *controls = find(store).rows
    assert find(store).controls_of(ours) == list(zip(CONTROLS, controls, strict=True))
    assert find(store).controls_of(controls[0]) == []


def test_the_same_request_is_the_same_file_and_another_is_another(store, kept):
    whole = kept[0]
    manifest.put(store, replace(whole, rows=tuple(replace(row, title="anew", wanted=9) for row in whole.rows)))
    assert manifest.names(store) == [whole.id] and find(store).rows[0].title == "anew"
    less = replace(whole, rows=whole.rows[:1])
    manifest.put(store, less)
    assert less.id != whole.id and set(manifest.names(store)) == {less.id, whole.id}
    other = replace(whole, rows=(*whole.rows[:1], replace(whole.rows[1], role="asked"), *whole.rows[2:]))
    assert other.id not in (less.id, whole.id)


def test_the_last_one_of_a_name_is_found(store, kept):
    whole = kept[0]
    run, less = replace(whole, name="run"), replace(whole, rows=whole.rows[:2])
    for age, one in ((30, whole), (20, less), (10, run)):
        manifest.put(store, one)
        when = 1_700_000_000 - age
        os.utime(store.root / "manifests" / f"{one.id}.json", (when, when))
    assert find(store) == run and find(store, "gap") == less and find(store, whole.id) == whole


def test_what_is_not_there_is_said_with_what_is(store, kept):
    with pytest.raises(
        StoreError, match=rf"{re.escape(str(store.root))} holds no manifest 'gaps'; there are {kept[0].id}"
    ):
        find(store, "gaps")
    with pytest.raises(StoreError, match=r"holds no manifest; zz\.run writes one"):
        find(Store(store.root / "empty"))


@pytest.mark.parametrize("harm", ["empty", "cut", "list", "no rows", "no name", "a row without id", "a row too much"])
def test_a_cut_file_is_one_error_with_its_path(store, kept, harm):
    _, path = kept
    text, record = path.read_text(), json.loads(path.read_text())
    row = record["rows"][0]
    harmed = {
        "empty": "",
        "cut": text[: len(text) // 2],
        "list": "[1, 2]",
        "no rows": json.dumps({"name": "gap"}),
        "no name": json.dumps({"rows": record["rows"]}),
        "a row without id": json.dumps(record | {"rows": [{k: v for k, v in row.items() if k != "id"}]}),
        "a row too much": json.dumps(record | {"rows": [row | {"seed": 3}]}),
    }
    path.write_text(harmed[harm])
    with pytest.raises(StoreError, match=rf"{re.escape(str(path))} is no manifest .*run again what made it"):
        find(store, "gap")


@pytest.mark.parametrize("harm", [{"role": "better"}, {"controls": [["x", "better"]]}])
def test_an_unknown_role_is_one_error_with_its_path(store, kept, harm):
    _, path = kept
    record = json.loads(path.read_text())
    record["rows"][1] |= harm
    path.write_text(json.dumps(record))
    with pytest.raises(StoreError, match=rf"{re.escape(str(path))}: role 'better' is not known; known are asked, "):
        find(store)


@pytest.mark.parametrize("harm", [{"controls": [["x"]]}, {"controls": 3}, {"labels": None}])
def test_a_row_that_makes_no_sense_is_one_error_with_its_path(store, kept, harm):
    _, path = kept
    record = json.loads(path.read_text())
    record["rows"][1] |= harm
    path.write_text(json.dumps(record))
    with pytest.raises(StoreError, match=rf"{re.escape(str(path))} is no manifest"):
        find(store)


def test_a_missing_cell_is_one_error_with_path_and_cell(store, kept):
    whole, path = kept
    (store.root / "cells" / whole.rows[2].cell / "cell.json").unlink()
    wanted = rf"{re.escape(str(path))} names cell {whole.rows[2].cell}, which is not in the store"
    with pytest.raises(StoreError, match=wanted):
        find(store)


def test_missing_prompts_are_one_error_with_path(store, kept):
    path = store.root / "prompts" / f"{kept[0].rows[0].prompts}.jsonl"
    for text in (None, "{"):
        if text:
            path.parent.mkdir()
            path.write_text(text)
        with pytest.raises(StoreError, match=re.escape(str(path))):
            Results(store, find(store)).pictures(find(store).rows[0])


def test_merging_keeps_roles_scorers_and_what_it_is_a_control_of(store):
    ours, standard, *_ = rows(store)
    again = replace(standard, controls=(("other", "standard"),), scorers={"b": {}}, wanted=9)
    (one,) = manifest.merged([standard, again])
    assert one.controls == ((ours.id, "standard"), ("other", "standard")) and one.role == "standard"
    assert one.scorers.keys() == {"log_odds", "b"} and (one.wanted, one.repeats) == (9, 2)
    first, second = manifest.merged([standard, ours, replace(standard, role="asked", controls=())])
    assert (first.role, first.controls) == ("asked", ((ours.id, "standard"),)) and second == ours


OLD = {"format": 1, "sampler": {"is": "Standard", "gamma1": 2}}


def _old(root):
    """A store as it was before store.json: pictures by thousands, and the width beside them."""
    folder = root / "cells" / "bf25ce92474f313f"
    (folder / "images" / "000").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "images" / "000" / "000000.png")
    (folder / "width.json").write_text('{"width": 4}')
    (folder / "cell.json").write_text(json.dumps({"key": "bf25ce92474f313f", "images": 1, "ledger": OLD}))


def _other(root):
    root.mkdir()
    (root / "store.json").write_text('{"format": 3}')


def _torn(root):
    root.mkdir()
    (root / "store.json").write_text("[2]")


@pytest.mark.parametrize(("make", "format"), [(_old, 1), (_other, 3), (_torn, 1)])
def test_a_store_of_another_format_is_refused_and_nothing_is_touched(store, make, format):
    make(store.root)
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in store.root.rglob("*")}
    wanted = rf"{re.escape(str(store.root))} is of format {format}, and this zz writes 2: nothing in it is touched"
    for look in (store.check_format, store.check_writable, lambda: list(store.cells()), lambda: find(store)):
        with pytest.raises(StoreError, match=wanted):
            look()
    after = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in store.root.rglob("*")}
    assert after == before


def test_a_new_store_is_of_this_format(store):
    store.check_format()
    assert not store.root.exists()
    store.check_writable()
    assert json.loads((store.root / "store.json").read_text()) == {"format": 2}
    store.check_writable()
