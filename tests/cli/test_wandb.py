"""Weights & Biases without an account: kept offline, and read back with its own public command."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict

import pytest

import zz.dashboard
import zz.log
import zz.run
from zz.lab.store.manifest import find
from zz.lab.store.store import Store

pytest.importorskip("wandb")

WORDS = ["model=mixture", "steps=4", "limit=6", "runner.batch_size=2", "scorers=[log_odds]"]
KEY = "0123456789" * 4


def records(folder):
    """By run id, the records of each of its files, the oldest file first; by `wandb leet inspect`."""
    found = defaultdict(list)
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        said = subprocess.run(
            [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found[path.stem.removeprefix("run-")].append([json.loads(line) for line in said.splitlines()])
    return found


def history(files):
    """The history of a run over its files: (step, numbers) in the order in which they were written."""
    items = [r["history"]["item"] for file in files for r in file if r["type"] == "history"]
    return [(item["_step"], {name: x for name, x in item.items() if name[0] != "_"}) for item in items]


def about(file):
    return next(record["run"] for record in file if record["type"] == "run")


@pytest.mark.slow
def test_a_row_is_one_run_with_its_config_numbers_and_pictures(cli, store_path, tmp_path):
    words = [*WORDS, "controls=true", "measurements=[reflections,effective_guidance]", "name=mine"]
    assert cli(*words, "logger=[wandb,csv]", "logger.wandb.pictures=2")[0] == 0
    found, manifest = records(store_path / "logs"), find(Store(store_path))
    rows = {row.id: row for row in manifest.rows}
    assert set(rows) < set(found) and len(found) == len(rows) + 1, "one a row, and the tables"
    for id, row in rows.items():
        (file,) = found[id]
        run = about(file)
        assert (run["run_id"], run["run_group"], run["job_type"]) == (id, "mine", row.role)
        assert run["config"]["update"]["config"]["steps"] == 4, "at the start"
        steps = [step for step, _ in history([file])]
        assert steps == list(range(len(steps)))
        told = [x["images"] for _, x in history([file]) if "images" in x]
        assert told == [2, 4, 6] or row.role != "asked"
    asked = next(row for row in manifest.rows if row.role == "asked")
    numbers = {}
    for record in found[asked.id][0]:
        numbers |= record.get("summary", {}).get("update", {})
    assert {"score/log_odds", "score/log_odds/low", "winning/log_odds/standard/high", "cost/evals"} <= set(numbers)
    curves = [x for _, x in history(found[asked.id]) if "sampling_step" in x]
    assert {"trajectory/tau1", "trajectory/tau2", "trajectory/delta", "trajectory/omega_e"} <= set(curves[0])
    (shown,) = [x for _, x in history(found[asked.id]) if any(name.startswith("pairs") for name in x)]
    media = list((store_path / "logs").glob(f"wandb/*{asked.id}/files/media/images/*.png"))
    assert shown and len(media) >= 2 * 5, "two prompts by the row and its four controls"
    assert cli(*words, "logger=[wandb,csv]", "logger.wandb.pictures=2")[0] == 0
    assert {id: len(files) for id, files in records(store_path / "logs").items()} == dict.fromkeys(found, 1)


@pytest.mark.slow
def test_killed_and_resumed_on_another_machine_it_is_one_run_and_no_number_twice(store_path, tmp_path):
    """The folders of both, read together: the same ids, steps that go on."""
    words = [f"store={store_path}", *WORDS, "steps=150", "limit=12", "logger=wandb", "runner.batch_size=1"]
    command = [sys.executable, "-m", "zz.run", *words]

    alone = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # of this process's own runs

    def of(machine):
        return [*command, f"logger.wandb.path={tmp_path / machine}"]

    first = subprocess.Popen(of("one"), cwd=tmp_path, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    noted = []
    while not noted or json.loads(noted[0].read_text())["slots"] < 1:
        assert first.poll() is None
        time.sleep(0.02)
        noted = list(store_path.glob("cells/*/sent/wandb-*.json"))
    time.sleep(0.3)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = len(list(store_path.glob("cells/*/images/*.png")))
    assert 0 < before < 12
    done = subprocess.run(of("two"), cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    one, two = records(tmp_path / "one"), records(tmp_path / "two")
    row = find(Store(store_path)).rows[0].id
    assert row in one and row in two
    steps = [step for step, _ in history(one[row] + two[row])]
    assert steps == sorted(set(steps)), "each once, and never back"
    images = [x["images"] for _, x in history(one[row] + two[row]) if "images" in x]
    assert images == sorted(set(images)) and images[-1] == 12


@pytest.fixture
def lonely(monkeypatch, tmp_path):
    """Nobody's home, without an account."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return monkeypatch


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble", ["no account", *(pytest.param(f"server {how}", marks=pytest.mark.ci) for how in ("down", "hangs"))]
)
def test_without_a_server_the_run_goes_on_and_says_so_once(lonely, store_path, tmp_path, trouble):
    listening = socket.create_server(("127.0.0.1", 0))  # which never answers
    port = listening.getsockname()[1]
    if trouble == "server down":
        listening.close()
    if trouble != "no account":
        lonely.setenv("WANDB_API_KEY", KEY)
        lonely.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    words = [f"store={store_path}", *WORDS, "logger=wandb", "logger.wandb.patience=25"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "zz.run", *words],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    listening.close()
    assert done.returncode == 0 and "6/6" in done.stdout and done.stderr == ""
    said = done.stdout.replace("\n", " ")
    assert said.count("Weights & Biases cannot be reached") == 1, said
    assert f"`wandb sync {store_path}/logs/wandb/offline-run-*` sends them" in said
    assert time.monotonic() - started < 60
    row = find(Store(store_path)).rows[0].id
    assert [x["images"] for _, x in history(records(store_path / "logs")[row]) if "images" in x] == [2, 4, 6]


