"""Words as people type them: flags with values, texts of any kind, names of files in any bytes."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import zz.ls
import zz.run
import zz.table
from tests.parity import tiny
from zz.cli.words import flag, readable, split
from zz.diffusion.validate import typed
from zz.lab.store.store import Store

FAST = ["model=mixture", "steps=2", "limit=1", "scorers=[]", "size=16"]
CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture
def cli(monkeypatch, capfd, tmp_path):
    """Run a command in this process; return its exit code, its output and its errors."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*words, command=zz.run):
        monkeypatch.setattr(sys, "argv", [command.__name__, *words])
        capfd.readouterr()
        code = command.main()
        return code, *capfd.readouterr()

    return run


def read(word):
    override = OverridesParser.create().parse_override(readable(word))
    return list(override.value().list) if override.is_sweep_override() else override.value()


@pytest.mark.parametrize(
    "text",
    [
        "café",
        "/x/run=3/st",
        "don't",
        "x; y",
        "#1",
        "b (c)",
        "x (a,b)/y",
        "~/x",
        "a{b}",
        "x]",
        "a\nb",
        "-5é",
        "\udcff",
        "日本",
    ],
)
def test_what_hydra_cannot_read_is_the_text_that_was_typed(text):
    assert read(f"k={text}") == text
    if "," not in text:
        assert read(f"k=[{text},plain, 'q, r']") == [text, "plain", "q, r"]
        assert [str(getattr(one, "text", one)) for one in read(f"k={text},plain")] == [text, "plain"]


@pytest.mark.parametrize(
    "word",
    [
        *("k=1e3", "k=null", "k=[a,b]", "k=red,blue", "k=${x}", "k='a'", "k=", "~k", "zigzag", "k=[", 'k="a', "k=a,"),
        *("k=,a", "k=rang(0,3)", "k=choice(é,x)", "k=[a,[é]]", "k={é:1}", "k='it''s'"),
    ],
)
def test_all_else_is_left_to_hydra(word):
    assert readable(word) == word


@pytest.mark.parametrize(
    "text",
    [
        "red,blue",
        "it's",
        'say "hi"',
        "x\\",
        'a\\"b',
        "costs ${x}",
        "#1",
        "null",
        "1_000",
        "",
        " a ",
        "a\nb",
        "é=[",
        "日",
    ],
)
def test_a_word_that_a_message_recommends_is_read_as_the_text(text):
    (word,) = shlex.split(typed("k", text))
    assert OverridesParser.create().parse_override(word).value() == text.replace("${", r"\${")
    (word,) = shlex.split(typed("k", text, "z", listed=True))
    assert OverridesParser.create().parse_override(word).value() == [text.replace("${", r"\${"), "z"]


def test_a_flag_keeps_its_value():
    words = ["--config-dir", "/x/run=3", "a=1", "-m", "~b", "-cn", "c=2", "--config-d", "d=3", "--cfg=job", "e"]
    assert split(words) == (
        ["--config-dir", "/x/run=3", "-m", "-cn", "c=2", "--config-d", "d=3", "--cfg=job"],
        ["a=1", "~b", "e"],
    )
    for words in (["--config-dir", "/x=3"], ["-m", "--config-dir=/x=3"], ["-cd", "/x=3", "-m"], ["--config-d", "/x=3"]):
        assert flag(words, "-cd", "--config-dir") == "/x=3"
    assert flag(["-m"], "-cd", "--config-dir") is flag(["--config-dir"], "-cd", "--config-dir") is None


@pytest.mark.parametrize("folder", ["run=3", pytest.param("experiment=3, it's é", marks=pytest.mark.slow)])
def test_folders_may_be_called_anything(cli, tmp_path, folder):
    conf = tmp_path / folder / "sampler"
    conf.mkdir(parents=True)
    shutil.copy(CONF / "sampler" / "standard.yaml", conf / "mine.yaml")
    store = tmp_path / f"{folder} of mine"
    where = shlex.split(typed("store", str(store))) if "," in folder else [f"store={store}"]
    code, _, err = cli("--config-dir", str(conf.parent), "sampler=mine", *FAST, *where)
    assert code == 0, err
    code, out, err = cli(f"--config-dir={folder}", "sampler=mine", *FAST, *where, "-m")
    assert code == 0 and "0 images to make, 1 there already" in out, err
    path = shlex.split(typed("hydra.searchpath", f"file://{conf.parent}", listed=True))
    code, out, err = cli(*path, "sampler=mine", *FAST, *where, "gamma1=2,3", "-m")
    assert code == 0 and "1 images to make, 1 there already" in out, err


