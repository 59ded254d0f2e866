"""The command as a person types it: the user's own line, sweeps, resume, tables, and messages that help."""

import json
import re
import shutil
import sys

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

import zz.ls
import zz.plan
import zz.run
import zz.score
import zz.table
from zz.cli.config import resolved
from zz.cli.terminal.console import number
from zz.lab.stats import Interval
from zz.lab.store.store import Store

FAST = ["steps=4", "limit=3", "lambda=null"]


@pytest.fixture
def cli(monkeypatch, capfd, store_path, tmp_path):
    """Run a command in this process; return its exit code, its output and its errors."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*args, command=zz.run, model="mixture"):
        neutral = command in (zz.ls, zz.table) or any(word.startswith("model=") for word in args)
        chosen = [] if neutral else [f"model={model}"]
        monkeypatch.setattr(sys, "argv", [command.__name__, f"store={store_path}", *chosen, *args])
        capfd.readouterr()
        code = command.main()
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def something_made(tmp_path_factory):
    """A store that a good run has left."""
    store = tmp_path_factory.mktemp("made") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["zz.run", f"store={store}", "model=mixture", *FAST])
        assert zz.run.main() == 0
    return store


def names(store, cell):
    return sorted(store.names(cell))


def test_the_users_own_line(cli, store_path):
    """On the model that comes with zz."""
    code, out, _ = cli(
        "sampler=zigzag", "gamma2=0", "lambda=49", "-m", "limit=2", "runner.batch_size=2", model="shapes"
    )
    assert code == 0
    assert "1 cell asked for; 2 images to make" in out
    assert "296 guided predictions, 494 network evaluations" in out  # 2 * (50 + 98), 2 * (2 * 99 + 49)
    (row,) = Store(store_path).cells()
    assert row.cell.ledger["sampler"]["lambda_"] == 49 and row.images == 2
    (record,) = (Store(store_path).folder(row.cell) / "runs").glob("*.json")
    said = json.loads(record.read_text())
    assert said["source"]["pretrained"].endswith("shapes") and said["source"]["commit"] is None  # no hub's commit
    assert (said["predictions_per_image"], said["evals_per_image"]) == (148, 247)


@pytest.mark.slow
def test_nine_cells_are_seven_and_the_second_time_none(cli, store_path):
    line = ("model=mixture", "gamma2=0,1,2", "lambda=0,10,49", "sampler=zigzag", "-m", "limit=1")
    code, out, _ = cli(*line)
    assert code == 0
    assert "9 cells asked for, 7 distinct" in out and "7 images to make, 0 there already" in out
    assert len(list(Store(store_path).cells())) == 7
    before = {p: p.stat().st_mtime_ns for p in store_path.rglob("*.png") if "cells" in p.parts}
    code, out, _ = cli(*line)
    assert code == 0 and "0 images to make, 7 there already" in out
    assert {p: p.stat().st_mtime_ns for p in store_path.rglob("*.png") if "cells" in p.parts} == before


def test_controls_bring_winning_rates_and_a_sheet(cli):
    code, out, _ = cli("steps=6", "limit=4", "controls=true")
    assert code == 0
    assert "paired with the controls" in out and "lambda=5 T=6: in log_odds it is " in out
    assert "1 cell asked for, 4 controls beside it; 20 images to make" in out
    for control in ("standard", "guidance_matched", "compute_matched_predictions", "compute_matched_evals"):
        lines = [row for row in out.splitlines() if row.strip().startswith(f"{control} (") and "/" in row]
        assert len(lines) == 2 and "log_odds" in lines[0] and "atypicality" in lines[1]
        for line in lines:
            win, tie, loss = map(int, re.search(r"(\d+)/(\d+)/(\d+)", line).groups())
            assert win + tie + loss == 4
    path = re.search(r"contact sheet: (\S+)", out)[1]
    with Image.open(path) as sheet:
        assert sheet.width > 400 and sheet.height > 500


def test_baselines_in_the_store_are_compared_with_unasked(cli):
    cli("sampler=standard", *FAST)
    code, out, _ = cli(*FAST)
    assert code == 0 and "standard (4)" in out and "guidance_matched" not in out


@pytest.mark.ci
def test_a_control_of_an_earlier_run_is_shown_only_where_it_is_whole(cli):
    """Fewer prompts, or other scores: nothing is said of it, and the table stands without it."""
    assert cli(*FAST, "controls=true")[0] == 0
    code, out, _ = cli("steps=4", "limit=5", "lambda=null")
    assert code == 0 and "standard" not in out and "indistinguishable" not in out
    code, out, err = cli(command=zz.table)
    assert code == 0 and "5/5" in out and "standard" not in out, err
    assert "standard" not in cli(*FAST, "scorers=[cleanliness]")[1]
    assert "standard (4)" in cli(*FAST)[1]


def test_one_prompt_in_common_is_no_verdict(cli):
    code, out, _ = cli("steps=4", "limit=1", "controls=[standard]")
    assert code == 0 and "standard (4)" in out and "indistinguishable" not in out and "it is" not in out


def test_a_broken_picture_is_made_again_and_said(cli, store_path):
    cli(*FAST)
    store = Store(store_path)
    (row,) = store.cells()
    path = store.image_path(row.cell, names(store, row.cell)[1])
    whole = path.read_bytes()
    path.write_bytes(whole[:30])
    assert "0 images to make" in cli(*FAST)[1], "it was looked at once, and its name is enough"
    code, out, _ = cli(*FAST, "runner.verify=true")
    assert code == 0 and f"not a whole picture, made again: {path}" in out and "1 images to make" in out
    assert path.read_bytes() == whole


def test_a_picture_that_goes_bad_after_its_ends_is_reported(cli, store_path):
    cli(*FAST, "scorers=[]")
    store = Store(store_path)
    (row,) = store.cells()
    path = store.image_path(row.cell, names(store, row.cell)[1])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    code, out, _ = cli(*FAST)
    assert code == 1 and f"{path} cannot be read as a picture" in out and "remove it and run again" in out
    path.unlink()
    assert cli(*FAST)[0] == 0


BAD = {
    "measurements=[residuals]": "residuals are of sampler=fixed_point",
    "sampler=fixed_point sampler.iterations=0 measurements=[residuals]": "residuals are of sampler=fixed_point",
    "model=shapes dataset=inline dataset.texts=[a_poem]": "shapes_correct cannot judge it: prompt 'a_poem' is not in",
    "sampler=zigzga": "sampler=zigzga is not known (did you mean zigzag?)",
    "model=sdxl9": "model=sdxl9 is not known (did you mean sdxl?); known are animatediff, dreamshaper, ",
    "scorers.log_odds.std=abc": "scorers.log_odds.std='abc' must be a finite number",
    "scorers=[cleanliness] scorers.cleanliness.tolerance=0": "scorers.cleanliness.tolerance=0 must be at least 1e-06",
    "scorers=[log_od]": "scorers=log_od is not known (did you mean log_odds?)",
    "gama2=1": "gama2 is not known (did you mean gamma2?)",
    "model.stdd=1": "model.stdd is not known (did you mean model.std?): model has no such field",
    "gamma1=strong": "gamma1='strong' must be a finite number",
    "gamma2=nan": "gamma2=nan must be a finite number",
    "lambda=51": "lambda=51 is too many: at steps=50 and k=1 inversion=exact allows 0..50",
    "lambda=-1": "lambda=-1 must be a whole number",
    "lambda=2.5": "lambda=2.5 must be a whole number",
    "k=51": "k=51 nodes back do not fit into steps=50",
    "k=-1": "k=-1 must be a whole number",
    "rounds=-1": "rounds=-1 must be a whole number",
    "inversion=approximate": "inversion='approximate' is not known; known are exact, ref_0_22",
    "network_time=x": "network_time='x' is not known; known are t, s",
    "v_at=x": "v_at='x' is not known; known are t, s",
    "steps=0": "steps=0 must be a whole number of at least 1",
    "steps=1001": "steps=1001 cannot be placed on 1000 training timesteps; choose 1..1000",
    "steps=1000": "asks for timestep 1000, but the network's last is 999; choose fewer steps, or schedule=trailing",
    "steps=many": "steps='many' must be a whole number",
    "size=null": "must be a whole number of pixels",
    "size=32.5": "size=32.5 must be a whole number of pixels",
    "k=null": "k=None must be a whole number",
    "negative_prompt=5": "negative_prompt=5 must be a text; quote it: 'negative_prompt=\"5\"'",
    "negative_prompt=[red]": "negative_prompt=['red'] must be a text; quote it: negative_prompt=red",
    "model.batch_size=0 limit=5": "model.batch_size=0 must be a whole number of at least 1",
    "model.std=abc": "model.std='abc' must be a finite number",
    "model.levels.N=1": "model.levels.N=1 must be a whole number of at least 2",
    "logger=[jsonl] logger.jsonl.path=/nowhere/x": "logger.jsonl.path=/nowhere/x cannot be written",
    "schedule=leading schedule.offset=abc": "schedule.offset='abc' must be a whole number",
    "schedule=log_uniform schedule.r_max=-1": "schedule.r_max=-1 must be at least 0.03",
    "dataset.repeats=abc": "dataset.repeats='abc' must be a whole number",
    "seed=9223372036854775807": "seed + prompt number must stay below 2^63",
    "store=null": "store=None must be a folder",
    "store=": "store= must be a folder",
    "controls=maybe": "controls=maybe must be true or false",
    "zigzag": "'zigzag' is not understood (missing EQUAL at '<EOF>'); write key=value",
    "model=sd model.pretrained=/nowhere ~dataset": "model=sd names no dataset of its own; choose one with dataset=",
    "model=sd": "model.pretrained is not set; set it with model.pretrained=",
    "model=sd dataset=inline dataset.texts=[a]": "model.pretrained is not set; set it with model.pretrained=",
    "model=sd model.pretrained=/nowhere dataset=inline dataset.texts=[a]": "model.pretrained=/nowhere",
    "size=0": "size=0 must be a whole number of pixels",
    "size=[32]": "must be a whole number of pixels, or [height,width]",
    "size=8": "size=8x8: the exact model draws 16 to 256 pixels a side",
    "limit=0": "limit=0 must be a whole number of at least 1",
    "seed=-1": "seed=-1 must be a whole number of at least 0",
    "seed=one": "seed='one' must be a whole number",
    "negative_prompt=ugly": "the exact model does not know ugly",
    "dataset=text": "dataset=text needs a file",
    "dataset=inline": "dataset=inline needs prompts",
    "schedule=explicit": "schedule.times is not set; set it with schedule.times=",
    "solver.eta=2 solver=euler_ancestral": "solver.eta=2 lies outside 0..1",
    "guidance.rescale=2": "guidance.rescale=2 lies outside 0..1",
    "guidance.rescale=0.5 sampler=guidance_matched": "needs a guidance that is affine in gamma",
    "runner.devices=0": "runner.devices=0 is not known; known are auto, cpu, a whole number of at least 1",
    "runner.batch_size=huge": "runner.batch_size='huge' is not known",
    "runner.precision=64": "runner.precision=64 is not known; known are 32, 16, bf16",
    "runner.precision=16": "the exact model is exact in 32 only",
    "model._target_=os.system": "_target_=os.system: only zz.* is instantiated",
    "store=/dev/null/here": "choose another with store=PATH",
    "gamma2=[": "'gamma2=[' is not understood",
    "dataset=text dataset.path=/nowhere.txt": "dataset.path=/nowhere.txt cannot be read",
    "runner.threads=1,2 -m": "runner.threads holds for a whole sweep and cannot be swept over",
    "lambda=1,60 -m": "lambda=60 is too many",
    "guidance=cfg,seg": "guidance=cfg,seg is a sweep: add -m",
    "+sampler.foo=1": "zz.diffusion.samplers.zigzag.Zigzag has no field foo",
    "sampler._target_=zz.Zigzig": "_target_=zz.Zigzig is not there",
}


@pytest.mark.slow
@pytest.mark.parametrize("line", BAD)
def test_bad_input_gets_one_message_and_makes_nothing(cli, store_path, line, something_made):
    shutil.copytree(something_made, store_path)
    before = {p: p.read_bytes() for p in store_path.rglob("*") if p.is_file()}
    code, out, err = cli(*line.split(" "))
    assert code == 2
    assert err.startswith("error: ") and BAD[line] in err
    assert len(err.strip().splitlines()) <= 2 and "Traceback" not in err + out
    assert {p: p.read_bytes() for p in store_path.rglob("*") if p.is_file()} == before


def test_a_broken_file_is_named(cli, tmp_path):
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler" / "mine.yaml").write_text("a: [1\nb: 2\n")
    code, out, err = cli(f"hydra.searchpath=[file://{tmp_path}]", "sampler=mine")
    assert code == 2 and "Traceback" not in err + out
    assert err.startswith("error: a configuration file is not YAML") and "mine.yaml" in err


def test_names_are_resolved_as_omegaconf_does():
    """Those that are looked up without it, and those that it is left to resolve."""
    given = {
        "a": 1.5,
        "b": "${a}",
        "c": "${d}",
        "d": "${a}",
        "m": {"x": [1, "${a}", "${m.y}"], "y": "z", "w": "${m.x}"},
    }
    given |= {"e": "p${a}", "n": None, "o": "${n}", "t": True, "u": "${t}", "v": r"\${a}", "size": "${m.x}"}
    config = OmegaConf.create(given)
    assert resolved(config) == OmegaConf.to_container(config, resolve=True)
    for wrong in ({"a": "${b}"}, {"a": "${a}"}, {"a": "${m.x.y}", "m": {"x": 1}}):
        config = OmegaConf.create(wrong)
        with pytest.raises(OmegaConfBaseException) as theirs:
            OmegaConf.to_container(config, resolve=True)
        with pytest.raises(type(theirs.value)) as ours:
            resolved(config)
        assert str(ours.value) == str(theirs.value)


def test_help_and_cfg_answer(cli, capfd):
    with pytest.raises(SystemExit) as stop:
        cli("--help")
    assert not stop.value.code
    assert "python -m zz.run limit=16 controls=true" in capfd.readouterr().out
    code, out, _ = cli("--cfg", "job")
    assert code == 0 and "gamma2: 0" in out


def test_ls_lists_cells_and_how_complete_they_are(cli):
    assert "no cells in" in cli(command=zz.ls)[1]
    cli(*FAST)
    code, out, _ = cli(command=zz.ls)
    assert code == 0 and "3/56" in out and "5 %" in out and "log_odds 3" in out and "Zigzag" in out
    code, _, err = cli("stor=x", command=zz.ls)
    assert code == 2 and "stor is not known" in err


@pytest.mark.ci
def test_every_sampler_and_solver_runs(cli):
    code, out, _ = cli(
        "sampler=standard,zigzag,end_to_end,resampling,guidance_matched",
        "solver=ddim,euler_ancestral,dpmpp_2m,noisy_inversion",
        "-m",
        "steps=4",
        "limit=1",
    )
    assert code == 0
    # noisy_inversion is ddim where nothing is inverted: standard, resampling and guidance_matched
    assert "20 cells asked for, 17 distinct" in out


def test_a_size_may_be_a_pair(cli, store_path):
    assert cli(*FAST, "size=[24,40]")[0] == 0
    store = Store(store_path)
    (row,) = store.cells()
    assert store.image(row.cell, names(store, row.cell)[0]).size == (40, 24)


def test_events_are_told(cli, tmp_path):
    assert cli(*FAST, "logger=[jsonl]", "logger.jsonl.path=events.jsonl")[0] == 0
    events = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [re.search(r'"event": "(\w+)"', line)[1] for line in events] == [
        "start",
        "config",
        "slot",
        "scored",
        "scored",
        "result",
        "sheet",
        "end",
    ]


def test_plan_tells_and_runs_nothing(cli, store_path):
    line = ("gamma2=0,1,2", "lambda=0,10,49", "-m")
    code, out, _ = cli(*line, command=zz.plan)
    assert code == 0 and "9 cells asked for, 7 distinct" in out
    assert "5,600 guided predictions saved by making equal cells once" in out  # 2 * 56 * 50
    assert re.search(r"estimate: \d+ (s|min) on 1 worker", out)
    assert not store_path.exists()
    assert cli("lambda=60", command=zz.plan)[0] == 2


def test_score_adds_numbers_and_no_pictures(cli, store_path):
    cli(*FAST, "scorers=[]")
    before = {p: p.read_bytes() for p in store_path.rglob("*.png") if "cells" in p.parts}
    code, out, _ = cli("steps=4", "limit=5", "scorers=[log_odds]", command=zz.score)
    assert code == 0 and "2 images not made yet, and left so, 3 there already" in out
    (row,) = Store(store_path).cells()
    assert list(row.scores.values()) == [3]
    assert {p: p.read_bytes() for p in store_path.rglob("*.png") if "cells" in p.parts} == before


def test_no_table_stands_on_a_part_unless_asked(cli, store_path):
    cli(*FAST)
    store = Store(store_path)
    (row,) = store.cells()
    store.image_path(row.cell, names(store, row.cell)[1]).unlink()
    code, out, _ = cli(*FAST, command=zz.score)
    assert code == 0 and "2 of 3 images: not printed unless allow_partial=true" in out and "mean and 95 %" not in out
    code, out, _ = cli(*FAST, "allow_partial=true", command=zz.score)
    assert code == 0 and "2 of 3 images" in out and "mean and 95 %" in out
    cli(*FAST[:1], "limit=2", "sampler=standard")
    assert "standard (4)" not in cli(*FAST)[1], "a control that lacks prompts is none"
    assert "standard (4)" in cli(*FAST, "allow_partial=true")[1]


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(4220.2, 3625.4, 4814.9), "4220 [3625, 4815]"),
        (Interval(0.12345, 0.12, 0.127), "0.1235 [0.1200, 0.1270]"),
        (Interval(2.0, 2.0, 2.0), "2.00 [2.00, 2.00]"),
        (Interval(float("nan"), 0, 0), "-"),
        (Interval(1.5, float("-inf"), float("inf")), "1.50"),
    ],
)
def test_numbers_have_the_digits_that_their_intervals_deserve(interval, text):
    assert number(interval) == text


def test_a_budget_becomes_steps_and_lambda(cli, store_path):
    """The cell knows the resolved numbers only: it is the one that they make when written out."""
    code, out, err = cli("budget.nfe=8", "budget.rule=paper", "sampler=standard,zigzag", "limit=3", "-m", "scorers=[]")
    assert code == 0, err
    ledgers = [row.cell.ledger for row in Store(store_path).cells()]
    assert sorted((c["steps"], c["sampler"].get("lambda_")) for c in ledgers) == [(4, 2), (8, None)]
    code, out, err = cli("sampler=zigzag", "steps=4", "lambda=2", "limit=3", "scorers=[]")
    assert code == 0 and "0 images to make, 3 there already" in out
    code, out, err = cli("sampler=end_to_end", "budget.nfe=2")
    assert code == 2 and "budget.nfe=2 does not pay" in err and "Traceback" not in err


def test_a_weaker_network_by_prompt_and_by_weights(cli, store_path):
    line = ("sampler=reflection", "gamma2=1", "steps=3", "limit=2", "scorers=[]")
    for words in ((), ("weak.prompt=a circle",), ("+weak.model.std=0.2",)):
        code, out, err = cli(*line, *words)
        assert code == 0, err
        assert "2 images to make" in out
    models = [row.cell.ledger["model"] for row in Store(store_path).cells()]
    assert sorted(m["is"] for m in models) == ["Mixture", "PerLeg", "PerLeg"]
    weak = [m["weak"] for m in models if m["is"] == "PerLeg"]
    assert [w["prompt"] for w in weak if "prompt" in w] == ["a circle"]
    assert [w["model"]["std"] for w in weak if "model" in w] == [0.2]
    code, out, err = cli(*line, "+weak.model.colour=red")
    assert code == 2 and "colour" in err and "Traceback" not in err
