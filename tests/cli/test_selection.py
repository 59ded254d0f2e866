"""Prompt sets on the command line: what is appended, selected or repeated costs only what is new."""

import re
import signal
import subprocess
import sys
import time

import pytest

import zz.run
import zz.table
from zz.lab.store.store import Store

EXACT = ["model=mixture", "steps=4", "scorers=[]"]


@pytest.mark.slow
def test_a_prompt_appended_is_one_picture(cli, tmp_path):
    listed = tmp_path / "prompts.txt"
    listed.write_text("a red circle\na blue star\n")
    words = [*EXACT, "dataset=text", "dataset.path=prompts.txt"]
    assert "2 images to make, 0 there already" in cli(*words)[1]
    listed.write_text("a red circle\na blue star\na green square\n")
    assert "1 images to make, 2 there already" in cli(*words)[1]


@pytest.mark.slow
def test_selections_keep_seeds_and_cost_nothing_after_the_whole_set(cli, store_path):
    shapes = ["model=shapes", "dataset=quick", "steps=2", "sampler=standard", "scorers=[]", "runner.batch_size=8"]
    code, out, err = cli(*shapes, "dataset.where.tag=colors")
    assert code == 0 and "10 images to make" in out, err
    code, out, _ = cli(*shapes, "dataset.where.tag=[colors,counting]")
    assert code == 0 and "10 images to make, 10 there already" in out
    code, _, err = cli(*shapes, "dataset.where.colour=red")
    assert code == 2 and "dataset.where.colour: no entry of quick has it; its meta has" in err
    code, _, err = cli(*shapes, "dataset.where.tag=sounds")
    assert code == 2 and "dataset.where.tag=sounds is of no entry; there are" in err
    for words in (("dataset.where={tag:colors}",), ("dataset.where.tag=colors,counting", "-m")):
        assert cli(*shapes, *words)[0] == 0
    tags = {file.stem: file.read_text() for file in (store_path / "prompts").glob("*.jsonl")}
    assert len(tags) == 3, "colors, colors and counting, counting: the same words are the same list"


def test_indices_and_repeats(cli, store_path):
    assert "56 images to make" in cli(*EXACT)[1]
    assert "0 images to make, 3 there already" in cli(*EXACT, "dataset.indices=[0,7,12]")[1]
    code, out, _ = cli(*EXACT, "dataset.indices=[0,7,12]", "dataset.repeats=2")
    assert code == 0 and "3 images to make, 3 there already" in out
    (cell,) = Store(store_path).cells()
    assert sorted(name[:7] for name in Store(store_path).names(cell.cell))[-3:] == ["1000000", "1000007", "1000012"]
    code, _, err = cli(*EXACT, "dataset.indices=[56]")
    assert code == 2 and "dataset.indices: 56 is no entry of mixture, which has 0..55" in err
    assert cli(*EXACT, "dataset.repeats=0")[0] == 2


def test_the_same_prompt_and_seed_in_another_set_is_there(cli):
    cli(*EXACT, "limit=1")
    out = cli(*EXACT, "dataset=inline", "dataset.texts=[a red circle,a red star]")[1]
    assert "1 images to make, 1 there already" in out


def test_a_text_that_comes_twice_is_two_seeds_and_an_entry_that_comes_twice_is_dropped(cli):
    twice = ["dataset=inline", "dataset.texts=[a red circle,a red circle]"]
    assert "2 images to make" in cli(*EXACT, *twice)[1]
    code, out, _ = cli(*EXACT, "dataset.indices=[0,0,1]", "seed=5")
    assert code == 0 and "1 entries whose text and seed came before are left out" in out and "2 images to make" in out


