"""Loggers of rows: what they are told is what the store holds, once, in order, whoever made it."""

import csv
import json
import math
import shutil
import sys
import threading

import pytest

import zz.log
import zz.run
from zz.lab.loggers import history
from zz.lab.loggers.sent import Sent
from zz.lab.results import Results
from zz.lab.store.manifest import find
from zz.lab.store.store import Store

WORDS = ["model=mixture", "steps=4", "limit=6", "runner.batch_size=2", "scorers=[log_odds]"]


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def slot(row, pictures, seconds=2.0, **more):
    return json.dumps({"event": "slot", "row": row, "pictures": pictures, "seconds": seconds, **more}) + "\n"


class TestSlotEvents:
    def test_it_reads_what_is_new_and_leaves_torn_lines_for_later(self, tmp_path):
        path = tmp_path / "events.jsonl"
        events = history.SlotEvents(path, "a")
        assert events.read() == []
        whole = slot("a", ["x", "y"], predictions=7, evals=9, peak_bytes=5e8)
        path.write_text(whole + slot("b", ["z"]) + whole[:20])
        first = {
            "images": 2.0,
            "throughput/images_per_second": 1.0,
            "made/predictions": 7.0,
            "made/evals": 9.0,
            "memory/peak_gb": 0.5,
        }
        assert events.read() == [first]
        path.write_text(whole + slot("b", ["z"]) + slot("a", ["w"], 0.5))
        assert events.read() == [first, {"images": 3.0, "throughput/images_per_second": 2.0}]

    @pytest.mark.parametrize("line", ["[1, 2]", "{", "\x00", '{"event": "slot"}', '{"event": "end", "row": "a"}'])
    def test_what_is_no_slot_of_the_row_counts_for_nothing(self, tmp_path, line):
        path = tmp_path / "events.jsonl"
        path.write_text(line + "\n" + slot("a", ["x"]) + slot("a", []) + slot("a", ["x"], 0))
        found = history.SlotEvents(path, "a").read()
        assert [numbers["images"] for numbers in found] == [1, 1]
        assert "throughput/images_per_second" not in found[1]


def test_what_was_sent_is_kept_and_a_torn_note_is_none(tmp_path):
    path = tmp_path / "noted.json"
    sent = Sent.read(path)
    assert (sent.step, sent.slots, sent.has("x", [1])) == (0, 0, False)
    sent.step = 3
    sent.note("x", [1])
    sent.note("x", [2])
    again = Sent.read(path)
    assert again.step == 3 and again.has("x", [1]) and again.has("x", [2]) and not again.has("x", [3])
    again.numbers["a"] = 1.5
    assert again.changed({"a": 1.5, "b": 2.0}) == {"b": 2.0}
    path.write_text("{")
    assert Sent.read(path).step == 0


def test_only_finite_numbers_are_told():
    assert history.finite({"a": 1, "b": math.nan, "c": -math.inf}) == {"a": 1.0}


