"""What experiment=guidance_matters makes of scores: rates by prompt, how far they fall, and the verdicts."""

import numpy as np
import pytest

from zz.analysis.paper.guidance_matters import fall, rate, won
from zz.experiments.paper.guidance_matters import EXPERIMENT, TABLE
from zz.lab.results import Results
from zz.lab.store.manifest import find
from zz.lab.store.store import Store


class Scores:
    """Stands for results: the scores of rows, which are their names."""

    def __init__(self, higher_is_better=True, **rows):
        self.metrics, self.rows = {"hps": {"higher_is_better": higher_is_better}}, rows

    def by_picture(self, row, scorer):
        return self.rows[row.name]


class Row:
    def __init__(self, name):
        self.name, self.scorers = name, {"hps": {}}


OURS, THEIRS = Row("ours"), Row("theirs")


def test_wins_are_counted_by_prompt_and_picture():
    scores = {
        "ours": {0: (2.0, 1.0), 1: (0.0, 0.0), 2: (5.0, 5.0)},
        "theirs": {0: (1.0, 1.0), 1: (1.0, 1.0), 3: (0.0,)},
    }
    assert won(Scores(**scores), OURS, THEIRS, "hps") == {0: 0.75, 1: 0.0}
    assert won(Scores(False, **scores), OURS, THEIRS, "hps") == {0: 0.25, 1: 1.0}
    assert won(Scores(**scores), OURS, THEIRS, "another") == {}


def test_a_fall_is_paired_by_prompt_and_never_sure_of_two():
    rng = np.random.default_rng(0)
    plain = dict(enumerate(rng.integers(0, 2, 200).astype(float)))
    assert fall(plain, plain).value == 0 and fall({}, plain) is None and rate({}) is None
    effective = {entry: win if entry % 5 else 0.0 for entry, win in plain.items()}
    found = fall(plain, effective)
    assert found.value == pytest.approx(rate(plain).value - rate(effective).value)
    assert 0 < found.low < found.value < found.high < 100
    two = fall({0: 1.0, 1: 1.0}, {0: 0.75, 1: 0.75})
    assert two.low < 0 < two.value == 25 < two.high


def test_every_method_of_the_printed_ones_that_is_here_has_its_row():
    named = {line.label for line in TABLE.rows}
    assert {"Standard", "Z-Sampling", "CFG++", "PAG", "SAG", "SEG", "TDG"} <= named
    assert TABLE.name == "guidance_matters" and len(EXPERIMENT.cells) == 2 * len(TABLE.rows)


@pytest.mark.ci
def test_a_run_shows_each_row_and_its_verdicts(cli, store_path):
    code, _, err = cli("experiment=guidance_matters", "scale=smoke", "limit=1")
    assert code == 0, err
    store = Store(store_path)
    shown = EXPERIMENT.view(Results(store, find(store)))
    for table in shown.tables[:2]:
        lines = {line[0]: line[1:] for line in table.lines}
        assert list(lines) == [line.label for line in TABLE.rows]
        assert lines["Standard"][1].value == pytest.approx(4.0, rel=1e-4), "gamma1 of the embedded model"
        assert lines["Standard"][8].value == 50 and lines["Z-Sampling"][5] == "8"
    assert len(shown.verdicts) == 2 * (len(TABLE.rows) - 1 + 2 * 2)
    assert sum(one.status == "not run" for one in shown.verdicts) == 0
