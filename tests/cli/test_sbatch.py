"""zz.plan sbatch=true: what the script says, how it is sized, and what is refused; sinfo and scontrol are stand-ins."""

import re
import shlex
import subprocess
import sys

import pytest

import zz.plan
from zz.cli.sbatch import Slurm, Work, own_words, script
from zz.lab.runner import Runner
from zz.lab.slurm import Limits, limit, minutes

NONE = Limits({}, None, None)
CLUSTER = Limits({"gpu": 8 * 60, "long": None}, "gpu", 1001)
FAST = ["model=mixture", "steps=4", "lambda=null", "limit=4", "runner.batch_size=2"]


def fields(**given):
    names = ("tasks", "time", "mem", "cpus", "gres", "partition", "account", "qos", "constraint")
    return Slurm(**{**dict.fromkeys(names), "hours": 2, **given})


def header(text):
    """The #SBATCH options of a script."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", text, re.M))


def rendered(work, limits=CLUSTER, words=("steps=4",), runner=None, **given):
    return script(words, "zz", work, fields(**given), limits, runner or Runner())


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Stand-ins for sinfo and scontrol, which say what a cluster of two partitions would."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = {"sinfo": "gpu*|8:00:00\nlong|infinite", "scontrol": "MaxArraySize            = 1001"}
    for name, text in said.items():
        (folder / name).write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_output_is_one_script_and_the_plan_is_elsewhere(cli, tmp_path):
    code, out, err = cli(*FAST, "gamma2=0,1", "negative_prompt=a 'red' star", "sbatch=true", "-m", command=zz.plan)
    assert code == 0 and "2 cells asked for" in err and "estimate:" in err
    assert out.startswith("#!/usr/bin/env bash\n") and "asked for" not in out
    subprocess.run(["bash", "-n"], input=out, text=True, check=True)
    assert not (tmp_path / "store").exists() or not list((tmp_path / "store").glob("cells/*/images/*"))
    said = header(out)
    assert said["time"] == "00:20:00" and "array" not in said and said["output"] == "%x-%j.log"
    (line,) = re.findall(r"^set -- (.*)$", out, re.M)
    words = shlex.split(line)
    assert words[0] == "zz.run" and words[-1] == "$@" and words[-2] == "-m"
    assert "negative_prompt=a 'red' star" in words and "gamma2=0,1" in words
    assert not any(word.startswith("sbatch") for word in words)
    assert f"PYTHON:-{sys.executable}" in out and f"cd -- {tmp_path} " in out


def test_it_calls_the_command_with_just_these_words(tmp_path, monkeypatch):
    """With a stand-in for srun, which says what it is given."""
    monkeypatch.chdir(tmp_path)
    odd = ["negative_prompt=$HOME `ls` \"x\" 'y' \\z", "store=a b/ü", "gamma2=0,1", "-m"]
    (tmp_path / "srun").write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\n')
    (tmp_path / "srun").chmod(0o755)
    text = rendered(Work(1.0, 10, True, None), words=[*odd, "slurm.tasks=1", "tflops=9", "sbatch=true"], tasks=1)
    own = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "PYTHON": "py"}
    done = subprocess.run(["bash", "-s", "limit=1"], input=text, text=True, capture_output=True, env=own)
    assert done.stdout.splitlines() == ["--kill-on-bad-exit=0", "py", "-m", "zz.run", *odd, "limit=1"], done.stderr


@pytest.mark.parametrize(
    ("work", "given", "limits", "array", "time"),
    [
        (Work(16.0, 999, True, None), {}, NONE, "0-7", "03:15:00"),  # two hours each, half as much again, and loading
        (Work(16.0, 4, True, None), {}, NONE, "0-3", "06:15:00"),  # no more jobs than slots
        (Work(16.0, 999, True, None), {"tasks": 2}, NONE, "0-1", "12:15:00"),
        (Work(16.0, 999, True, None), {"tasks": 2}, CLUSTER, "0-1", "08:00:00"),  # the partition's limit
        (Work(16.0, 999, True, None), {"tasks": 2, "partition": "long"}, CLUSTER, "0-1", "12:15:00"),
        (Work(16.0, 999, True, None), {"gres": "gpu:a100:4"}, NONE, "0-1", "03:15:00"),
        (Work(9000.0, 99999, True, None), {}, CLUSTER, "0-1000", "08:00:00"),  # MaxArraySize
        (Work(0.0, 1, False, None), {}, NONE, None, "00:15:00"),
        (Work(16.0, 999, True, None), {"time": "1-12", "hours": 16}, NONE, None, "1-12:00:00"),
    ],
)
def test_its_size_is_the_estimates(work, given, limits, array, time):
    said = header(rendered(work, limits, **given))
    assert said.get("array") == array and said["time"] == time


def test_gpus_cpus_and_memory_are_those_of_its_workers():
    said = header(rendered(Work(4.0, 99, True, 10.0), tasks=1))
    assert (said["gpus-per-task"], said["cpus-per-task"], said["mem"]) == ("1", "2", "15G")
    said = header(rendered(Work(4.0, 99, True, 10.0), gres="gpu:2", tasks=1))
    assert "gpus-per-task" not in said and (said["gres"], said["cpus-per-task"], said["mem"]) == ("gpu:2", "4", "30G")
    said = header(rendered(Work(4.0, 99, False, 0.5), runner=Runner(devices=4, threads=2), tasks=1, mem="7G", cpus=3))
    assert (said["cpus-per-task"], said["mem"]) == ("3", "7G") and "gpus-per-task" not in said
    said = header(rendered(Work(4.0, 99, False, None), partition="gpu", account="a", qos="q", constraint="x&y"))
    assert (said["partition"], said["account"], said["qos"], said["constraint"]) == ("gpu", "a", "q", "x&y")
    assert "mem" not in said


@pytest.mark.parametrize(
    ("gres", "n"),
    [(None, 0), ("gpu", 1), ("gpu:4", 4), ("gpu:a100", 1), ("gpu:a100:4", 4), ("gres/gpu:2", 2), ("shard:8,gpu:2", 2)],
)
def test_gpus_of_a_gres(gres, n):
    assert fields(gres=gres).gpus() == n


def test_what_the_paper_takes_is_counted(cli):
    code, out, err = cli("experiment=table_12", "scale=paper", "sbatch=true", "slurm.tasks=2", command=zz.plan)
    assert code == 0 and "GPU hours by count" in err
    said = header(out)
    assert said["array"] == "0-1" and said["gpus-per-task"] == "1" and int(said["mem"][:-1]) > 10


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("slurm.partition=gpuu", "slurm.partition=gpuu: this cluster has no partition gpuu (did you mean gpu?); sinfo"),
        (
            "slurm.tasks=1002",
            "slurm.tasks=1002 is more than an array may have here (MaxArraySize=1001)",
        ),
        ("slurm.time=9:00:00", "slurm.time=9:00:00 is more than the partition allows (08:00:00); choose less, or null"),
        ("slurm.tasks=0", "slurm.tasks=0 must be a whole number of at least 1"),
        ("slurm.hours=0", "slurm.hours=0 must be above 0: hours of work for each job"),
        ("slurm.time=soon", "slurm.time=soon is no time limit: minutes, H:MM:SS or D-HH:MM:SS"),
        ("slurm.mem=lots", "slurm.mem=lots is no memory: a whole number of megabytes, or such as 32G"),
        ("slurm.account=a b", "slurm.account='a b' must be one word, as behind --account= of sbatch"),
        ("slurm=3", "slurm=3 cannot be set as a whole; set its fields: slurm.tasks=VALUE"),
        ("sbatch=maybe", "sbatch=maybe must be true or false"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(cli, stand_ins, word, said):
    code, out, err = cli(*FAST, "sbatch=true", word, command=zz.plan)
    assert (code, out) == (2, "") and said in err and len(err.splitlines()) == 1


def test_what_is_not_known_must_be_given():
    with pytest.raises(Exception, match=r"slurm\.tasks=null, slurm\.time=null.* give both"):
        rendered(Work(float("nan"), 9, True, None), tasks=3)
    assert header(rendered(Work(float("nan"), 9, True, None), tasks=3, time=30))["time"] == "00:30:00"


def test_limits_are_what_the_cluster_says(stand_ins):
    assert Limits.here() == CLUSTER
    assert (CLUSTER.longest(None), CLUSTER.longest("long"), CLUSTER.longest("long,gpu")) == (480, None, 480)
    assert CLUSTER.unknown("gpu,lomg") == "lomg" and NONE.unknown("gpu") is None


def test_without_a_cluster_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Limits.here() == NONE


@pytest.mark.parametrize(
    ("text", "n"),
    [("30", 30), ("1:30", 2), ("4:00:00", 240), ("1-12", 2160), ("2-0:30", 2910), ("infinite", None), ("", None)],
)
def test_times_are_slurms(text, n):
    assert minutes(text) == n


def test_a_time_limit_is_read_back():
    assert all(minutes(limit(n)) == n for n in (1, 59, 60, 1439, 1440, 4321))


def test_words_of_its_own_are_left_out():
    words = ["sbatch=true", "slurm.tasks=3", "+tflops=9", "limit=1", "sbatches=1", "slurm_x=2", "-m"]
    assert own_words(words) == ["limit=1", "sbatches=1", "slurm_x=2", "-m"]
