"""Scales: the paper's words in miniature, by the map of stand-ins; nothing is made by another model in secret."""

import pytest

import zz.export
import zz.plan
import zz.score
import zz.table
from zz.cli.experiment import at, cells_of, find, known, split
from zz.data.cross import Crossed
from zz.data.shapes_prompts import Shapes
from zz.experiments.stand_ins import stand_ins
from zz.lab.experiment import Experiment, Scales
from zz.lab.scales import scaled, scorer
from zz.lab.store.store import Store

PAPER = sorted(name for name in known() if find(name).scales is not None)
MAP = {
    "words": {"runner.precision": "bf16"},
    "model": {"sdxl": "model=shapes", "sd21": None},
    "dataset": {"pickapic": "dataset=shapes", "geneval": "dataset=shapes limit=all", "inline": None},
    "scorers": {"hps_v21": "shapes_alignment", "image_reward": "shapes_strict", "pickscore": "shapes_alignment"},
}


def lines(line, scale="mini", common="", **fields):
    experiment = Experiment("claim", (line,), common, scales=Scales(**fields))
    return scaled(experiment, scale, MAP, split).cells


def test_every_word_of_the_paper_is_translated():
    (found,) = lines(
        "label='a | b' model=sdxl dataset=pickapic sampler=zigzag scorers=[hps_v21,pickscore,image_reward]"
    )
    words = {"runner.precision=bf16", "limit=60", "dataset=shapes", "model=shapes", "label='a | b'", "sampler=zigzag"}
    assert set(split(found)) == words | {"scorers=[shapes_alignment,shapes_strict]"}


def test_a_model_without_a_stand_in_is_left_out():
    assert lines("model=sd21 dataset=pickapic") == ()
    assert lines("model=sdxl dataset=inline dataset.texts='[a cat]'") == ()


def test_what_the_map_does_not_know_is_said():
    with pytest.raises(ValueError, match=r"stand_ins.yaml says nothing of model=sd15"):
        lines("model=sd15 dataset=pickapic")


def test_own_words_win_and_values_are_replaced():
    (found,) = lines(
        "model=sdxl dataset=geneval gamma1=5.5 steps=10 runner.precision=32", mini={"gamma1=5.5": "4", "k": "9"}
    )
    words = split(found)
    assert "gamma1=4" in words and "runner.precision=32" in words and "steps=10" in words
    assert not any(word.startswith(("limit", "k=")) for word in words), "the whole set; no key that the line has not"


def test_a_smoke_is_two_prompts_at_four_steps_unless_it_says_otherwise():
    (found,) = lines("model=sdxl dataset=geneval steps=10", "smoke")
    assert {"limit=2", "steps=4"} <= set(split(found))
    (found,) = lines("model=sdxl dataset=geneval steps=10", "smoke", smoke={"steps=10": "3"})
    assert "steps=3" in split(found)


def test_prompts_that_are_written_down_have_their_own_in_miniature():
    (found,) = lines(
        "model=sdxl dataset=inline dataset.texts='[a,b]'", dataset="dataset=shapes dataset.where.tag=counting"
    )
    assert "dataset.where.tag=counting" in split(found) and "dataset.texts" not in found


def test_a_score_is_itself_at_the_papers_scale():
    assert scorer("hps_v21", MAP, "paper") == "hps_v21" and scorer("hps_v21", MAP, "mini") == "shapes_alignment"


def test_paper_has_no_stand_ins_and_is_the_usual_scale():
    words = [word for cell in cells_of("table_02", []) for word in cell]
    assert "model=sdxl" in words and "scale=paper" in words and "model=shapes" not in words


def test_every_table_and_figure_of_the_paper_is_there():
    wanted = (
        {f"table_{n:02}" for n in range(1, 19)} | {f"figure_{n:02}" for n in range(1, 28)} | {"headline", "theorems"}
    )
    assert wanted <= set(PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_labels_are_one_row_each(name):
    for scale in ("paper", "mini", "smoke"):
        experiment, _ = at(name, [f"scale={scale}"])
        labels = [word for line in experiment.cells for word in split(line) if word.startswith("label=")]
        assert len(labels) == len(experiment.cells) == len(set(labels))
    assert experiment.view is not None and experiment.claim.endswith(".")


@pytest.mark.parametrize("name", [name for name in PAPER if name.startswith("table_")])
def test_printed_rows_and_columns_are_those_of_the_table(name):
    """Each number that the paper prints has its place in the table."""
    from importlib import import_module

    from zz.analysis.paper.printed import printed

    spec = import_module(known()[name]).TABLE
    rows = {line.label.rpartition(" | ")[0] if name == "table_14" else line.label for line in spec.rows}
    heads = {
        spec.head(column, "" if name == "table_14" else prompts) for prompts in spec.sets for column in spec.columns
    }
    there = printed(name)
    assert there and {row for row, _ in there} <= rows and {head for _, head in there} <= heads


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment=table_01", "scale=tiny"], "scale=tiny is not known (did you mean mini?); known are paper"),
        (["experiment=gap", "scale=mini"], "scale=mini: experiment=gap has one scale only"),
        (["scale=mini"], "scale=mini is of an experiment of the paper"),
        (["experiment=table_99"], "experiment=table_99 is not known"),
        (["experiment=table_01,table_99", "scale=smoke"], "experiment=table_99 is not known"),
        (["experiment=figure_13"], "pictures=[]: experiment=figure_13 starts from 2 pictures, of cats and spiders"),
    ],
)
def test_what_is_asked_for_wrongly(cli, words, said):
    code, _, err = cli(*words)
    assert code == 2 and said in err and err.count("error:") == 1


