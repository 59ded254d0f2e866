"""Prompt files as people have them: encodings, marks, separators, tables of every kind, words that YAML reads."""

import json

import pytest

from zz.data.base import Prompt, PromptSet
from zz.data.inline import Inline
from zz.data.table import Table
from zz.data.text import TextFile

TEXTS = ["a red star", "a café", "星", "42", "a b\u2028c\x85d\x0be\x0cf"]


def texts(found):
    return [prompt.text for prompt in found.prompts]


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_prompt_i_is_line_i_whatever_ends_it(tmp_path, end, last):
    path = written(tmp_path, "p.txt", end.join(TEXTS) + end * last)
    found = TextFile(path).prompts
    assert [p.text for p in found] == TEXTS and [p.seed for p in found] == list(range(len(TEXTS)))


@pytest.mark.parametrize(
    "blank",
    ["", " \t", "\u200b", "\u200b \u2060", "\ufeff", "\x0c", "\xa0", "\u3164", "\u2800", "\x1a", "\u00ad\u200e"],
)
def test_a_line_that_shows_nothing_is_blank(tmp_path, blank):
    assert texts(TextFile(written(tmp_path, "p.txt", f"a\n{blank}\nb\n{blank}"))) == ["a", "b"]


def test_marks_go_wherever_they_stand_and_what_joins_letters_stays(tmp_path):
    joined = "\u0646\u200c\u0645 👩\u200d🚀 \u2764\ufe0f!"
    lines = f"\ufeffa star\n\ufeff\u200ba cir\ufeffcle\u200b \n{joined}\n"
    assert texts(TextFile(written(tmp_path, "p.txt", lines))) == ["a star", "a circle", joined]


def test_equal_lines_are_pictures_of_their_own(tmp_path):
    found = TextFile(written(tmp_path, "p.txt", "a\na\n")).listed()
    assert [(p.text, p.seed) for p in found.entries] == [("a", 0), ("a", 1)] and not found.dropped


BAD = {
    "utf-16": ("a red star\n".encode("utf-16"), "looks like UTF-16; save it as UTF-8"),
    "utf-16-le": ("a red star\n".encode("utf-16-le"), "looks like UTF-16; save it as UTF-8"),
    "utf-16-be": ("a red star\n".encode("utf-16-be"), "looks like UTF-16; save it as UTF-8"),
    "utf-32": ("a red star\n".encode("utf-32-le"), "looks like UTF-16; save it as UTF-8"),
    "han": ("红色的星星和蓝色的圆\n".encode("utf-16-le"), "it looks like UTF-16; save it as UTF-8"),
    "latin-1": (b"a star\na caf\xe9\n", r"is not UTF-8 \(line 2 has the byte 0xe9\); it looks like Latin-1"),
    "nul": (b"a star\na\0circle in a box\n", "has a NUL character in line 2; take it out"),
    "no text": (b"\x1f\x8b\x08\x08" + bytes(range(128, 256)), "is not UTF-8"),
    "nothing": (b"\n \n", "holds no prompts"),
}


@pytest.mark.parametrize("content", BAD)
def test_what_is_no_utf_8_says_what_it_looks_like(tmp_path, content):
    path = written(tmp_path, "p.txt", BAD[content][0])
    with pytest.raises(ValueError, match=BAD[content][1]) as error:
        _ = TextFile(path).prompts
    assert f"dataset.path={path} " in str(error.value) or content == "nothing"


@pytest.mark.parametrize("path", ["/nowhere.txt", "a\0b", "/tmp/" + "x" * 300])
@pytest.mark.parametrize("kind", [TextFile, lambda path: Table(path, delimiter=",")])
def test_what_cannot_be_read_is_one_message(path, kind):
    with pytest.raises(ValueError, match="cannot be read: "):
        _ = kind(path).prompts


