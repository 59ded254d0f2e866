"""The embedded model through the runner: the same files for any number of workers, and nearly so for any batch."""

import pytest

import zz
from tests.make import files, grey_levels, job, run
from zz.data.shapes_prompts import Quick
from zz.diffusion.samplers.zigzag import Zigzag
from zz.lab.store.store import Store

PROMPTS = tuple(prompt.text for prompt in Quick().prompts)[:12]


def one(**fields):
    common = {"model": zz.shapes(), "sampler": Zigzag(4.0, 0.0), "steps": 4, "size": (32, 32)}
    return job(**(common | {"prompts": PROMPTS} | fields))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("alone"))
    assert run(store, one(), batch_size=4)[0] == 0
    return store


@pytest.mark.ci
@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_writes_the_same_files(store_path, alone, workers):
    store = Store(store_path)
    assert run(store, one(), devices=workers, batch_size=4)[0] == 0
    assert files(store, one().cell) == files(alone, one().cell)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_across_batch_sizes_at_most_one_grey_level(store_path, alone, batch_size):
    store = Store(store_path)
    assert run(store, one(), batch_size=batch_size)[0] == 0
    assert grey_levels(store, alone, one().cell, one().cell) <= 1
