"""The comparison reads a store: who is compared with whom, and that its numbers are the store's."""

import csv
import sys

import pytest

import analysis.compare
import zz.run
from analysis.settings import settings
from zz.lab.store import Store

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "store"
    usual = ["model=shapes", f"store={path}", "steps=4", "limit=12", "runner.batch_size=12", "gamma1=3", "-m"]
    scorers = "scorers=[shapes_correct,shapes_strict,shapes_alignment,shapes_similarity,cleanliness]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(path.parent))
        for words in (["gamma2=0,3", "controls=true"], ["sampler=end_to_end,resampling"], ["inversion=ref_0_22"]):
            patch.setattr(sys, "argv", ["zz.run", *words, *usual, scorers])
            assert zz.run.main() == 0
    return Store(path)


@pytest.mark.slow
def test_every_method_meets_its_own_controls(store):
    (setting,) = settings(store)
    assert (setting.steps, setting.gamma1) == (4, 3.0)
    rivals = {arm.name: {other.name for other in setting.rivals(arm)} for arm in setting.arms}
    compute = {"standard, 10 steps", "standard, 9 steps"}  # 4 + 2 * 3 predictions; 8 + 3 * 3 rows
    assert rivals == {
        "standard": set(),
        "standard, 9 steps": {"standard"},
        "standard, 10 steps": {"standard"},
        "guidance-matched gamma2=0": {"standard"},
        "zigzag gamma2=0": {"standard", "guidance-matched gamma2=0"} | compute,
        "zigzag gamma2=3": {"standard", "standard, 10 steps"},
        "zigzag gamma2=0 inversion=ref_0_22": {"standard", "guidance-matched gamma2=0"} | compute,
        "end to end gamma2=0": {"standard", "standard, 10 steps"},  # 20 rows too
        "resampling resamples=1": {"standard"},
    }
    costs = {arm.name: (arm.predictions, arm.rows) for arm in setting.arms}
    assert costs["zigzag gamma2=0"] == (10, 17) and costs["standard, 9 steps"] == (9, 18)
    assert costs["end to end gamma2=0"] == (12, 20) and costs["resampling resamples=1"] == (7, 14)


@pytest.mark.slow
def test_its_numbers_are_those_of_the_store(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "--store", str(store.root), "--out", str(tmp_path / "shapes")])
    assert analysis.compare.main() == 0
    with (tmp_path / "shapes.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    table = {row.cell.key: row for row in store.table()}
    for row in rows.values():
        (name,) = [n for n in table[row["key"]].scores if n.startswith("shapes_correct-")]
        scores = store.scores(table[row["key"]].cell, name)
        assert len(scores) == int(row["n"]) == 12
        assert float(row["accuracy"]) == pytest.approx(sum(scores.values()) / 12)
    text = (tmp_path / "shapes.md").read_text()
    assert (
        "### shapes, 32, T = 4, gamma1 = 3, 12 prompts" in text
        and "| zigzag gamma2=0 | guidance-matched gamma2=0 |" in text
    )