WANTED = [
    Prompt("a red star, left", {"category": "Colors", "n": "1"}, 0),
    Prompt('a sign that says "hi"', {"category": "Text", "n": "007"}, 1),
]
FILES = {
    "a.csv": 'prompt,category,n\n"a red star, left",Colors,1\n\n"a sign that says ""hi""",Text,007\n',
    "bom.csv": '\ufeffprompt, category, n\r\n"a red star, left", Colors, 1\r\n"a sign that says ""hi""", Text, 007\r\n',
    "old.csv": '\rprompt,category,n\r"a red star, left",Colors,1\r"a sign that says ""hi""",Text,007\r',
    "semi.csv": 'category;prompt;n\nColors;a red star, left;1\nText;"a sign that says ""hi""";007\n;;\n',
    "pipe.csv": 'n|prompt|category\n1|a red star, left|Colors\n007|"a sign that says ""hi"""|Text',
    "a.tsv": 'prompt\tcategory\tn\na red star, left\tColors\t1\na sign that says "hi"\tText\t007\n\u200b\n',
    "excel.tsv": 'prompt\tcategory\tn\n"a red star, left"\tColors\t1\n"a sign that says ""hi"""\tText\t007\n',
    "a.jsonl": "\n".join(json.dumps({"prompt": p.text, **p.meta}) for p in WANTED) + "\n\n",
    "a.json": json.dumps([{"prompt": p.text, **p.meta} for p in WANTED], indent=1),
    "lines.json": "\r\n".join(json.dumps({"prompt": p.text, **p.meta}) for p in WANTED),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_of_any_kind_is_the_same_prompts_and_meta(tmp_path, name):
    found = Table(written(tmp_path, name, FILES[name])).prompts
    assert [(p.text, dict(p.meta), p.seed) for p in found] == [(p.text, dict(p.meta), p.seed) for p in WANTED]


def test_the_usual_columns_are_found_in_their_order(tmp_path):
    for head, column in (("Prompts,Category", 0), ("text,Prompt", 1), ("id,Caption", 1), ("caption,TEXT", 1)):
        path = written(tmp_path, "d.csv", f'{head}\n"a, 0","a, 1"\n')
        assert texts(Table(path)) == [f"a, {column}"]
    assert texts(Table(written(tmp_path, "d.csv", "text,prompt\na,b\n"), column="text")) == ["a"]


def test_parquet_is_a_table_too(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"prompt": ["a star", "a circle"], "n": [1, None], "seen": [None, "x"]}
    pictures = pyarrow.array([{"bytes": b"\x89PNG", "path": "a"}] * 2)
    path = str(tmp_path / "p.parquet")
    parquet.write_table(pyarrow.table(columns | {"image": pictures}), path)
    found = Table(path).prompts
    assert [p.text for p in found] == ["a star", "a circle"]
    assert [dict(p.meta) for p in found] == [{"n": 1, "seen": None}, {"n": None, "seen": "x"}]
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        _ = Table(written(tmp_path, "q.parquet", "prompt\na")).prompts


def test_quotes_between_tabs_are_part_of_the_text(tmp_path):
    """As in PartiPrompts.tsv; a cell with a line break in quotes is read as tables have it."""
    rows = 'prompt\tcategory\n"KEEP OFF" on a wall\tText\n"a star\tShapes\na "circle"\tShapes\n'
    assert texts(Table(written(tmp_path, "p.tsv", rows))) == ['"KEEP OFF" on a wall', '"a star', 'a "circle"']
    rows = 'prompt\tcategory\n"a star\nof gold"\tShapes\n'
    assert texts(Table(written(tmp_path, "q.tsv", rows))) == ["a star\nof gold"]


def test_json_keeps_its_values_and_texts_need_no_key(tmp_path):
    rows = '{"caption": "a\\u2028b", "include": [{"class": "star"}], "n": 2}\n{"caption": "c", "n": 3}'
    found = Table(written(tmp_path, "p.jsonl", rows), column="caption").prompts
    assert [p.text for p in found] == ["a\u2028b", "c"]
    assert [dict(p.meta) for p in found] == [{"include": [{"class": "star"}], "n": 2}, {"n": 3}]
    assert texts(Table(written(tmp_path, "q.json", '["a star", "a circle"]'))) == ["a star", "a circle"]


def test_a_table_may_give_seeds_of_its_own(tmp_path):
    path = written(tmp_path, "p.csv", "prompt,seed\na,7\nb,7\n")
    assert [(p.text, p.seed, dict(p.meta)) for p in Table(path, seeds="seed").listed(1).entries] == [
        ("a", 8, {}),
        ("b", 8, {}),
    ]
    for wrong in ("x", "", "1.5", "-1"):
        path = written(tmp_path, "p.csv", f"prompt,seed\na,{wrong}\n")
        with pytest.raises(ValueError, match="whole number"):
            _ = Table(path, seeds="seed").prompts


BAD_TABLES = {
    (
        "p.csv",
        "Query,Category\na,b\n",
    ): "has no column prompt or prompts or text or caption; it has Query, Category; choose "
    "one, as dataset.column=Query",
    (
        "p.csv",
        "prompt,category\na star, red,Colors\n",
    ): r"has 3 cells in line 2, and 2 columns \(prompt, category\); put",
    ("p.csv", "prompt\na star, red\n"): r"has 2 cells in line 2, and 1 column \(prompt\)",
    (
        "p.csv",
        'prompt,category\n"KEEP OFF" it,Text\n',
    ): "cannot be read in line 2 .*quotes within a quoted text are doubled",
    ("p.csv", 'prompt,category\n"a star,Text\n'): "cannot be read in line 2",
    ("p.csv", "prompt,prompt\na,b\n"): "several are called prompt",
    ("p.csv", "prompt,category\n,Text\n"): "line 2 has no prompt; fill it in",
    ("p.csv", "prompt,category\n"): "holds no prompts",
    ("p.csv", b"prompt\ncaf\xe9\n"): "not UTF-8",
    ("p.csv", "prompt\na\n".encode("utf-16")): "looks like UTF-16",
    ("p.jsonl", '{"prompt": "a"}\n{"prompt": 42}'): 'line 2 has prompt=42, which is no text; quote it: "42"',
    ("p.jsonl", '{"prompt": "a"}\n{"prompt": null, "n": 1}'): "line 2 has no prompt",
    ("p.jsonl", '{"prompt": "a"}\n{"text": "b"}'): "line 2 has no prompt",
    ("p.jsonl", '{"prompt": "a"}\n{"prompt": '): "is not JSON in line 2",
    ("p.jsonl", '{"prompt": "a"}\n[1]'): "has no object in line 2",
    ("p.jsonl", '{"prompt": "a\\u0000"}'): "holds a NUL character",
    ("p.jsonl", '{"prompt": "\\ud83d"}'): "is not UTF-8",
    ("p.jsonl", '{"prompt": "a", "prompt": "b"}\n{"prompt": "c"}'): "one comes twice",
    ("p.json", '[{"prompt": "a"},\n'): "is not JSON: ",
    ("p.json", '{"prompts": ["a"]}'): "entry 1 has prompts=.'a'., which is no text",
    ("p.txt", "a star\n"): "read it with dataset=text dataset.path=",
}


@pytest.mark.parametrize(("name", "content"), BAD_TABLES)
def test_a_table_that_is_wrong_is_one_message(tmp_path, name, content):
    with pytest.raises(ValueError, match=BAD_TABLES[name, content]):
        _ = Table(written(tmp_path, name, content)).prompts


@pytest.mark.parametrize("name", [*FILES, "p.NDJSON", "p.parquet"])
def test_a_table_is_no_text_file(tmp_path, name):
    with pytest.raises(ValueError, match=r"is a table, .* read it with dataset=table dataset\.path="):
        _ = TextFile(written(tmp_path, name, "a")).prompts


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter):
    with pytest.raises(ValueError, match="delimiter"):
        Table("p.csv", delimiter=delimiter)
    assert Table("p.txt", delimiter="\\t").delimiter == "\t"


