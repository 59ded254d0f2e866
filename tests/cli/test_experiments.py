"""Experiments, extensions and how configs are composed: one plan, words that win, packages that are named."""

import shutil
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

import zz.doctor
import zz.export
import zz.ls
import zz.plan
import zz.report
import zz.run
import zz.score
import zz.table
from zz.cli.compose import cells, composed
from zz.cli.conf import conf_dir
from zz.cli.experiment import split
from zz.lab.packed import opened
from zz.lab.results import Results
from zz.lab.store.manifest import find
from zz.lab.store.store import Store

EXPERIMENT = '''
"""A sweep in small."""

from zz.lab.experiment import Experiment, Layout

EXPERIMENT = Experiment(
    claim="more steps are better",
    common="model=mixture scorers=[log_odds]",
    cells=(
        "sampler=standard,zigzag steps=4",
        "sampler=standard steps=6 dataset.texts='[a red circle,a blue star]' dataset=inline",
    ),
    layout=Layout(scores=("log_odds",)),
)
'''
SAMPLER = '''
"""Standard sampling, twice as careful in name only."""

from dataclasses import dataclass
from typing import ClassVar

from zz.diffusion.samplers.standard import Standard


@dataclass(frozen=True)
class Careful(Standard):
    """Standard sampling under another name."""

    name: ClassVar[str] = "careful"
    is_control: ClassVar[bool] = False
'''


