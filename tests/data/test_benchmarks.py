"""Prompt sets of the field: small files in their formats, broken ones, and where they come from."""

import csv
import hashlib
import io
import json
import random
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from huggingface_hub import constants
from hydra import compose, initialize_config_dir

from zz.cli.conf import conf_dir, options
from zz.cli.config import build
from zz.data.benchmark import Benchmark
from zz.data.hpdv2 import HPDv2
from zz.data.parti import HUNDRED
from zz.data.table import Table
from zz.data.text import TextFile
from zz.hub.published import Published

SETS = {  # option: its count, and the name of a file made here in the format of the published one
    "pickapic": (100, "caption.csv"),
    "pickapic_500": (499, "caption.csv"),
    "drawbench": (200, "drawbench.csv"),
    "geneval": (553, "evaluation_metadata.jsonl"),
    "geneval2": (800, "geneval2_data.jsonl"),
    "parti": (100, "PartiPrompts.tsv"),
    "parti_1632": (1632, "PartiPrompts.tsv"),
    "coco_30k": (30_000, "captions.csv"),
    "chronomagic_150": (150, "Captions.csv"),
    "genai_bench": (1600, "genai_image.json"),
    "hpdv2": (3200, "styles"),
}


def table(head, rows, delimiter=","):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator="\r\n").writerows([head, *rows])
    return file.getvalue()


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def pickapic():
    notes = {3: "色情", 5: "未知含义", 9: "擦边色情"}
    rows = [[i, "" if i == 87 else f"caption {i}", "星", notes.get(i, "")] for i in range(500)]
    return "\ufeff" + table(["序号", "caption", "caption_zh", "备注"], rows)


def parti():
    rows = [f"prompt {i}\tArts\tBasic\t" for i in range(1632)]
    rows[31] = "42\tAbstract\tBasic\tSimple numbers"
    rows[2] = 'a sign that says "HI"\tAbstract\tWriting & Symbols\t'
    rows[7] = "a piano above the keys \tArts\tQuantity\t"
    return "\r\n".join(["Prompt\tCategory\tChallenge\tNote", *rows, ""])


def geneval():
    tags = ["single_object"] * 80 + ["counting"] * 80 + ["colors"] * 393
    rows = [{"tag": tag, "include": [{"class": "bench", "count": 1}]} for tag in tags]
    counted = [
        {**row, "exclude": [{"class": "bench", "count": 2}]} if row["tag"] == "counting" else row for row in rows
    ]
    return jsonl([{**row, "prompt": f"a photo {i}"} for i, row in enumerate(counted)])


def geneval2():
    asked = {"atom_count": 1, "vqa_list": [["Are there cows in the image?", "Yes"]], "skills": ["object"]}
    return jsonl([{"prompt": f"cows {i}", **asked} for i in range(800)])


def chronomagic():
    rows = [[f"baking_{i:02d}.0", f"Time-lapse, {i}", "baking", "" if i == 4 else "physical"] for i in range(150)]
    return table(["videoid", "name", "sub_category", "main_category"], rows)


def drawbench():
    rows = [[f"A car, {i}.", "Gary Marcus et al. " if i < 10 else "Colors"] for i in range(200)]
    return table(["Prompts", "Category"], rows).rstrip()


def coco():
    return table(["image_id", "text"], [[i * 7, "A man.\n" if i % 2 else f"A dog, {i}"] for i in range(30_000)])


def genai():
    return json.dumps({f"{i:05d}": {"id": f"{i:05d}", "prompt": f"bread {i}", "models": {}} for i in range(1, 1601)})


