"""The scoring pass: the same numbers for any number of workers, and no metric takes another with it."""

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from tests.make import files, many, run, scored
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity
from zz.lab.scoring.scoring import score, unscored
from zz.lab.store.store import Store
from zz.scorers.base import Features, Limited
from zz.scorers.diversity import Diversity
from zz.scorers.mixture.atypicality import Atypicality
from zz.scorers.mixture.log_odds import LogOdds


@dataclass(frozen=True)
class Colours(Features):
    """A picture's mean colour."""

    name: str = "colours"
    version: ClassVar[int] = 1

    def settings(self):
        return {}

    @contextmanager
    def open(self, device="cpu"):
        yield lambda images: np.array([np.asarray(image, float).mean((0, 1)) / 255 for image in images])


METRICS = (LogOdds(), Diversity(Colours()), Atypicality())


@dataclass(frozen=True)
class Sick(LogOdds):
    """Breaks down at one prompt."""

    name: str = "sick"
    prompt: str = "a blue star"

    @contextmanager
    def open(self, device="cpu"):
        def score(images, prompts):
            if any(prompt.text == self.prompt for prompt in prompts):
                self.end()
            return [0.0] * len(images)

        yield score

    def end(self):
        raise RuntimeError("a kernel failed\nat line 1")


@dataclass(frozen=True)
class Deadly(Sick):
    """Takes its process down there, as a fault in a kernel does."""

    name: str = "deadly"

    def end(self):
        os._exit(3)


@dataclass(frozen=True)
class Stillborn(Deadly):
    """Takes its process down when it is opened."""

    name: str = "stillborn"

    @contextmanager
    def open(self, device="cpu"):
        os._exit(4)
        yield


@dataclass(frozen=True)
class Holey(Sick):
    """Gives no number there."""

    name: str = "holey"

    @contextmanager
    def open(self, device="cpu"):
        yield lambda images, prompts: [math.nan if prompt.text == self.prompt else 0.0 for prompt in prompts]


@dataclass(frozen=True)
class Short(Sick):
    """Gives one number too few."""

    name: str = "short"

    @contextmanager
    def open(self, device="cpu"):
        yield lambda images, prompts: [0.0] * (len(images) - 1)


@dataclass(frozen=True)
class ShortColours(Colours):
    """Gives one vector too few."""

    name: str = "short_colours"

    @contextmanager
    def open(self, device="cpu"):
        yield lambda images: np.ones((len(images) - 1, 3))


@dataclass(frozen=True)
class HoleyColours(Colours):
    """Nothing of the first picture of four."""

    name: str = "holey_colours"

    @contextmanager
    def open(self, device="cpu"):
        def extract(images):
            found = np.ones((len(images), 3))
            found[0, 1] = np.inf
            return found

        yield extract


@pytest.fixture
def store(store_path, monkeypatch):
    """24 pictures, six slots a metric."""
    monkeypatch.setattr("zz.lab.scoring.scoring.BATCH", 4)
    store = Store(store_path)
    run(store, many())
    return store


def numbers(store, *metrics):
    """Every number and vector, by metric."""
    cell = many().cell
    found = {}
    for metric in metrics:
        if isinstance(metric, Diversity):
            rows = store.features(cell, identity(metric.features))
            found[metric.name] = {name: row.tobytes() for name, row in rows.items()}
        else:
            found[metric.name] = store.scores(cell, identity(metric))
    return found


@pytest.mark.ci
@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_score_as_one_does(store, tmp_path, workers):
    alone = Store(tmp_path / "alone")
    run(alone, many())
    assert scored(alone, many(), scorers=METRICS) == (3 * 24, (), {})
    heard = []
    assert scored(store, many(), scorers=METRICS, devices=workers, tell=heard.append) == (3 * 24, (), {})
    assert sum(done.scored for done in heard) == 3 * 24 and len(heard) == 3 * 6
    assert {done.metric for done in heard} == {"log_odds", "colours", "atypicality"}
    found = numbers(store, *METRICS)
    assert found == numbers(alone, *METRICS)
    assert all(values.keys() == set(many().names()) for values in found.values())
    assert unscored([many()], {many().id: METRICS}, store) == []


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.ci)])
def test_a_scorer_that_raises_takes_no_other_with_it(store, workers):
    before, said = files(store, many().cell), []
    scorers = (Sick(), *METRICS)
    made, unreadable, crashed = scored(store, many(), scorers=scorers, devices=workers, say=said.append)
    assert crashed == {"sick": "RuntimeError: a kernel failed"} and unreadable == () and said == []
    found = numbers(store, *scorers)
    assert 3 * 24 <= made == sum(map(len, found.values())) < 4 * 24
    assert all(len(found[metric.name]) == 24 for metric in METRICS)
    assert files(store, many().cell) == before
    assert scored(store, many(), scorers=(Sick(prompt="nothing"), *METRICS)).crashed == {}


