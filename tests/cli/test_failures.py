"""What a person reads when prompts fail, batches do not fit, or this is one share of several."""

from contextlib import contextmanager

import pytest
from hydra import compose, initialize_config_dir

from zz.cli.conf import conf_dir
from zz.cli.verbs.run import run
from zz.lab.store.store import Store
from zz.models.mixture import Mixture


@pytest.fixture
def words(store_path):
    def config(*more):
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            return [compose("config", ["model=mixture", "steps=4", f"store={store_path}", *more])]

    return config


@pytest.fixture
def poisoned(monkeypatch):
    """The exact model, which does not take blue stars."""
    opened = Mixture.open

    @contextmanager
    def poisoned(self, device="cpu", precision="32"):
        with opened(self, device, precision) as pipeline:
            encode = pipeline.encode

            def picky(prompts, negative_prompts):
                if "a blue star" in prompts:
                    raise RuntimeError("no blue stars")
                return encode(prompts, negative_prompts)

            pipeline.encode = picky
            yield pipeline

    monkeypatch.setattr(Mixture, "open", poisoned)


def test_failed_prompts_are_named_and_tables_wait(words, poisoned, capsys):
    assert run(words("limit=16")) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "'a blue star': RuntimeError: no blue stars" in said
    assert "15 of 16 images: not printed unless allow_partial=true" in said
    assert "1 image is missing" in said
    assert run(words("limit=16", "allow_partial=true")) == 1
    assert "cells: mean and 95 % interval" in capsys.readouterr().out


def test_after_the_trouble_is_gone_the_same_command_completes(words, poisoned, monkeypatch, capsys):
    assert run(words("limit=16")) == 1
    monkeypatch.undo()
    capsys.readouterr()
    assert run(words("limit=16")) == 0
    said = capsys.readouterr().out
    assert "1 images to make, 15 there already" in said and "failed" not in said


def test_every_shard_scores_its_own_and_the_first_shows_the_tables(words, monkeypatch, capsys, store_path):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert run(words("limit=8")) == 0
    said = capsys.readouterr().out
    assert "shard 2 of 2 is done; the first one shows the tables" in said and "cells:" not in said
    (cell,) = Store(store_path).cells()
    assert cell.images == 8 and list(cell.scores.values()) == [8], "one metric of the two falls to it"
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert run(words("limit=8")) == 0
    (cell,) = Store(store_path).cells()
    assert cell.images == 8 and list(cell.scores.values()) == [8, 8]
    assert "cells: mean and 95 % interval" in capsys.readouterr().out