SWEEP = [*WORDS, "controls=true", "measurements=[reflections,effective_guidance]", "gamma2=0,1", "-m"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(sys, "argv", ["zz.run", f"store={folder}/store", *SWEEP, "logger=csv"])
        assert zz.run.main() == 0
    return folder / "store"


@pytest.fixture
def made(swept, store_path):
    """A sweep with its controls and curves, logged to CSV files while it was made."""
    shutil.copytree(swept, store_path)
    return SWEEP


def of_row(store_path, row):
    (folder,) = (store_path / "logs" / "csv").glob(f"* {row}")
    numbers = {line["name"]: float(line["value"]) for line in lines(folder / "numbers.csv")}
    return lines(folder / "history.csv"), numbers, json.loads((folder / "about.json").read_text())


def test_a_row_is_told_once_in_steps_that_go_up(made, cli, store_path):
    results = Results(Store(store_path), find(Store(store_path)))
    row = results.manifest.rows[0]
    told, numbers, about = of_row(store_path, row.id)
    steps = [int(line["step"]) for line in told]
    points = 3 + len(history.curves(results, row))
    assert steps == sorted(steps) and set(steps) == set(range(points)), "three slots, and the steps of sampling"
    assert [float(line["value"]) for line in told if line["name"] == "images"] == [2, 4, 6]
    value = results.mean(row, "log_odds")
    assert [numbers[f"score/log_odds{end}"] for end in ("", "/low", "/high")] == pytest.approx(list(value))
    assert numbers["cost/predictions"] == row.predictions and numbers["cost/images"] == 6
    wins = next(c for c in results.comparisons() if c.row.id == row.id and c.role == "standard").winning
    ends = ("", "/low", "/high", "/n")
    assert [numbers[f"winning/log_odds/standard{end}"] for end in ends] == pytest.approx([*wins.rate, wins.n])
    assert about["role"] == "asked" and about["group"] == "run"
    assert about["config"]["gamma2"] == 0 and about["config"]["config"]["steps"] == 4
    before = {path: path.read_bytes() for path in (store_path / "logs").rglob("*") if path.is_file()}
    assert cli(*made, "logger=csv")[0] == 0
    assert {path: path.read_bytes() for path in (store_path / "logs").rglob("*") if path.is_file()} == before


def test_curves_are_means_over_pictures_by_step(made, store_path):
    results = Results(Store(store_path), find(Store(store_path)))
    row = results.manifest.rows[0]
    found = {line["sampling_step"]: line for line in history.curves(results, row)}
    measured = [results.measured(row, "reflections", picture) for picture in results.pictures(row)]
    for leg, step in enumerate(measured[0]["step"]):
        mean = sum(float(one["tau1"][leg]) for one in measured) / len(measured)
        assert found[step]["trajectory/tau1"] == pytest.approx(mean)
    omega = [results.measured(row, "effective_guidance", picture) for picture in results.pictures(row)]
    kept = [one["projected"][0] for one in omega if one["kept"][0]]
    assert found[0]["trajectory/omega_e"] == pytest.approx(sum(kept) / len(kept))


def test_a_sweep_is_a_curve_over_its_field(made, store_path):
    results = Results(Store(store_path), find(Store(store_path)))
    (label, points), *others = history.sweeps(results)
    assert label == "gamma2" and not others
    rows = [row for row in results.manifest.rows if row.role == "asked"]
    assert [point["gamma2"] for point in points] == [0, 1]
    assert [p["log_odds"] for p in points] == pytest.approx([results.mean(r, "log_odds").value for r in rows])


def test_the_tables_of_a_manifest_are_told_too(made, store_path):
    (cells,) = (store_path / "logs" / "csv").glob("*/cells.csv")
    manifest = find(Store(store_path))
    assert [line["row"] for line in lines(cells)] == [row.title for row in manifest.rows]
    wins = lines(cells.with_name("winning.csv"))
    assert {line["against"] for line in wins} >= {"standard", "guidance_matched"}


def test_zz_log_tells_of_yesterdays_run_what_was_told_while_it_ran(made, cli, store_path, tmp_path):
    code, out, err = cli("logger=csv", f"logger.csv.path={tmp_path}/later", command=zz.log)
    assert (code, err) == (0, "")
    manifest = find(Store(store_path))
    assert f"csv: {len(manifest.rows)} of {len(manifest.rows)} rows had something new" in out
    for row in manifest.rows:
        for file in ("history.csv", "numbers.csv"):
            (early,) = store_path.glob(f"logs/csv/* {row.id}/{file}")
            (late,) = tmp_path.glob(f"later/* {row.id}/{file}")
            assert lines(late) == lines(early)
    assert (
        f"csv: 0 of {len(manifest.rows)}" in cli("logger=csv", f"logger.csv.path={tmp_path}/later", command=zz.log)[1]
    )


def test_the_first_task_tells_what_the_others_made(cli, store_path, monkeypatch):
    for task in (1, 0):
        monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
        monkeypatch.setenv("SLURM_PROCID", str(task))
        assert cli(*WORDS, "logger=csv")[0] == 0
        assert bool(list(store_path.glob("logs/csv/*"))) == (task == 0)
    row = find(Store(store_path)).rows[0]
    told, _, _ = of_row(store_path, row.id)
    assert [float(line["value"]) for line in told if line["name"] == "images"] == [2, 4, 6]


def test_two_runs_of_one_row_tell_it_once(cli, store_path):
    """The second one comes while the first one has the row open."""
    from zz.lab.lease import Leases
    from zz.lab.loggers.csv import CsvFiles
    from zz.lab.loggers.rows import Sender

    assert cli(*WORDS)[0] == 0
    store = Store(store_path)
    manifest = find(store)
    sender = Sender(CsvFiles(path=str(store_path / "logs")), store, manifest, {}, print)
    lease = sender._noted(manifest.rows[0]).with_suffix(".lease")
    other = Leases(60)
    assert other.take([lease])
    lease.write_text(json.dumps(["elsewhere", 0, 1]))
    sender.results(Results(store, manifest))
    assert not list((store_path / "logs").glob(f"* {manifest.rows[0].id}/*.csv"))
    lease.unlink()
    sender.results(Results(store, manifest))
    assert list((store_path / "logs").glob(f"* {manifest.rows[0].id}/*.csv"))
    sender.close()
    assert not lease.exists()


def test_no_more_rows_are_open_than_allowed(cli, store_path, monkeypatch):
    from zz.lab.loggers.csv import CsvFiles, _Files

    now, most = set(), []
    monkeypatch.setattr(CsvFiles, "sink", lambda self, about, say: Counted(self, about))

    class Counted(_Files):
        def __init__(self, logger, about):
            super().__init__(store_path / "logs" / about.id, about)
            now.add(about.id)
            most.append(len(now))

        def close(self, complete):
            now.discard(self.folder.name)

    words = [*WORDS, "gamma2=0,1,2", "lambda=1,2", "-m"]
    assert cli(*words, "logger=csv", "logger.csv.open=2")[0] == 0
    assert max(most) == 2 and not now


def test_a_slow_destination_holds_nothing_up(cli, store_path, monkeypatch):
    from zz.lab.loggers.csv import CsvFiles

    stuck = threading.Event()
    monkeypatch.setattr(CsvFiles, "sink", lambda self, about, say: stuck.wait(60))
    code, out, _ = cli(*WORDS, "logger=csv", "logger.csv.patience=0.2")
    stuck.set()
    assert code == 0 and "6/6" in out
    said = f"csv did not take everything within 0.2 s; `python -m zz.log store={store_path} logger=csv` sends the rest"
    assert out.replace("\n", " ").count(said) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["logger=csv", "logger.csv.path=/proc/x"], "logger.csv.path=/proc/x cannot be written"),
        (
            ["logger=tensorboard", "logger.tensorboard.path=/proc/x"],
            "logger.tensorboard.path=/proc/x cannot be written",
        ),
        (["logger=wandb", "logger.wandb.path=/proc/x"], "logger.wandb.path=/proc/x cannot be written"),
        (
            ["logger=wandb", "logger.wandb.project=a/b"],
            "logger.wandb.project=a/b: Weights & Biases takes names of 1 to",
        ),
        (["logger=wandb", f"logger.wandb.group={'g' * 129}"], "Weights & Biases takes names of 1 to 128 characters"),
        (["logger=wandb", "logger.wandb.tags=['']"], "logger.wandb.tags='': a tag has 1 to 64 characters"),
        (["logger=wandb", "logger.wandb.mode=on"], "logger.wandb.mode"),
        (["logger=wandb", "logger.wandb.open=0"], "logger.wandb.open=0"),
        (["logger=csv", "logger.csv.patience=-1"], "logger.csv.patience=-1"),
    ],
)
@pytest.mark.parametrize("command", [zz.run, zz.log])
def test_bad_input_is_said_before_anything_is_made(cli, store_path, words, says, command):
    if command is zz.log:
        assert cli(*WORDS, "scorers=[]", "limit=1", "steps=1", "sampler=standard")[0] == 0
        words = [word for word in words if not word.startswith("model")]
        code, _, err = cli(*words, command=zz.log)
    else:
        code, _, err = cli(*WORDS, *words)
        assert not list(store_path.glob("cells/*"))
    assert code == 2 and err.count("\n") == 1 and says in err


def test_zz_log_says_what_it_needs(cli, store_path):
    assert "holds no manifest" in cli("logger=csv", command=zz.log)[2]
    assert cli(*WORDS, "scorers=[]", "limit=1", "steps=1", "sampler=standard")[0] == 0
    for words, says in (
        ([], "logger= is needed: wandb, tensorboard or csv"),
        (["logger=jsonl"], "logger=jsonl hears of runs alone"),
        (["logger=csv", "name=other"], "no manifest 'other'"),
        (["logger=csw"], "csw"),
    ):
        code, _, err = cli(*words, command=zz.log)
        assert code == 2 and says in err