def test_a_table_by_a_field_of_the_meta(cli):
    shapes = ["model=shapes", "dataset=quick", "limit=6", "steps=2", "sampler=standard"]
    assert cli(*shapes, "scorers=[shapes_correct,shapes_alignment]")[0] == 0
    code, out, err = cli("by=tag", "scores=[shapes_correct]", command=zz.table)
    assert code == 0, err
    assert "shapes_correct by tag" in out and "counting" in out and "color_attr" in out and "alignment" not in out
    code, out, _ = cli("by=tag", "format=csv", command=zz.table)
    head, line = out.strip().split("\n")
    assert "shapes_correct counting_low" in head.split(",") and line.startswith("Standard gamma1=4 T=2,asked,")
    assert cli("format=markdown", command=zz.table)[1].startswith("| cell | role |")
    assert "\\toprule" in cli("format=latex", command=zz.table)[1]
    for words, said in {
        "by=colour": "by=colour is in no prompt's meta; there are",
        "scores=[beauty]": "scores=beauty is of no row; there are shapes_correct",
        "name=nothing": "holds no manifest 'nothing'; there are run-",
        "format=pdf": "format=pdf is not known; known are terminal, markdown, latex, csv",
        "out=/proc/nothing/x format=csv": "out=/proc/nothing/x cannot be written",
    }.items():
        code, out, err = cli(*words.split(), command=zz.table)
        assert code == 2 and said in err and "Traceback" not in out + err, words


@pytest.mark.slow
def test_a_table_of_an_interrupted_run_is_refused_unless_parts_are_allowed(cli, store_path):
    assert cli(*EXACT[:2], "limit=4")[0] == 0
    store = Store(store_path)
    (one,) = store.cells()
    for name in sorted(store.names(one.cell))[2:]:
        store.image_path(one.cell, name).unlink()
    for words in ((), ("format=csv",), (f"out={store_path.parent / 'page.md'}", "format=markdown")):
        code, out, err = cli(*words, command=zz.table)
        assert code == 2 and "2 of 4 images" in out and "mean" not in out and "log_odds" not in out
        assert err == "error: 1 row lacks pictures: run the same words again, or say allow_partial=true\n"
    assert not (store_path.parent / "page.md").exists()
    code, out, _ = cli("allow_partial=true", command=zz.table)
    assert code == 0 and "2 of 4 images" in out and re.search(r"2/4 .* log_odds|log_odds[^$]* 2/4 ", out, re.S)
    assert cli(*EXACT[:2], "limit=4")[0] == 0
    code, out, _ = cli(command=zz.table)
    assert code == 0 and "4/4" in out and "of 4 images" not in out


@pytest.mark.ci
def test_a_table_by_category_after_two_workers_were_killed_in_the_scoring_pass(cli, store_path, tmp_path):
    """Meta goes from the prompt set to the scorer, the store and the table; nothing is parsed, nothing is lost."""
    words = ["model=shapes", "dataset=quick", "limit=24", "steps=2", "sampler=standard,zigzag", "-m"]
    words += ["scorers=[shapes_correct,shapes_similarity,shapes_alignment]", "runner.devices=2"]
    start = [sys.executable, "-m", "zz.run", *words, f"store={store_path}"]
    process = subprocess.Popen(start, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not list(store_path.glob("cells/*/scores/*/*.json")):
        time.sleep(0.01)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.wait()
    scored = [n for one in Store(store_path).cells() for n in one.scores.values()]
    assert 0 < sum(scored) < 3 * 48, "killed in the scoring pass"
    done = subprocess.run(start, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "0 images to make, 48 there already" in done.stdout, done.stderr
    broken = cli("by=tag", "format=csv", command=zz.table)[1]
    assert "shapes_correct position" in broken and "shapes_similarity colors" in broken
    whole = [word for word in words if word != "-m"]
    code, _, err = cli(*whole, "-m", f"store={tmp_path / 'whole'}", "runner.devices=cpu")
    assert code == 0, err
    assert cli("by=tag", "format=csv", f"store={tmp_path / 'whole'}", command=zz.table)[1] == broken
