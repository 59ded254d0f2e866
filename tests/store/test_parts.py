"""Scores and features in parts: any number of writers lose nothing, and what is torn counts for nothing."""

import builtins
import errno
import io
import json
import multiprocessing as mp
import os

import numpy as np
import pytest

from zz.data.base import picture_name
from zz.lab.store.parts import FOLD, FeatureParts, ScoreParts

NAMES = [picture_name("a", seed) for seed in range(1000)]
VALUES = {name: i / 7 for i, name in enumerate(NAMES)}
KINDS = {
    "scores": (ScoreParts, lambda i: i / 7),
    "features": (FeatureParts, lambda i: np.array([i / 7, -i])),
}
STRIDE = 20  # names an addition


def _write(kind, root, trials, rank, barrier):
    """Every second one of a trial's additions, with a fold after each."""
    parts, value = KINDS[kind]
    for trial in range(trials):
        mine = parts(root / str(trial))
        barrier.wait(60)
        for start in range(rank * STRIDE, len(NAMES), 2 * STRIDE):
            mine.add({NAMES[i]: value(i) for i in range(start, start + STRIDE)}, {"rank": rank})
            mine.fold({}, least=1 + trial % 3 * 100)  # at every addition, or at every few


def _together(kind, root, trials):
    """Two processes, and a reader all the while, who never sees less than before."""
    context = mp.get_context("spawn")
    barrier = context.Barrier(3)
    writers = [context.Process(target=_write, args=(kind, root, trials, rank, barrier)) for rank in (0, 1)]
    for writer in writers:
        writer.start()
    parts, value = KINDS[kind]
    for trial in range(trials):
        barrier.wait(60)
        reader, seen = parts(root / str(trial)), set()
        for _ in range(20):
            found = reader.read().keys()
            assert seen <= found, "what was there is there"
            seen = set(found)
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    for trial in range(trials):
        last = parts(root / str(trial))
        for least in (FOLD, 1):
            found = last.read()
            assert found.keys() == set(NAMES), (trial, len(found))
            assert all(np.array_equal(found[name], value(i)) for i, name in enumerate(NAMES))
            last.fold({}, least)
        assert sum(path.name.startswith("part-") for path in last.folder.iterdir()) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_writers_lose_nothing(tmp_path, kind):
    _together(kind, tmp_path, 6)


@pytest.mark.ci
@pytest.mark.parametrize("kind", KINDS)
def test_two_writers_lose_nothing_in_fifty_trials(tmp_path, kind):
    _together(kind, tmp_path, 50)


def _die(root):
    """After the union is written, before the parts are removed."""
    parts = ScoreParts(root)
    write = parts._write

    def dying(*args):
        write(*args)
        os._exit(9)

    parts._write = dying
    parts.fold({}, least=1)