def test_names_of_files_may_be_any_bytes(cli, tmp_path):
    """What was written in Latin-1 before: stores, prompt files, folders of YAML, the working folder."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    (folder / "sampler").mkdir(parents=True)
    shutil.copy(CONF / "sampler" / "standard.yaml", folder / "sampler" / "mine.yaml")
    (folder / "p.txt").write_text("a red circle\n")
    os.chdir(folder)
    words = [*FAST, f"store={folder}/st", "dataset=text", f"dataset.path={folder}/p.txt", "logger=[jsonl]"]
    words += [f"logger.jsonl.path={folder}/e.jsonl", "sampler=mine"]
    code, out, err = cli("--config-dir", str(folder), *words)
    assert code == 0 and "contact sheet: " in out and r"caf\udce9" in out, err
    (record,) = folder.glob("st/cells/*/runs/*.json")
    assert json.loads(record.read_text())["config"]["store"] == f"{folder}/st"
    assert len((folder / "e.jsonl").read_text().splitlines()) > 3
    assert cli("store=st", command=zz.ls)[0] == 0
    out = [f"store={folder}/st", f"out={folder}/t.md", "format=markdown"]
    assert cli(*out, command=zz.table)[0] == 0 and (folder / "t.md").read_text().startswith("<!-- python")
    tiny.sd().save_pretrained(tmp_path / "model")
    model = shutil.move(tmp_path / "model", folder)
    asked = ["model=sd", f"model.pretrained={model}", "dataset=inline", "dataset.texts=a", *FAST[1:]]
    code, _, err = cli(*asked, "store=st")
    assert code == 2 and "is not UTF-8; write it, or rename the file, in UTF-8" in err and "Traceback" not in err


BAD = [
    (["dataset.texts=[null]"], "dataset.texts[0]=None must be text; quote it, as 'dataset.texts=[\"null\"]'"),
    (["dataset.texts=[a,true]"], "dataset.texts[1]=True must be text; quote it, as 'dataset.texts=[\"true\"]'"),
    (["dataset.texts=[1_000]"], "must be text; quote it, as 'dataset.texts=[\"1000\"]'"),
    (["dataset.texts=[1e3]"], "must be text; quote it, as 'dataset.texts=[\"1000.0\"]'"),
    (["dataset.texts=42"], "must be text; quote it, as 'dataset.texts=[\"42\"]'"),
    (["dataset.texts=\udcff"], "is not UTF-8"),
    (["dataset.texts=a photo of a cat", "model=shapes", "size=32"], "does not know cat; it knows a, above, an, and"),
    (["negative_prompt=a cat", "model=shapes", "size=32"], "does not know cat; it knows a, above, an, and"),
    (["store=~nobody-here/x"], "store=~nobody-here/x is no folder"),
    (["store=[a]"], "store=['a'] is no folder"),
    (["name=0"], "name=0 must be a text; quote it: 'name=\"0\"'"),
    (["model=sd", "model.pretrained=1_0"], "model.pretrained=10 must be a text; quote it: 'model.pretrained=\"10\"'"),
    (["model=shapes", "model.revision=1e5"], "model.revision=100000.0 must be a text; quote it"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda it: ascii(it[0]) if isinstance(it, list) else "")
def test_what_is_no_text_or_no_known_word_is_refused(cli, words, message):
    keys = {word.partition("=")[0] for word in words}
    usual = [*FAST, "dataset=inline", "dataset.texts=a star"]
    code, out, err = cli(*(word for word in usual if word.partition("=")[0] not in keys), *words)
    assert code == 2 and message in err and "Traceback" not in err + out


def test_prompts_that_are_cut_are_one_line_a_run_and_in_its_record(cli, tmp_path):
    """By two workers in batches of two; nothing of the libraries' own."""
    texts = [f"a photo of {'a red star and ' * n}a ring" for n in (0, 3, 4, 5)]
    (tmp_path / "p.txt").write_text("\n".join(texts))
    words = ["model=shapes", "steps=1", "scorers=[]", "sampler=standard", "dataset=text", "dataset.path=p.txt"]
    code, out, err = cli(*words, "runner.batch_size=2", "store=st")
    assert code == 0, err
    said = "3 prompts are longer than the text encoder reads (16 tokens) and cut there; the first: "
    assert out.count("longer than") == 1 and f"{said}'a photo of a red star and a red star" in out
    assert "truncated" not in out + err and "16 tokens" not in err
    (record,) = Store("st").root.glob("cells/*/runs/*.json")
    assert json.loads(record.read_text())["cut"] == {"prompts": 3, "first": texts[1], "tokens": 16}
    assert "longer than" not in cli(*words, "store=st")[1], "nothing is encoded"