def test_a_table_in_a_test(cli, store_path, tmp_path, monkeypatch):
    """One table of each kind, from cells to a page, and its numbers without a picture; a model has no stand-in."""
    monkeypatch.setitem(stand_ins()["model"], "sdxl_dpo", None)
    words = ("scale=smoke", "scorers=[]")
    assert cli("experiment=figure_03,table_03", *words)[0] == 0
    code, out, _ = cli("experiment=table_08", "scale=smoke")
    assert code == 0 and "no stand-in yet" in out and "Table 8" in out
    assert (store_path / "pages" / "table_08-smoke.md").read_text().count("no stand-in yet") >= 4
    code, shown, _ = cli("name=table_08-smoke", command=zz.table)
    assert code == 0
    archive = tmp_path / "numbers.tar.xz"
    code, out, _ = cli("scale=smoke", f"out={archive}", command=zz.export)
    assert code == 0 and archive.stat().st_size < 20_000
    code, again, _ = cli("name=table_08-smoke", f"store={archive}", command=zz.table)
    assert code == 0 and again == shown
    assert "| table_03-smoke |" in (tmp_path / "numbers.md").read_text()
    for form, what in (("latex", r"\toprule"), ("csv", "Single object"), ("markdown", "| --- |")):
        assert what in cli("name=table_08-smoke", f"format={form}", command=zz.table)[1]
    kept = archive.read_bytes()
    next((store_path / "cells").glob("*/images/*.png")).unlink()
    code, out, _ = cli("scale=smoke", f"out={archive}", command=zz.export)
    assert code == 0 and "left out, for pictures or scores are missing: table_08-smoke" in out
    assert archive.read_bytes() == kept, "what it held of them stays"


@pytest.mark.slow
def test_a_study_of_inverted_pictures(cli, store_path):
    code, out, err = cli("experiment=figure_13", "scale=smoke")
    assert code == 0, err
    assert "own picture's latent" in out and (store_path / "pages" / "figure_13-smoke-pictures.png").is_file()
    assert cli("experiment=figure_13", "scale=smoke")[0] == 0, "what is kept is not made again"


@pytest.mark.ci
@pytest.mark.timeout(900)
def test_the_whole_paper_as_a_smoke(cli, store_path):
    code, out, err = cli(f"experiment={','.join(PAPER)}", "scale=smoke")
    assert code == 0, err
    assert out.count("page: ") == len(PAPER)
    made = {cell.cell.key: cell.images for cell in Store(store_path).cells()}
    code, out, _ = cli(f"experiment={','.join(PAPER)}", "scale=smoke")
    assert code == 0 and "images/s" not in out
    assert {cell.cell.key: cell.images for cell in Store(store_path).cells()} == made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["out=numbers.zip"], "out=numbers.zip must end in .tar.xz"),
        (["scale=huge"], "scale=huge is not known"),
        ([], "holds no manifest"),
    ],
)
def test_exports_that_cannot_be(cli, words, said):
    code, _, err = cli(*words, command=zz.export)
    assert code == 2 and said in err


def test_an_archive_that_is_none(cli, tmp_path):
    (tmp_path / "torn.tar.xz").write_bytes(b"\xfd7zXZ\x00 torn")
    code, _, err = cli(f"store={tmp_path / 'torn.tar.xz'}", command=zz.table)
    assert code == 2 and "cannot be read as an archive of numbers" in err


def test_every_text_with_every_seed():
    listed = Crossed(("a cat", "a dog"), (3, 5)).listed(10)
    assert [(p.text, p.seed) for p in listed.entries] == [("a cat", 13), ("a dog", 13), ("a cat", 15), ("a dog", 15)]
    with pytest.raises(ValueError, match=r"dataset.seeds\[0\]"):
        Crossed(("a cat",), (-1,))
    with pytest.raises(ValueError, match="dataset=cross needs texts"):
        Crossed().listed()


def test_entries_that_are_skipped_keep_their_seeds():
    whole, rest = Shapes().listed().entries, Shapes(skip=200).listed().entries
    assert rest == whole[200:] and rest[0].seed == 200
    with pytest.raises(ValueError, match=r"dataset.skip=553 leaves none of 553"):
        Shapes(skip=553).listed()


def test_the_map_of_stand_ins_knows_all_that_the_paper_uses():
    for name in PAPER:
        for scale in ("mini", "smoke"):
            assert scaled(find(name), scale, stand_ins(), split) is not None