@pytest.fixture
def cli(monkeypatch, capfd, store_path, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "lib" / "mine"
    (package / "experiments").mkdir(parents=True)
    (package / "conf" / "sampler").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "experiments" / "__init__.py").touch()
    (package / "experiments" / "small.py").write_text(EXPERIMENT)
    (package / "careful.py").write_text(SAMPLER)
    (package / "conf" / "sampler" / "careful.yaml").write_text("_target_: mine.careful.Careful\ngamma1: ${gamma1}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))

    def run(*words, command=zz.run):
        where = [] if any(word.startswith("store=") for word in words) else [f"store={store_path}"]
        monkeypatch.setattr(sys, "argv", [command.__name__, *where, *words])
        capfd.readouterr()
        code = command.main()
        out, err = capfd.readouterr()
        return code, out, err

    return run


MINE = "extensions=[mine]"


def test_an_experiment_is_one_plan_and_typed_words_apply_to_all_of_it(cli):
    code, out, err = cli("experiment=small", MINE, "limit=2")
    assert code == 0, err
    assert "3 cells asked for; 6 images to make" in out and "log_odds" in out
    code, out, _ = cli("name=small", MINE, "format=csv", command=zz.table)
    assert code == 0 and len(out.strip().split("\n")) == 4 and out.startswith("cell,role")
    code, out, _ = cli("experiment=small", MINE, "limit=2", "gamma1=3", command=zz.plan)
    assert code == 0 and "6 images to make" in out


def test_typed_words_win_in_every_cell_and_a_typed_sweep_multiplies_them(cli, store_path):
    assert cli("experiment=small", MINE, "limit=1", "gamma1=3", "steps=5", "scorers=[]")[0] == 0
    ledgers = [one.cell.ledger for one in Store(store_path).cells()]
    assert [(found["sampler"]["gamma1"], found["steps"]) for found in ledgers] == [(3, 5)] * 2, "two lists, one cell"
    assert not any(one.scores for one in Store(store_path).cells())
    code, out, _ = cli("experiment=small", MINE, "limit=1", "gamma1=3,4", "steps=5", "-m", command=zz.plan)
    assert code == 0 and "6 cells asked for; 3 images to make, 3 there already" in out


@pytest.mark.slow
@pytest.mark.parametrize("command", [zz.plan, zz.score, zz.doctor], ids=lambda c: c.__name__)
def test_commands_beside_run_take_the_same_words(cli, command):
    assert cli("experiment=small", MINE, "limit=1", "gamma1=2,3", "-m", "scorers=[]")[0] == 0
    counted = {zz.plan: "6 cells asked for", zz.score: "6 cells asked for", zz.doctor: "mixture, precision 32"}
    code, out, err = cli("experiment=small", MINE, "limit=1", "gamma1=2,3", "-m", command=command)
    assert code == 0 and counted[command] in out, err
    plain = ["model=mixture", "sampler=standard,careful", "steps=4", "gamma1=2", "limit=1", MINE]
    code, out, err = cli(*plain, "-m", command=command)
    assert code == 0 and counted[command].replace("6 cells", "2 cells") in out, err
    code, _, err = cli(*plain, command=command)
    assert code == 2 and "sampler=standard,careful is a sweep: add -m" in err
    for words, said in {
        "gama1=2": "gama1 is not known (did you mean gamma1?)",
        "experiment=smal": "experiment=smal is not known (did you mean small?)",
        "extensions=[nowhere_at_all]": "extensions=nowhere_at_all cannot be imported",
        "sampler=carefull": "sampler=carefull is not known (did you mean careful?)",
    }.items():
        code, _, err = cli(MINE, words, command=command)
        assert code == 2 and err.startswith("error: ") and said in err and "Traceback" not in err


@pytest.mark.parametrize("group", ["scorers", "measurements", "logger"])
def test_a_yaml_without_its_name_is_said(cli, tmp_path, group):
    folder = tmp_path / "lib" / "mine" / "conf" / group
    folder.mkdir()
    (folder / "flat.yaml").write_text("_target_: mine.flat.Flat\nname: flat\n")
    code, _, err = cli(MINE, "model=mixture", f"{group}=[flat]", "limit=1", command=zz.plan)
    said = f"a YAML of conf/{group} has NAME: above its _target_, which is indented below it"
    assert code == 2 and err == f"error: {group}._target_ holds no _target_: {said}\n"


def test_a_package_that_is_not_named_is_hinted_at(cli):
    assert "; one of your own needs extensions=[PACKAGE]" in cli("sampler=careful", command=zz.plan)[2]
    assert "of your own" not in cli(MINE, "sampler=carefull", command=zz.plan)[2]


def test_a_name_that_a_command_does_not_know_is_looked_for_among_its_own(cli):
    known = "known are against, allow_partial, by, columns, dataset, extensions, format, name, out, rows, "
    known += "score, scores, show, store, where"
    assert cli("gamma1=2", command=zz.table)[2] == f"error: gamma1 is not known; {known}\n"
    assert cli("nam=run", command=zz.table)[2] == f"error: nam is not known (did you mean name?); {known}\n"
    assert cli("name=x", command=zz.ls)[2] == "error: name is not known; known are extensions, store\n"


def test_a_table_is_laid_out_as_its_experiment_says(cli):
    assert cli("experiment=small", MINE, "limit=1", "scorers=[log_odds,atypicality]")[0] == 0
    for words in ((), (MINE,)):
        code, out, _ = cli("name=small", *words, command=zz.table)
        assert code == 0 and "log_odds" in out and "atypicality" not in out
    out = cli("name=small", "scores=[atypicality]", command=zz.table)[1]
    assert "atypicality" in out and "log_odds" not in out


def test_an_experiment_that_is_not_there_and_words_that_make_rows_equal_are_refused(cli, store_path):
    code, _, err = cli("experiment=smal", MINE)
    assert code == 2 and "experiment=smal is not known (did you mean small?); known are" in err
    assert cli("experiment=small")[0] == 2, "its package is not named"
    code, _, err = cli("experiment=small", MINE, "sampler=standard")
    assert code == 2 and "sampler=standard makes rows of experiment=small equal that differ in just that" in err
    code, _, err = cli("experiment=small", MINE, "limit=1", "sampler=standard", "gamma1=3")
    assert (
        err == "error: sampler=standard makes rows of experiment=small equal that differ in just that; leave it out\n"
    )
    assert not store_path.exists()
    code, _, err = cli("experiment=small", MINE, "gama1=3")
    assert code == 2 and "gama1 is not known (did you mean gamma1?)" in err


def test_only_zz_and_the_packages_that_are_named_are_instantiated(cli):
    assert cli("model=mixture", "sampler=careful", "limit=1", "steps=2", MINE)[0] == 0
    code, _, err = cli("model=mixture", "sampler=careful", "limit=1", "steps=2")
    assert code == 2 and "sampler=careful is not known" in err
    code, _, err = cli("model=mixture", "sampler._target_=mine.careful.Careful", "limit=1")
    assert code == 2 and "only zz.* is instantiated; name its package in extensions=[...]" in err
    code, _, err = cli("extensions=[nowhere_at_all]")
    assert code == 2 and "extensions=nowhere_at_all cannot be imported" in err


def test_controls_by_role(cli):
    words = ("model=mixture", "limit=3", "steps=4")
    code, out, err = cli(*words, "controls=[standard,e_cfg]")
    assert code == 0, err
    assert "1 cell asked for, 2 controls beside it" in out and "e_cfg (10)" in out
    code, _, err = cli(*words, "controls=[placebo]")
    assert code == 2 and "controls=placebo must be true or false, or a list of standard, guidance_matched" in err


COMBINATIONS = [
    [],
    ["model=mixture"],
    ["gamma1=3", "lambda=null", "size=[24,40]"],
    ["model=mixture", "sampler=free_init", "sampler@sampler.inner=standard", "sampler.iterations=2"],
    ["guidance=interval", "guidance@guidance.inner=seg", "guidance.inner.scale=2.5"],
    ["negative_prompt='a star, red'", "store='some folder'"],
    ["dataset=inline", "dataset.texts=[a red circle,'a, b']", "runner.precision=bf16"],
    ["++dataset.where.tag=colors", "+weak.model.std=0.2", "weak.prompt=''"],
    ["gamma1=${model.gamma1}", "gamma2=${gamma1}", "weak.prompt='${negative_prompt}'", "limit=null"],
    ['negative_prompt="it\'s, red"', "weak.negative_prompt=''", "strong.prompt=null", r"store=a\ b"],
    ["schedule=explicit", "schedule.times=[999,749,499,249]", "steps=4", "dataset.indices=[0,7]", "size=24"],
    ["sampler=free_init", "sampler@sampler.inner=guidance_matched", "sampler.inner.lambda_=${steps}", "gamma2=1e-3"],
    ["sampler.gamma1=3", "sampler=standard", "runner={devices:cpu}", "~budget.rule"],
    ["gamma1=4", "++gamma1=3"],
    ["++gamma1=4", "gamma1=3"],
    ["+weak.model.std=0.2", "weak.prompt=null", "++weak.model={std:0.3}"],
    ["controls=[standard,e_cfg]", "experiment=gap", "extensions=[zz]", "steps=4", "steps=5"],
    ["model=sdxl", "schedule=karras", "schedule.rho=5", "scorers=[]", "logger=[jsonl]", "measurements=[residuals]"],
]


@pytest.mark.slow
@pytest.mark.parametrize("words", COMBINATIONS, ids=" ".join)
def test_cells_are_composed_as_hydra_does(words):
    (ours,) = composed([words])
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        theirs = compose("config", overrides=words)
    assert OmegaConf.to_container(ours, resolve=False) == OmegaConf.to_container(theirs, resolve=False)


def test_sweeps_become_cells_in_order():
    assert cells(["a=1,2", "b=x", "c=[1,2],[3]"]) == [
        ["a=1", "b=x", "c=[1,2]"],
        ["a=1", "b=x", "c=[3]"],
        ["a=2", "b=x", "c=[1,2]"],
        ["a=2", "b=x", "c=[3]"],
    ]
    assert split("a=1 b='x y' c=[1, 2] d=\"q\"") == ["a=1", "b='x y'", "c=[1, 2]", 'd="q"']


def test_what_hydra_refuses_is_refused_in_its_words():
    for words in (["gama1=3"], ["sampler.gamma9=1"], ["gamma1=3", "+gamma1=4"], ["~gamma9"], ["sampler=zigzga"]):
        with initialize_config_dir(conf_dir(), version_base="1.3"), pytest.raises(HydraException) as theirs:
            compose("config", overrides=words)
        with pytest.raises(type(theirs.value)) as ours:
            list(composed([words]))
        assert str(ours.value) == str(theirs.value)


PURPOSE = {
    zz.run: "make the pictures of a cell, score them, compare them",
    zz.plan: "What zz.run would do with the same words, and how long it would take",
    zz.score: "Add scores to pictures that exist",
    zz.ls: "The cells of a store, and how complete they are",
    zz.table: "What a store holds of a run or an experiment, as a table",
    zz.report: "One HTML page of a store: claims, tables, and pairs of pictures",
    zz.doctor: "What zz.run would still need with the same words",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", PURPOSE, ids=lambda c: c.__name__)
def test_every_command_has_a_help_of_its_own(cli, capfd, command):
    with pytest.raises(SystemExit) as stop:
        cli("--help", command=command)
    said = capfd.readouterr().out
    assert not stop.value.code and f"python -m {command.__name__}" in said
    assert PURPOSE[command] in said and sum(purpose in said for purpose in PURPOSE.values()) == 1
    others = {"zz.run", "zz.plan", "zz.score", "zz.ls", "zz.table", "zz.report", "zz.doctor"} - {
        command.__name__,
        "zz.ls",
    }
    if command is not zz.run:
        assert not any(f"python -m {other} " in said for other in others)


def test_hydra_leaves_configs_to_our_launchers_alone(cli):
    """Which compose them all at once, and say what is wrong with one."""
    from hydra_plugins.zz import Cells, Sweep  # which zz.run has put on the path

    sweeper = Cells(None)
    sweeper.launcher = Sweep()
    sweeper.validate_batch_is_legal([["steps=4"]])
    sweeper.launcher = None
    with pytest.raises(AttributeError):  # it looks for Hydra's loader
        sweeper.validate_batch_is_legal([["steps=4"]])
    code, _, err = cli("model=mixture", "steps=4,six", "-m")
    assert code == 2 and "steps=" in err and err.count("\n") == 1


@pytest.mark.ci
def test_an_experiment_may_be_made_part_by_part_in_stores_of_their_own(cli, store_path, tmp_path):
    """All of its cells are listed each time, and an archive takes up what each store has."""
    words, archive = ["experiment=small", MINE, "limit=2", "controls=[standard]"], tmp_path / "all.tar.xz"
    for part, cells_made in (("sampler=zigzag", 2), ("sampler=standard,steps=4", 1), ("steps=6", 1)):
        code, out, err = cli(*words, f"only=[{part}]")
        assert code == 0 and "1 cell asked for" in out, err
        assert len(list(store_path.glob("cells/*/images"))) == cells_made
        assert len(find(Store(store_path), "small").rows) == 3
        code, out, err = cli("name=small", f"out={archive}", "allow_partial=true", command=zz.export)
        assert code == 0, err
        shutil.rmtree(store_path)
    assert cli(*words)[0] == 0
    table = cli("name=small", MINE, command=zz.table)[1]
    assert "standard (4)" in table and cli("name=small", MINE, f"store={archive}", command=zz.table)[1] == table


def test_a_sheet_says_of_its_columns_only_what_tells_them_apart(cli, tmp_path, monkeypatch):
    sizes = EXPERIMENT.replace('"sampler=standard,zigzag steps=4"', '"sampler=standard,zigzag steps=4 size=16,24"')
    (tmp_path / "lib" / "mine" / "experiments" / "sizes.py").write_text(sizes)
    heads = []
    monkeypatch.setattr("zz.cli.finish.contact_sheet", lambda columns, *_, **__: heads.append([h for h, _ in columns]))
    for more in ([], ["only=[size=16]"]):
        assert cli("experiment=sizes", MINE, "limit=1", *more)[0] == 0
    assert all("size=" in head for head in heads[0][:4]), heads
    assert len(heads[1]) == 2 and not any("size=" in head for head in heads[1])


def test_a_part_of_another_precision_joins_the_rest(cli, store_path, tmp_path):
    """But not one that differs in more than that."""
    words = ["experiment=small", MINE, "model=shapes", "limit=2", "scorers=[cleanliness]"]
    archive = tmp_path / "all.tar.xz"

    def held(part, *more):
        shutil.rmtree(store_path, ignore_errors=True)
        code, _, err = cli(*words, "controls=[standard,guidance_matched]", f"only=[{part}]", *more)
        assert code == 0, err
        code, _, err = cli("name=small", f"out={archive}", "allow_partial=true", command=zz.export)
        assert code == 0, err
        return Results(one := opened(archive), find(one, "small"))

    for part, precision in (("sampler=zigzag", "32"), ("sampler=standard", "bf16"), ("sampler=zigzag", "32")):
        results = held(part, f"runner.precision={precision}")
    made = {row.title: results.store.cell(row.cell)[0].ledger["precision"] for row in results.manifest.rows}
    assert all(map(results.complete, results.manifest.rows)) and set(made.values()) == {"32", "bf16"}
    zigzag = next(row for row in results.manifest.rows if row.title.startswith("Zigzag"))
    assert [role for role, _ in results.manifest.controls_of(zigzag)] == ["standard", "guidance_matched"]
    results = held("sampler=zigzag", "gamma1=3")
    assert {row.title.partition(" ")[0] for row in results.manifest.rows if not results.there(row)} == {"Standard"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["experiment=small", "only=[sampler=zigzag,steps=6]"],
            "no cell of experiment=small has all of it at once; ",
        ),
        (["experiment=small", "only=[steps=5]"], "no cell of experiment=small has steps=5; their words are dataset"),
        (["experiment=small", "made=perhaps"], "made=perhaps must be true or false"),
        (["only=[steps=4]"], "only=['steps=4'] is of an experiment; say experiment=NAME, or leave it out"),
    ],
)
def test_parts_that_are_none(cli, store_path, words, said):
    code, _, err = cli(*words, "extensions=[mine]")
    assert code == 2 and said in err and err.count("\n") == 1 and not store_path.exists()
