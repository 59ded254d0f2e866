"""Workers in environments of their own: whatever one does, what was scored is kept, once, and the message names it."""

import json
import math
import os
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from tests.make import PROMPTS, many, run
from zz.data.base import Prompt
from zz.hub.published import Published
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity
from zz.lab.scoring.parity import parity
from zz.lab.scoring.scoring import score as score_all
from zz.lab.scoring.scoring import unscored
from zz.lab.store.store import Store
from zz.scorers.base import Incomplete
from zz.scorers.isolated import __main__ as command
from zz.scorers.isolated import environments
from zz.scorers.isolated.host import Host, Unanswered
from zz.scorers.isolated.official import Official, asking
from zz.scorers.mixture.log_odds import LogOdds

REPO = Path(__file__).resolve().parents[2]
TEXTS = ["a" * n for n in range(1, 21)]


def host(habit, folder, **more):
    """A host of the worker that misbehaves so. Its times are long beside the worker's beat of .05 s."""
    words = [sys.executable, str(REPO / "tests/metrics/worker.py"), habit, str(folder)]
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    return Host("fake", words, env, **({"silence": 5.0, "limit": 20.0, "start": 60.0} | more))


def asked(habit, folder, texts=TEXTS, **more):
    """Its answers to a batch, and the host."""
    mine = host(habit, folder, **more)
    images = [Image.new("RGB", (4, 4))] * len(texts)
    with mine.running():
        score = asking(mine, folder, 1.0)
        try:
            return score(images, [Prompt(text) for text in texts]), "", mine
        except Incomplete as error:
            return error.values, str(error), mine


@pytest.mark.parametrize("habit", ["good", "floods", "floods a line", "prints", "out of order"])
def test_a_worker_that_answers_is_started_once(habit, tmp_path):
    found, why, mine = asked(habit, tmp_path)
    assert found == [len(text) for text in TEXTS] and not why
    assert mine.starts == 1 and mine.versions == {"fake": "1"}


@pytest.mark.parametrize(("habit", "more"), [("crashes", {}), ("hangs", {"limit": 1.0}), ("freezes", {"silence": 1.0})])
def test_a_worker_that_ends_under_way_is_started_again(habit, more, tmp_path):
    found, why, mine = asked(habit, tmp_path, **more)
    assert found == [len(text) for text in TEXTS] and not why
    assert mine.starts == 2


def test_a_picture_that_always_kills_the_worker_is_given_up_alone(tmp_path):
    texts = [*TEXTS[:6], "poison", *TEXTS[6:]]
    found, why, mine = asked("poisoned", tmp_path, texts)
    assert [x for x in found if not math.isnan(x)] == [len(text) for text in TEXTS] and math.isnan(found[6])
    assert why.startswith("fake: 1 picture has no answer: the worker ended with exit code 9")
    assert mine.starts == 4


def test_an_error_is_of_one_picture(tmp_path):
    found, why, mine = asked("picky", tmp_path, [*TEXTS, "poison"])
    assert found[:-1] == [len(text) for text in TEXTS] and math.isnan(found[-1])
    assert why == "fake: 1 picture has no answer: RuntimeError: not this one" and mine.starts == 1


def test_a_worker_that_always_ends_is_given_up(tmp_path):
    found, why, mine = asked("crashes always", tmp_path)
    assert all(math.isnan(x) for x in found) and mine.starts == 4
    assert "20 pictures have no answer" in why and "exit code 9" in why
    with pytest.raises(Unanswered):  # it is not started again for the next batch
        mine.ask([{"picture": "x.png", "prompt": "a"}])
    assert mine.starts == 4


@pytest.mark.parametrize(
    ("habit", "said"),
    [("stillborn", "exit code 1 (no such checkpoint)"), ("babbles", "said what is no answer: 'Hello! I am no JSON'")],
)
def test_a_worker_that_never_starts_is_one_message(habit, said, tmp_path):
    with pytest.raises(ValueError) as error:
        asked(habit, tmp_path)
    assert str(error.value).startswith("fake cannot be started") and said in str(error.value)