@pytest.mark.slow
@pytest.mark.parametrize("deadly", [pytest.param(Deadly(), marks=pytest.mark.ci), Stillborn()])
def test_a_scorer_that_its_worker_dies_of_takes_no_other_with_it(store, deadly):
    """Two slots a metric, one of them deadly, or both."""
    said, scorers, some = [], (LogOdds(), deadly, Diversity(Colours())), many(limit=8)
    found = scored(store, some, scorers=scorers, devices=2, say=said.append)
    assert found.crashed == {deadly.name: "its worker died; what it scored before is kept"}
    code = 3 if deadly.name == "deadly" else 4
    assert said and all(f"died with exit code {code}; the others go on" in text for text in said)
    kept = numbers(store, *scorers)
    assert kept["log_odds"].keys() == kept["diversity"].keys() == set(some.names())
    there = some.names()[:4] if deadly.name == "deadly" else []  # a blue star is the sixth
    assert kept[deadly.name].keys() == set(there)
    todo = unscored([some], {some.id: scorers}, store)
    assert [(slot.metric, picture.name) for slot in todo for picture in slot.pictures] == [
        (deadly, name) for name in some.names() if name not in there
    ]


def test_what_is_no_finite_number_is_said_and_takes_nothing_with_it(store):
    """A blue star is the sixth of eight: three of 24, each in a slot of its own."""
    heard, scorers = [], (Holey(), LogOdds(), Diversity(HoleyColours()))
    found = scored(store, many(), scorers=scorers, tell=heard.append)
    names = many().names()
    holes = {"holey": names[5::8], "holey_colours": names[::4]}
    assert found.scores == 21 + 24 + 18 == sum(done.scored for done in heard) and found.unreadable == ()
    assert len(heard) == 3 * 6, "nothing is computed twice"
    assert found.crashed.keys() == holes.keys()
    for metric, without in holes.items():
        said = [done.crashed for done in heard if done.metric == metric and done.crashed]
        assert said == [f"it gave no finite number for {name}" for name in without] and found.crashed[metric] in said
    kept = numbers(store, *scorers)
    assert kept["log_odds"].keys() == set(names)
    assert kept["holey"].keys() == set(names) - set(names[5::8])
    assert kept["diversity"].keys() == set(names) - set(names[::4])
    folder = store.folder(many().cell) / "scores" / identity(Holey())
    assert "NaN" not in "".join(path.read_text() for path in folder.iterdir())


def test_too_few_numbers_are_said_and_none_is_kept(store):
    found = scored(store, many(), scorers=(Short(), LogOdds(), Diversity(ShortColours())))
    said = "ValueError: it gave 3 for 4 pictures; one each is wanted, also where it is given one only"
    assert found.crashed == {"short": said, "short_colours": said} and found.scores == 24
    assert numbers(store, Short())["short"] == {} and len(numbers(store, LogOdds())["log_odds"]) == 24


def test_what_cannot_be_read_of_one_cell_is_still_scored_of_another(store_path, monkeypatch):
    """Pictures of two cells have the same names. The other cell's slot is another shard's, which is late."""
    store, one, other = Store(store_path), many(limit=1), many(limit=1, steps=3)
    run(store, one, other)
    store.image_path(one.cell, one.names()[0]).write_bytes(b"torn")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    found = scored(store, one, other, scorers=(LogOdds(),))
    assert found.scores == 1 and len(found.unreadable) == 1 and found.crashed == {}
    assert store.scores(other.cell, identity(LogOdds())).keys() == set(other.names())
    assert store.scores(one.cell, identity(LogOdds())) == {}


def test_the_first_shard_takes_what_another_has_not_scored(store, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.setenv("SLURM_PROCID", "1")
    heard = []
    assert scored(store, many(), scorers=METRICS[:1], tell=heard.append).scores == 8
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert scored(store, many(), scorers=METRICS[:1], tell=heard.append).scores == 16
    assert numbers(store, *METRICS[:1])["log_odds"].keys() == set(many().names())
    assert sum(done.scored for done in heard) == 24


def test_a_pass_leaves_few_files(store):
    assert scored(store, many(), scorers=METRICS).scores == 72
    for folder in (store.folder(many().cell) / "scores", store.folder(many().cell) / "features"):
        assert all(len(list(one.iterdir())) == 1 for one in folder.iterdir())


@dataclass(frozen=True)
class Nearsighted(LogOdds):
    """Reads one word of a prompt."""

    name: str = "nearsighted"

    @contextmanager
    def open(self, device="cpu"):
        with super().open(device) as score:
            yield Limited(score, lambda texts: {text: 1 for text in texts if "blue" in text})


def test_prompts_that_a_metric_cuts_are_said_once(tmp_path):
    store, jobs = Store(tmp_path), [many()]
    run(store, *jobs)
    runner, heard = Runner(devices="cpu", threads=1), []
    slots = unscored(jobs, {jobs[0].id: [Nearsighted(), LogOdds()]}, store)
    done = score(slots, store, runner, lambda slot: None, heard.append)
    assert not done.crashed and len([line for line in heard if "nearsighted" in line]) == 1
    assert heard[-1].startswith("nearsighted: 4 prompts are longer than the text encoder reads (1 tokens)")
