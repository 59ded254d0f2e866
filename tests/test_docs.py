"""The README and docs/: commands, Python and examples run, links lead somewhere, costs are recomputed."""

import re
import runpy
import shlex
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GENERATED = {"methods.md", "shapes.md", "gap.md"}  # results, written by zz.table
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if path.name not in GENERATED
}
SMALL = ["limit=1", "runner.batch_size=1"]  # the same commands, at a size for tests
MAKERS = ("zz.run", "zz.score", "zz.plan")


def blocks(page, language):
    """The code blocks of a page in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.S | re.M)


def lines(page):
    """The lines of a page's sh blocks, comments left out."""
    found = [line.split("  #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def files(page):
    """path -> text of the example files that a page spells out: a path on a line of its own, then a block."""
    return dict(re.findall(r"^`(mine/\S+)`\n\n```\w+\n(.*?)^```", PAGES[page], re.S | re.M))


COMMANDS = {line: page for page in reversed(PAGES) for line in lines(page) if line.startswith("python -m ")}

LONG = {
    "python -m zz.run gamma2=0,1,2 lambda=0,10,49 -m",
    "python -m zz.run experiment=gap limit=8",
    "python -m zz.table name=gap out=docs/gap.md",
}


def small(words):
    """A command's words at a size for tests."""
    program, given = words[2], words[3:]
    if program not in MAKERS:
        return given
    keys = {word.partition("=")[0] for word in given}
    more = list(SMALL)
    if "shapes_fd" in " ".join(given):
        more = ["limit=3", "scorers.shapes_fd.truth=100"]  # a covariance needs a few
    elif "colour_spread" in " ".join(given):
        more = ["limit=3"]
    if "experiment" in keys:
        more = ["limit=1", "dataset.repeats=1"]
    elif "lambda" not in keys:
        more += ["steps=4", "lambda=null"] if program != "zz.plan" else ["steps=4"]
    shrunk = {word.partition("=")[0] for word in more}
    return [word for word in given if word.partition("=")[0] not in shrunk] + more


def before(page, command):
    """What a reader has run when a command reads what is there: the last zz.run above it."""
    if shlex.split(command)[2] not in ("zz.score", "zz.table", "zz.cite", "zz.report", "zz.export"):
        return []
    above = lines(page)[: lines(page).index(command)]
    if "store=numbers.tar.xz" in command:
        exports = [line for line in above if line.startswith("python -m zz.export ")][-1:]
        return [*before(page, exports[0]), *exports]
    return [line for line in above if line.startswith("python -m zz.run ")][-1:] or ["python -m zz.run"]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with the package `mine` that docs/extending.md spells out."""
    folder = tmp_path_factory.mktemp("examples")
    for path, text in {"mine/__init__.py": "", **files("docs/extending.md")}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def test_there_is_something_to_run():
    assert COMMANDS["python -m zz.run sampler=zigzag gamma2=0 lambda=49 -m"] == "README.md"
    assert len(COMMANDS) >= 50 and set(COMMANDS) >= LONG and len(files("docs/extending.md")) >= 20


@pytest.mark.parametrize("page", PAGES)
def test_every_line_of_an_sh_block_is_run_or_a_make_target(page):
    for line in lines(page):
        assert line in COMMANDS or re.fullmatch(r"make [\w-]+", line), line


@pytest.mark.slow
@pytest.mark.parametrize("command", [pytest.param(c, marks=pytest.mark.ci if c in LONG else ()) for c in COMMANDS])
def test_a_command_runs(command, examples, tmp_path, monkeypatch, capfd):
    (tmp_path / "docs").mkdir()  # as a checkout has it
    (tmp_path / "prompts.txt").write_text("a photo of a red circle\n", encoding="utf-8")
    monkeypatch.setenv("ZZ_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(examples)
    for line in [*before(COMMANDS[command], command), command]:
        words = shlex.split(line)
        monkeypatch.setattr(sys, "argv", [words[2], *small(words)])
        if words[2].startswith("zz.experiments."):
            runpy.run_module(words[2], run_name="__main__")
        else:
            assert import_module(words[2]).main() in (0, None), (line, capfd.readouterr())


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks(page, "python")), page, "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_is_named_is_there(page):
    for module in re.findall(r"python -m (zz[\w.]*\w)", PAGES[page]):
        assert find_spec(module), module


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for target, _, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(#([^)]+))?\)", PAGES[page]):
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), f"{target}#{anchor}"


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(PAGES["README.md"].encode()) < 12_000
    for page in set(PAGES) - {"README.md"}:
        assert f"]({page})" in PAGES["README.md"], page
    for page in ("methods.md", "shapes.md"):
        assert f"]({page})" in PAGES["docs/findings.md"], page


def test_the_layout_names_every_folder():
    for folder in sorted(p.name for p in (ROOT / "zz").iterdir() if p.is_dir() and p.name != "__pycache__"):
        assert f"{folder}/" in PAGES["README.md"], folder
        assert f"{folder}/" in PAGES["docs/architecture.md"], folder


def test_the_glossary_has_each_word_once():
    rows = re.findall(r"^\| (.+?) \| .+ \|$", PAGES["docs/glossary.md"], re.M)
    words = [word for row in rows if row != "word" for word in row.split(", ")]
    assert len(words) == len(set(words))
    assert {"cell", "picture", "row", "entry", "manifest", "role", "slot", "leg", "probe", "key", "store"} <= set(words)


def test_make_targets_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {"help", "demo", "test", "check"} <= targets
    for text in PAGES.values():
        assert set(re.findall(r"(?:^|`)make ([\w-]*\w)", text, re.M)) <= targets


@pytest.mark.parametrize(
    ("group", "page"),
    [
        ("sampler", "samplers"),
        ("solver", "samplers"),
        ("schedule", "samplers"),
        ("guidance", "guidance"),
        ("model", "models"),
        ("dataset", "prompts"),
        ("scorers", "metrics"),
        ("measurements", "metrics"),
    ],
)
def test_a_page_names_every_option_of_its_group(group, page):
    first_cells = re.findall(r"^\| (`[^|]*) \|", PAGES[f"docs/{page}.md"], re.M)
    named = {word for cell in first_cells for quoted in re.findall(r"`([^`]+)`", cell) for word in quoted.split()}
    options = {p.stem for p in (ROOT / "conf" / group).glob("*.yaml") if not p.stem.startswith("_")}
    assert options <= named, options - named


def test_the_samplers_table_names_every_one_and_its_cost():
    from hydra import compose, initialize_config_dir

    from zz.cli.conf import conf_dir
    from zz.cli.config import build
    from zz.diffusion.cost import cost
    from zz.diffusion.guidance.cfg import CFG
    from zz.diffusion.levels import Flow, discrete
    from zz.diffusion.schedules.shifted import Shifted
    from zz.diffusion.schedules.timesteps import Timesteps

    table = PAGES["docs/samplers.md"].split("## Samplers")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|.*\| (\d+), (\d+) \|$", table, re.M)
    assert {words.split()[0] for words, _, _ in rows} == {p.stem for p in (ROOT / "conf/sampler").glob("*.yaml")}
    nodes = Timesteps("leading", 1).nodes(discrete(), 20)
    flow = Shifted(3.0).nodes(Flow(), 20)
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        for words, predictions, evals in rows:
            overrides = [*f"sampler={words}".split(), "gamma1=4", "gamma2=0"]
            sampler = build(compose("config", overrides=overrides).sampler)
            there = flow if words == "rectified_cfgpp" else nodes  # it refuses others
            assert cost(sampler, CFG(), there) == (int(predictions), int(evals)), words