def test_a_worker_that_is_not_there_is_one_message(tmp_path):
    with pytest.raises(ValueError, match=r"fake cannot be started.*No such file"), Host("fake", ["/no/such"]).running():
        pass


@pytest.mark.parametrize("habit", ["nan", "texts"])
def test_what_is_no_number_is_no_score(habit, tmp_path):
    found, _, _ = asked(habit, tmp_path, TEXTS[:3])
    assert all(math.isnan(x) for x in found)


def test_no_process_is_left_behind(tmp_path):
    asked("crashes", tmp_path)
    for pid in (tmp_path / "starts").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


# -- in the scoring pass


@dataclass(frozen=True)
class Fake(LogOdds):
    """A scorer by the worker that misbehaves."""

    habit: str = "good"
    folder: str = ""
    name: str = "fake"
    version: ClassVar[int] = 1

    def settings(self):
        return {"habit": self.habit}

    @contextmanager
    def open(self, device="cpu"):
        mine = host(self.habit, self.folder)
        with mine.running():
            yield asking(mine, Path(self.folder), 1.0)


def scored_pass(tmp_path, fake, during=None):
    """What a scoring pass makes of a row of 24 pictures, by a fake and an exact scorer."""
    store, job = Store(tmp_path / "store"), many()
    run(store, job)
    slots = unscored([job], {job.id: [fake, LogOdds()]}, store)
    if during:
        threading.Thread(target=during, daemon=True).start()
    done = score_all(slots, store, Runner(devices="cpu", threads=1), lambda slot: None, lambda text: None)
    exact = store.scores(job.cell, identity(LogOdds()))
    assert len(exact) == len(PROMPTS)
    found = store.scores(job.cell, identity(fake))
    return done, [found.get(name) for name in job.names()]


def test_a_pass_keeps_what_a_worker_said_before_its_end_and_names_it(tmp_path):
    done, found = scored_pass(tmp_path, Fake(habit="crashes always", folder=str(tmp_path)))
    assert found == [None] * 24 and "exit code 9" in done.crashed["fake"]


def kill_at(folder, moments):
    """Kill the worker that is there, each time that so many pictures were asked."""
    for asked in moments:
        while not (folder / "asked").exists() or len((folder / "asked").read_text().splitlines()) < asked:
            time.sleep(0.001)
        with suppress(ProcessLookupError):
            os.kill(int((folder / "starts").read_text().split()[-1]), signal.SIGKILL)


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(20))
def test_kills_lose_nothing_and_double_nothing(tmp_path, seed):
    """Two kills at seeded moments of a pass; not even of one picture are two kills taken for its fault."""
    moments = sorted(random.Random(seed).sample(range(1, 21), 2))
    fake = Fake(habit="slow", folder=str(tmp_path))
    done, found = scored_pass(tmp_path, fake, lambda: kill_at(tmp_path, moments))
    assert not done.crashed and found == [len(text) for text in PROMPTS]
    assert done.scores == 2 * 24  # two scorers; each number was put once
    starts, asked = ((tmp_path / name).read_text().splitlines() for name in ("starts", "asked"))
    assert 2 <= len(starts) <= 3 and len(asked) <= 24 + 2  # but for what was under way, nothing is asked again


# -- environments


def test_an_environment_that_is_not_there_is_named_with_its_command(tmp_path):
    file = Published("https://example.org/x.pt")
    scorer = Official("hpsv2", (file,), folder=str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"make it by: python -m zz\.scorers\.isolated hpsv2 .*none"), scorer.open():
        pass
    (tmp_path / environments.FULL).write_text("00000000")
    with pytest.raises(ValueError, match="made from other requirements"):
        environments.command("hpsv2", str(tmp_path))
    (tmp_path / environments.FULL).write_text(environments.digest("hpsv2"))
    assert environments.command("hpsv2", str(tmp_path))[-1].endswith("workers/score_hpsv2.py")