def test_one_text_where_a_list_is_meant_is_one_prompt():
    assert texts(Inline("a photo of a red star")) == ["a photo of a red star"]
    assert texts(Inline(("a ", ""))) == ["a ", ""]
    assert Inline(("a", "b"), indices=1).listed().entries == (Prompt("b", {}, 1),)


@pytest.mark.parametrize("value", [None, True, 1000, 1000.0, 42, ["a"]])
def test_what_yaml_read_as_something_else_is_no_prompt(value):
    with pytest.raises(ValueError, match=r"dataset\.texts\[1\]=.* must be text; quote it, as 'dataset\.texts="):
        Inline(("a", value))


@pytest.mark.parametrize(
    ("text", "message"), [("\udcff", "not UTF-8"), ("a\0b", "NUL"), (None, "is None, which is no text")]
)
def test_no_set_holds_a_prompt_that_cannot_be_written(text, message):
    class Own(PromptSet):
        def load(self):
            return [Prompt("a"), Prompt(text)]

    with pytest.raises(ValueError, match=f"dataset=, prompt 1.*{message}"):
        _ = Own().prompts


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [("Colors", [0]), (1, [0]), (7, [1]), ("007", [1]), (True, [2]), (1000, [3]), (None, [4]), ([1, "Yes"], [0, 5])],
)
def test_a_value_of_meta_is_meant_as_it_is_written(tmp_path, wanted, entries):
    key = "n" if wanted != "Colors" else "category"
    rows = "prompt,n,category\na,1,Colors\nb,007,x\nc,True,x\nd,1_000,x\ne,null,x\nf,Yes,x\n"
    path = written(tmp_path, "p.csv", rows)
    assert [p.seed for p in Table(path, where={key: wanted}).listed().entries] == entries


def test_a_value_that_may_be_several_is_asked_for(tmp_path):
    path = written(tmp_path, "p.csv", "prompt,n\na,07\nb,007\n")
    with pytest.raises(
        ValueError, match=r"dataset\.where\.n=7 may be 007, 07; quote it, as 'dataset\.where\.n=\"007\"'"
    ):
        Table(path, where={"n": 7}).listed()
    with pytest.raises(ValueError, match=r"dataset\.where\.n=true is of no entry; there are 007, 07"):
        Table(path, where={"n": True}).listed()
