"""The README's commands run, and what it says of the house is so."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
COMMANDS = [
    line.split("  #")[0].strip()
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.startswith("python -m zz.")
]
SMALL = {
    "zz.run": ["limit=1", "runner.batch_size=1", "steps=4", "lambda=null"]
}  # the same commands, at a size for tests


def test_there_is_something_to_run():
    assert len(COMMANDS) >= 6
    assert "python -m zz.run sampler=zigzag gamma2=0 lambda=49 -m" in COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command, tmp_path, monkeypatch, capfd):
    words = shlex.split(command)
    if "lambda=49" in words or "lambda=0,10,49" in words:
        small = ["limit=1", "runner.batch_size=1"]
    elif any(word.startswith("experiment=") for word in words):
        small = ["limit=1", "dataset.repeats=1"]
    else:
        small = SMALL.get(words[2].replace("zz.score", "zz.run"), [])
    (tmp_path / "prompts.txt").write_text("a photo of a red circle\n")
    monkeypatch.setenv("ZZ_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    programs = ["zz.run", "zz.score"] if words[2] == "zz.score" else [words[2]]  # scores are of pictures that exist
    for program in programs:
        monkeypatch.setattr(sys, "argv", [program, *words[3:], *small])
        assert import_module(program).main() in (0, None), capfd.readouterr()


@pytest.mark.slow
def test_the_python_blocks_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [block for language, block in BLOCKS if language == "python"]
    assert len(blocks) >= 2
    exec(compile("\n".join(blocks), "README.md", "exec"), {})


def test_links_and_pictures_exist():
    for path in re.findall(r"\]\((?!https?://)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_map_names_every_room():
    for folder in sorted(p.name for p in (ROOT / "zz").iterdir() if p.is_dir() and p.name != "__pycache__"):
        assert f"{folder}/" in README, folder


def test_make_targets_are_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"help", "demo", "test", "check"} <= targets
    assert set(re.findall(r"make (\w+)", " ".join(block for _, block in BLOCKS))) <= targets


def test_the_samplers_table_names_every_one_and_its_cost():
    from hydra import compose, initialize_config_dir

    from zz.cli.config import build, conf_dir
    from zz.diffusion.curve import discrete
    from zz.diffusion.guidance import CFG
    from zz.diffusion.samplers.controls import cost
    from zz.diffusion.spacing import Timesteps

    table = README.split("## Samplers")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|.*\| (\d+), (\d+) \|$", table, re.M)
    assert {words.split()[0] for words, _, _ in rows} == {p.stem for p in (ROOT / "conf/sampler").glob("*.yaml")}
    schedule = Timesteps("leading", 1).schedule(discrete(), 20)
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        for words, predictions, network_rows in rows:
            overrides = [*f"sampler={words}".split(), "gamma1=4", "gamma2=0"]
            sampler = build(compose("config", overrides=overrides).sampler)
            assert cost(sampler, CFG(), schedule) == (int(predictions), int(network_rows)), words
