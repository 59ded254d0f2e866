"""Loggers on the command line: several at once; one that fails is left out, and the run goes on."""

import json
import sys

import pytest

import zz.run
import zz.score
from zz.lab.store.store import Store

LOGGER = '''
"""Loggers of which one fails."""

from dataclasses import dataclass
from pathlib import Path

from zz.lab.loggers.base import Logger


@dataclass(frozen=True)
class Broken(Logger):
    """Fails at one event."""

    at: str = "on_slot"

    def on_slot(self, done):
        self._fail("on_slot")

    def on_scored(self, done):
        self._fail("on_scored")

    def on_results(self, results):
        self._fail("on_results")

    def on_sheet(self, path):
        self._fail("on_sheet")

    def on_end(self, made, missing):
        self._fail("on_end")

    def _fail(self, event):
        with Path("heard.txt").open("a") as file:
            file.write(event + "\\n")
        if event == self.at:
            raise OSError("the [wire] is cut")
'''
EVENTS = ["on_slot", "on_slot", "on_scored", "on_results", "on_sheet", "on_end"]
WORDS = ["model=mixture", "steps=2", "limit=4", "runner.batch_size=2", "scorers=[log_odds]", "extensions=[theirs]"]
TOLD = ["start", "config", "slot", "slot", "scored", "result", "sheet", "end"]


@pytest.fixture
def cli(monkeypatch, capfd, store_path, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "lib" / "theirs"
    (package / "conf" / "logger").mkdir(parents=True)
    (package / "__init__.py").write_text(LOGGER)
    (package / "conf" / "logger" / "broken.yaml").write_text("broken:\n  _target_: theirs.Broken\n  at: on_slot\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))

    def run(*words, command=zz.run):
        monkeypatch.setattr(sys, "argv", [command.__name__, f"store={store_path}", *WORDS, *words])
        capfd.readouterr()
        code = command.main()
        out, err = capfd.readouterr()
        return code, out, err

    return run


def told(tmp_path):
    return [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("event", dict.fromkeys(EVENTS))
@pytest.mark.parametrize("order", ["broken,jsonl", pytest.param("jsonl,broken", marks=pytest.mark.ci)])
def test_one_that_fails_is_left_out_and_the_other_hears_all(cli, store_path, tmp_path, event, order):
    code, out, err = cli(f"logger=[{order}]", f"logger.broken.at={event}")
    assert code == 0 and err == ""
    assert out.count("logger Broken failed and is left out: the [wire] is cut") == 1
    assert (tmp_path / "heard.txt").read_text().split() == EVENTS[: EVENTS.index(event) + 1]
    assert told(tmp_path) == TOLD
    (one,) = Store(store_path).cells()
    assert one.images == 4 and list(one.scores.values()) == [4]


def test_score_tells_from_start_to_end(cli, tmp_path):
    assert cli("scorers=[]")[0] == 0
    code, out, _ = cli("logger=[jsonl,broken]", "logger.broken.at=on_scored", command=zz.score)
    assert code == 0 and out.count("logger Broken failed and is left out") == 1
    assert told(tmp_path) == [event for event in TOLD if event != "slot"]


def test_one_that_cannot_start_is_said_before_anything_is_made(cli, store_path):
    for command in (zz.run, zz.score):
        code, _, err = cli("logger=[broken,jsonl]", "logger.jsonl.path=/nowhere/x", command=command)
        assert code == 2 and err.count("\n") == 1
        assert not list(store_path.glob("cells/*"))
    assert "none of these pictures are in" in err
    assert cli()[0] == 0
    code, _, err = cli("logger=[broken,jsonl]", "logger.jsonl.path=/nowhere/x", command=zz.score)
    assert code == 2 and "logger.jsonl.path=/nowhere/x cannot be written" in err