MADE = {
    "caption.csv": pickapic,
    "drawbench.csv": drawbench,
    "evaluation_metadata.jsonl": geneval,
    "geneval2_data.jsonl": geneval2,
    "PartiPrompts.tsv": parti,
    "captions.csv": coco,
    "Captions.csv": chronomagic,
    "genai_image.json": genai,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("files")
    for name, make in MADE.items():
        (found / name).write_bytes(make().encode())
    (found / "styles").mkdir()
    for style in ("anime", "concept-art", "paintings", "photo"):
        texts = [f"{style}, {i % 790}" for i in range(800)]
        (found / "styles" / f"{style}.json").write_text(json.dumps(texts))
    return found


@cache
def configured(option):
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return build(compose("config", overrides=[f"dataset={option}"]).dataset)


def made(option, **fields):
    return replace(configured(option), **fields)


def copied(option, folder, **fields):
    return made(option, path=str(folder / SETS[option][1]), **fields)


@pytest.mark.parametrize("option", SETS)
def test_a_set_is_whole_and_numbered_from_0(option, folder):
    prompts = copied(option, folder)
    found = prompts.listed().entries
    assert [entry.seed for entry in found] == list(range(SETS[option][0]))
    assert prompts.name == option and prompts.files == ()
    other = [remark for remark in prompts.remarks if "is not the published" in remark]  # this copy is of this test
    assert list(prompts.remarks) == other and len(other) == bool(
        getattr(getattr(prompts, "file", None), "sha256", None)
    )


def test_every_benchmark_is_tested_here():
    known = {option for option in options("dataset") if isinstance(made(option), Benchmark | HPDv2)}
    assert known == set(SETS)


def test_pick_a_pic_leaves_the_blank_row_out_and_flags_what_is_marked(folder):
    found = copied("pickapic", folder).prompts
    assert [(p.seed, p.text, p.meta["row"]) for p in (found[86], found[87], found[99])] == [
        (86, "caption 86", 86),
        (87, "caption 88", 88),
        (99, "caption 100", 100),
    ]
    assert [p.seed for p in found if p.meta["nsfw"]] == [3, 9]
    assert copied("pickapic_500", folder).prompts[:100] == found
    assert len(copied("pickapic", folder, where={"nsfw": False}).listed().entries) == 98


def test_pick_a_pic_of_the_hub_is_the_same_set_without_marks(folder, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    captions = ["" if i == 87 else f"caption {i}" for i in range(500)]
    columns = {"caption": captions, "user_id": list(range(500)), "jpg_0": [b"x"] * 500}
    parquet.write_table(pyarrow.table(columns), tmp_path / "test_unique.parquet")
    ours, theirs = (
        copied("pickapic_500", folder),
        made("pickapic_500", path=str(tmp_path / "test_unique.parquet")),
    )
    assert ours.listed().digest == theirs.listed().digest
    assert theirs.prompts[87].meta == {"row": 88}


def test_drawbench_has_no_blank_at_a_categorys_end(folder):
    chosen = copied("drawbench", folder, where={"category": "Gary Marcus et al."}).listed().entries
    assert [p.seed for p in chosen] == list(range(10))


def test_geneval_keeps_records_as_they_are(folder):
    found = copied("geneval", folder, repeats=4)
    assert found.prompts[0].meta == {"tag": "single_object", "include": [{"class": "bench", "count": 1}]}
    assert found.prompts[80].meta["exclude"] == [{"class": "bench", "count": 2}]
    assert len(found.listed().pictures()) == 553 * 4


def test_parti_keeps_quotes_and_numbers_and_the_hundred_are_as_they_were_drawn(folder):
    whole, hundred = copied("parti_1632", folder).prompts, copied("parti", folder).prompts
    assert (
        whole[31].text == "42"
        and whole[2].text == 'a sign that says "HI"'
        and whole[7].text == "a piano above the keys"
    )
    assert list(HUNDRED) == sorted(random.Random(0).sample(range(1632), 100))
    assert [p.meta["row"] for p in hundred] == list(HUNDRED)
    assert [p.text for p in hundred] == [whole[row].text for row in HUNDRED]


def test_the_others_keep_what_their_scorers_read(folder):
    assert copied("geneval2", folder).prompts[0].meta["vqa_list"] == [["Are there cows in the image?", "Yes"]]
    assert copied("chronomagic_150", folder).prompts[1].meta["videoid"] == "baking_01.0"
    assert copied("genai_bench", folder).prompts[0].meta == {"id": "00001"}
    assert copied("coco_30k", folder).prompts[1].text == "A man."
    assert copied("coco_30k", folder).prompts[1].meta == {"image_id": "7"}
    styles = copied("hpdv2", folder).prompts
    assert [styles[i].meta["style"] for i in (0, 800, 1600, 2400)] == ["anime", "concept-art", "paintings", "photo"]
    assert copied("hpdv2", folder).listed().dropped == 0


@pytest.mark.parametrize("option", [option for option in SETS if option != "hpdv2"])
def test_a_file_that_is_cut_is_one_message(option, folder, tmp_path):
    name = SETS[option][1]
    text = (folder / name).read_bytes().decode()
    cut = tmp_path / name
    cut.write_bytes(text[: len(text) // 2].encode())
    with pytest.raises(ValueError, match=rf"^dataset\.path={re.escape(str(cut))}.*(copy it again|quotes|write it)"):
        _ = made(option, path=str(cut)).prompts


@pytest.mark.parametrize("option", [option for option in SETS if option not in ("hpdv2", "genai_bench")])
def test_another_table_is_one_message_with_the_columns(option, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("words,kind\na star,x\n")
    with pytest.raises(ValueError, match=r"other\.csv has no column \w+; it has words, kind; choose one, as dataset"):
        _ = made(option, path=str(other)).prompts


def test_a_column_of_meta_that_is_not_there_is_one_message(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("Prompts,Kind\na star,x\n")
    with pytest.raises(
        ValueError, match="line 2 has no Category, which drawbench has; read another table with dataset=table"
    ):
        _ = made("drawbench", path=str(other)).prompts


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"tag": "count", "include": []}, "tag 'count', and GenEval's are single_object"),
        ({"tag": "colors", "include": "bench"}, "no objects with class and count as include"),
        ({"tag": "colors", "include": [{"class": "bench"}]}, "no objects with class and count as include"),
        ({"tag": "colors", "include": [], "exclude": [1]}, "no objects with class and count as exclude"),
        ({"tag": "colors", "include": [], "prompt": 7}, "no text as prompt"),
    ],
)
def test_a_record_of_geneval_that_is_none(record, said, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text(jsonl([{"prompt": "a photo", **record}]))
    with pytest.raises(ValueError, match=f"line 1 has .*{re.escape(said)}|entry 1 has .*{re.escape(said)}"):
        _ = made("geneval", path=str(file)).prompts


@pytest.mark.parametrize("content", ['["a"]', '{"00001": "a"}', "{"])
def test_a_file_of_genai_bench_that_is_none(content, tmp_path):
    file = tmp_path / "genai_image.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"genai_image\.json (cannot be read as JSON|is no object of records)"):
        _ = made("genai_bench", path=str(file)).prompts


def test_a_style_that_is_not_there_is_one_message(folder, tmp_path):
    (tmp_path / "anime.json").write_bytes((folder / "styles" / "anime.json").read_bytes())
    with pytest.raises(ValueError, match=r"concept-art\.json cannot be read"):
        _ = made("hpdv2", path=str(tmp_path)).prompts


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("option", SETS)
def test_without_a_network_it_says_where_to_put_the_file(option, offline):
    prompts = made(option)
    file = prompts.files[0]
    with pytest.raises(
        ValueError, match=rf"^dataset={option} needs {re.escape(file.name)}, .*offline|OFFLINE"
    ) as error:
        _ = prompts.prompts
    assert f"fetch {file.address} by hand and put it at {file.place}" in str(error.value)


def test_a_file_that_is_put_there_by_hand_is_checked(offline, folder):
    prompts = made("geneval")
    prompts.file.place.parent.mkdir(parents=True)
    prompts.file.place.write_bytes((folder / "evaluation_metadata.jsonl").read_bytes())
    with pytest.raises(ValueError, match=f"dataset=geneval: .* bytes, not {prompts.file.size:,}; remove the file"):
        _ = prompts.prompts


def test_a_file_without_a_known_digest_is_remarked_and_a_wrong_one_can_be_fetched_anew(offline, folder):
    prompts = made("geneval2")
    place = prompts.file.place
    assert prompts.remarks == (
        "geneval2_data.jsonl is not pinned by a digest; the first download's will hold",
        "geneval2_data.jsonl is licensed CC-BY-NC-4.0: not for commercial use",
    )
    place.parent.mkdir(parents=True)
    place.write_text("<html>blocked</html>")
    with pytest.raises(
        ValueError, match=f"is not JSON.*remove {re.escape(str(place))} and .*sha256, and it is downloaded anew"
    ):
        _ = prompts.prompts
    place.unlink()
    Path(f"{place}.sha256").unlink()
    content = (folder / "geneval2_data.jsonl").read_bytes()
    place.write_bytes(content)
    assert len(made("geneval2").prompts) == 800
    assert hashlib.sha256(content).hexdigest() in made("geneval2").remarks[0]


@pytest.mark.parametrize("option", SETS)
def test_where_a_set_is_published_is_pinned(option):
    for file in made(option).files:
        assert isinstance(file, Published)
        assert re.search(r"[@/]([0-9a-f]{40}|v0\.0\.1)/", file.source) or file.sha256, "a branch needs a digest"


# Files of one's own


def test_a_folder_of_texts_is_a_prompt_a_file_in_the_order_of_numbers(tmp_path):
    for name, text in {
        "10.txt": "ten",
        "2.txt": "\ufefftwo,\r\nin two lines\n",
        "a.png": "x",
        ".b.txt": "hidden",
    }.items():
        (tmp_path / name).write_text(text)
    found = TextFile(str(tmp_path)).prompts
    assert [(p.text, p.seed, p.meta) for p in found] == [
        ("two, in two lines", 0, {"file": "2"}),
        ("ten", 1, {"file": "10"}),
    ]


def test_a_folder_of_tables_is_read_in_order(tmp_path):
    for name, text in {"b.csv": "prompt,kind\nb,1\nc,2\n", "a.csv": "prompt,kind\na,0\n", "notes.md": "x"}.items():
        (tmp_path / name).write_text(text)
    found = Table(str(tmp_path)).prompts
    assert [(p.text, p.meta) for p in found] == [
        ("a", {"file": "a", "kind": "0"}),
        ("b", {"file": "b", "kind": "1"}),
        ("c", {"file": "b", "kind": "2"}),
    ]


@pytest.mark.parametrize(
    ("names", "kind", "said"),
    [
        ({}, TextFile, "is a folder without a file .txt"),
        ({"a.csv": "prompt\na\n"}, TextFile, "is a folder without a file .txt"),
        ({"a.txt": " \n"}, TextFile, r"a\.txt has no prompt; write one"),
        ({"a.txt": "a"}, Table, "is a folder without a file .csv, .tsv"),
        ({"a.csv": "prompt\na\n", "b.json": "[]"}, Table, r"has tables of several kinds \(.csv, .json\)"),
        ({"a.csv": "prompt\na\n", "b.csv": "words\na\n"}, Table, r"b\.csv has no column prompt"),
    ],
)
def test_a_folder_that_will_not_do_is_one_message(names, kind, said, tmp_path):
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"^dataset.path={re.escape(str(tmp_path))}.*{said}"):
        _ = kind(str(tmp_path)).prompts