def test_one_who_is_killed_while_folding_loses_nothing(tmp_path):
    parts = ScoreParts(tmp_path)
    for start in (0, 10):
        parts.add({name: VALUES[name] for name in NAMES[start : start + 10]}, {})
    process = mp.get_context("spawn").Process(target=_die, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 9 and len(list(tmp_path.iterdir())) == 3
    assert parts.read() == {name: VALUES[name] for name in NAMES[:20]}
    parts.fold({}, least=1)
    assert parts.read() == {name: VALUES[name] for name in NAMES[:20]} and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", range(4))
def test_a_reader_sees_everything_though_another_folds_before_it_has_read_all(tmp_path, monkeypatch, kind, after):
    parts, value = KINDS[kind][0](tmp_path), KINDS[kind][1]
    for start in (0, 10, 20, 30):
        parts.add({NAMES[i]: value(i) for i in range(start, start + 10)}, {})
    load, left = parts._load, [after]

    def late(path):
        if left[0] == 0:
            KINDS[kind][0](tmp_path).fold({}, least=1)
            assert [one.name[:5] for one in tmp_path.iterdir()] == ["fold-"]
        left[0] -= 1
        return load(path)

    monkeypatch.setattr(parts, "_load", late)
    assert parts.read().keys() == set(NAMES[:40]) and left[0] < 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_fold_leaves_what_cannot_be_read_now(tmp_path, monkeypatch, kind):
    """Too many open files, or a server that does not answer: it can be read another time."""
    parts, value = KINDS[kind][0](tmp_path), KINDS[kind][1]
    for start in (0, 10, 20):
        parts.add({NAMES[i]: value(i) for i in range(start, start + 10)}, {})
    locked, real = min(tmp_path.iterdir()), io.open

    def unanswered(file, *args, **more):
        if str(file) == str(locked):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(file, *args, **more)

    for module in (io, builtins):
        monkeypatch.setattr(module, "open", unanswered)
    assert len(parts.read()) == 20
    parts.fold({}, least=1)
    monkeypatch.undo()
    assert locked.is_file() and len(list(tmp_path.iterdir())) == 2
    assert parts.read().keys() == set(NAMES[:30])


def test_parts_are_folded_by_the_thousand_and_a_fold_is_left_alone(tmp_path):
    parts = ScoreParts(tmp_path)
    for start in range(0, FOLD, 250):
        assert len(list(tmp_path.glob("part-*"))) == start // 250 and not list(tmp_path.glob("fold-*"))
        parts.add({name: VALUES[name] for name in NAMES[start : start + 250]}, {})
        parts.fold({})
    (fold,) = tmp_path.iterdir()
    before = fold.read_bytes()
    for start in range(0, FOLD, 500):
        parts.add({f"x{name}": 1.0 for name in NAMES[start : start + 500]}, {})
        parts.fold({})
    assert fold.read_bytes() == before and len(list(tmp_path.glob("fold-*"))) == 2
    assert len(parts.read()) == 2 * FOLD and not list(tmp_path.glob("part-*"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0, 1, 40, -10, -1])
def test_a_cut_part_counts_for_nothing(tmp_path, kind, keep):
    parts, value = KINDS[kind][0](tmp_path), KINDS[kind][1]
    parts.add({name: value(i) for i, name in enumerate(NAMES[:10])}, {})
    (torn,) = tmp_path.iterdir()
    parts.add({name: value(i) for i, name in enumerate(NAMES[10:20])}, {})
    torn.write_bytes(torn.read_bytes()[:keep] if keep != -1 or kind == "features" else torn.read_bytes()[:-3])
    assert parts.read().keys() == set(NAMES[10:20])
    parts.fold({}, least=1)
    assert parts.read().keys() == set(NAMES[10:20])


def test_what_is_no_finite_number_is_not_there(tmp_path):
    parts = ScoreParts(tmp_path)
    parts.add({NAMES[0]: 1, NAMES[1]: float("nan"), NAMES[2]: float("inf"), NAMES[3]: -2.5}, {})
    assert parts.read() == {NAMES[0]: 1.0, NAMES[3]: -2.5}
    strange = {NAMES[4]: True, NAMES[5]: "3", NAMES[6]: None, NAMES[7]: [1], NAMES[8]: 4}
    (tmp_path / "part-other.json").write_text(json.dumps({"scores": strange}))
    for text in ("[]", "3", '{"scores": [1]}', '{"numbers": {}}', "\xff"):
        (tmp_path / f"part-{len(text)}{text[1:2] or 'x'}.json".replace('"', "q")).write_text(text, encoding="latin-1")
    assert parts.read() == {NAMES[0]: 1.0, NAMES[3]: -2.5, NAMES[8]: 4.0}
    (tmp_path / ".part-hidden.json.host.1.2").write_text('{"scores": {"x": 1}}')
    assert "x" not in parts.read()


def test_features_with_a_hole_are_not_there(tmp_path):
    """They alone: those beside them in a part are."""
    parts = FeatureParts(tmp_path)
    parts.add({NAMES[0]: np.array([1.0, np.nan]), NAMES[2]: np.array([1.0, 2.0])}, {})
    parts.add({NAMES[1]: np.array([1.0, np.inf])}, {})
    for stem, names, rows in (("a", NAMES[:2], np.zeros((3, 2))), ("b", NAMES[:2], np.zeros(2))):
        np.savez(tmp_path / f"part-{stem}.npz", names=np.array(names), features=rows)
    np.savez(tmp_path / "part-c.npz", names=np.array([NAMES[0]], dtype=object), features=np.zeros((1, 2)))
    assert parts.read().keys() == {NAMES[2]}
    parts.fold({}, least=1)
    assert parts.read().keys() == {NAMES[2]} and parts.read()[NAMES[2]].tolist() == [1.0, 2.0]