@pytest.mark.parametrize("command", [zz.run, zz.log])
def test_a_key_that_is_none_is_refused(cli, lonely, command):
    assert cli(*WORDS, "limit=1", "steps=1", "sampler=standard", "scorers=[]")[0] == 0
    lonely.setenv("WANDB_API_KEY", "my secret")
    words = [*WORDS, "limit=1"] if command is zz.run else []
    code, _, err = cli(*words, "logger=wandb", command=command)
    assert code == 2 and err.count("\n") == 1 and "WANDB_API_KEY is no key" in err and "my secret" not in err


def test_disabled_is_nothing(cli, store_path):
    words = [*WORDS, "limit=1", "steps=1", "sampler=standard", "scorers=[]"]
    assert cli(*words, "logger=wandb", "logger.wandb.mode=disabled", "logger.wandb.path=/proc/x")[0] == 0
    assert not (store_path / "logs").exists() and not list(store_path.glob("cells/*/sent"))


class TestDashboard:
    @pytest.fixture(autouse=True)
    def _made(self, cli):
        words = [*WORDS, "gamma2=0,1", "controls=true", "measurements=[reflections]", "-m"]
        assert cli(*words)[0] == 0

    def test_what_it_writes_is_what_the_library_would_save(self, cli, tmp_path):
        from wandb_workspaces.reports.v2.internal import ReportViewspec
        from wandb_workspaces.workspaces.internal import View

        code, out, err = cli("project=other", "entity=me", "out=d.json", command=zz.dashboard)
        assert (code, err) == (0, "") and "d.json: 6 sections" in out
        said = json.loads((tmp_path / "d.json").read_text())
        view = View.model_validate(said["workspace"])
        assert (view.entity, view.project) == ("me", "other")
        sections = view.spec.section.panel_bank_config.sections
        names = ["Winning rates", "Scores", "Sweeps", "Along the trajectory", "Pictures", "Cost"]
        assert [section.name for section in sections] == names and all(section.panels for section in sections)
        report = ReportViewspec.model_validate(said["report"])
        assert report.display_name == "run" and report.project.name == "other"

    def test_every_metric_that_it_shows_was_sent(self, cli, tmp_path, store_path):
        assert cli("logger=csv", command=zz.log)[0] == 0
        sent = {"images", "sampling_step", "pictures"}
        for path in (store_path / "logs" / "csv").glob("*/*.csv"):
            rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
            sent |= {row[1 if path.stem == "history" else 0] for row in rows}
        cli("out=d.json", command=zz.dashboard)
        text = json.loads((tmp_path / "d.json").read_text())["workspace"]["spec"]["section"]
        for section in text["panelBankConfig"]["sections"]:
            for panel in section["panels"]:
                config = panel["config"]
                shown = [*config.get("metrics", []), config.get("xAxis"), config.get("yAxis")]
                for name in filter(None, shown):
                    plain = name.removeprefix("summary_metrics.").removeprefix("summary:")
                    assert plain in sent or plain == "_step", plain

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["project=a/b"], "project=a/b: Weights & Biases takes names"),
            (["out=/nowhere/d.json"], "out=/nowhere/d.json cannot be written"),
            (["out=."], "out=. must be a file"),
            (["save=yes"], "save=yes must be true or false"),
            (["name=other"], "no manifest 'other'"),
            (["experiment=tabel_01"], "did you mean table_01"),
        ],
    )
    def test_bad_input(self, cli, words, says):
        code, _, err = cli(*words, command=zz.dashboard)
        assert code == 2 and err.count("\n") == 1 and says in err

    def test_without_an_account_it_is_not_saved_and_is_written(self, cli, lonely, tmp_path):
        code, _, err = cli("save=true", "entity=me", "out=d.json", command=zz.dashboard)
        assert code == 2 and "Weights & Biases refuses or cannot be reached" in err and "d.json is written" in err
        assert (tmp_path / "d.json").exists()


def test_tensorboard_reads_back_what_was_written(cli, store_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = [*WORDS, "controls=[standard]", "measurements=[reflections]"]
    assert cli(*words, "logger=tensorboard")[0] == 0
    row = find(Store(store_path)).rows[0]
    (folder,) = store_path.glob(f"logs/tensorboard/* {row.id}")
    read = accumulator.EventAccumulator(str(folder)).Reload()
    assert [event.value for event in read.Scalars("images")] == [2, 4, 6]
    assert len(read.Scalars("trajectory/tau1")) == 3 and len(read.Tags()["images"]) == 6
    assert read.Scalars("score/log_odds")
    size = sum(path.stat().st_size for path in folder.rglob("*"))
    assert cli(*words, "logger=tensorboard")[0] == 0
    assert sum(path.stat().st_size for path in folder.rglob("*")) == size