def test_every_environment_has_a_worker_and_pins_everything():
    assert set(environments.NAMES) == set(environments.SCRIPTS)
    for name in environments.NAMES:
        assert (environments.HERE / "workers" / environments.SCRIPTS[name]).is_file()
        lines = [line for line in environments.requirements(name).splitlines() if not line.startswith("#")]
        assert lines and all(line.count("==") == 1 for line in lines)
        assert environments.requirements(name).count("\n# then\n") == 1


def test_the_worker_sees_one_gpu_and_no_packages_of_ours():
    given = {"PYTHONPATH": "/x", "CUDA_VISIBLE_DEVICES": "3,5", "HOME": "/h"}
    assert environments.variables("cuda:1", given)["CUDA_VISIBLE_DEVICES"] == "5"
    assert environments.variables("cuda", {})["CUDA_VISIBLE_DEVICES"] == "0"
    assert environments.variables("cpu", given)["CUDA_VISIBLE_DEVICES"] == ""
    assert "PYTHONPATH" not in environments.variables("cpu", given) and given["PYTHONPATH"]


@pytest.mark.slow
def test_the_command_makes_an_environment(tmp_path, monkeypatch, capsys):
    """With an empty requirement file: a venv, both stages, and the mark; again is again."""
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "empty.txt").write_text("# nothing\n# then\n# nothing\n")
    monkeypatch.setattr(environments, "HERE", tmp_path)
    monkeypatch.setattr(environments, "NAMES", ("empty",))
    monkeypatch.setattr(sys, "argv", ["isolated", "empty", str(tmp_path / "made")])
    assert command.main() == 0 and "is ready in" in capsys.readouterr().out
    assert (tmp_path / "made" / "bin" / "python").exists() and (tmp_path / "made" / environments.FULL).is_file()
    (tmp_path / "envs" / "empty.txt").write_text("no_such_package_anywhere @ file:///no/such/file.whl\n# then\n")
    assert command.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("empty: stage 1 of 2 cannot be installed: ERROR") and said.count("\n") == 1
    monkeypatch.setattr(sys, "argv", ["isolated", "unknown"])
    assert command.main() == 2 and "known are empty" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["isolated"])
    assert command.main() == 0 and "NAME: empty" in capsys.readouterr().out


def test_protocol_is_written_for_old_pythons():
    import ast

    for path in [environments.HERE / "protocol.py", *(environments.HERE / "workers").glob("*.py")]:
        ast.parse(path.read_text(), feature_version=(3, 8))


# -- side by side


def test_parity_is_of_the_pictures_that_both_have():
    found = parity({"a": 1.0, "b": 2.0, "c": 9.0}, {"a": 1.5, "b": 1.75, "d": 0.0, "e": 0.0})
    assert found == (2, 0.5, "a", 0.375, -0.125, 1, 2)
    assert parity({"a": 1.0}, {"a": 1.0})[:4] == (1, 0.0, "a", 0.0)
    empty = parity({"a": 1.0}, {"b": 1.0})
    assert empty.pictures == 0 and empty.at is None and math.isnan(empty.largest) and math.isnan(empty.mean)
    with pytest.raises(ValueError, match="score of b is nan"):
        parity({"a": 1.0}, {"b": math.nan})


def test_the_identity_holds_the_environment_and_not_its_place():
    file = Published("https://example.org/x.pt")
    one, other = Official("hpsv2", (file,)), Official("hpsv2", (file,), folder="/elsewhere", limit=9.0)
    assert one.settings() == other.settings() and json.dumps(one.settings())
    assert one.settings() != Official("image_reward", (file,)).settings()
    with pytest.raises(ValueError, match=r"package='mmdet' is not known"):
        Official("mmdet", (file,))
