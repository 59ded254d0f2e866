"""What is asked for again is there: a picture is its cell, seed and text, whichever list it came from."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from tests.make import files, job, run, scored
from zz.data.base import REPEAT, Prompt, PromptSet
from zz.data.inline import Inline
from zz.diffusion.samplers.standard import Standard
from zz.lab.plan import merged, plan
from zz.lab.scoring.names import identity
from zz.lab.scoring.scoring import unscored
from zz.lab.store.store import Store
from zz.models.mixture import Mixture
from zz.scorers.base import ImageScorer

TEXTS = ("a red circle", "a blue star", "a green square", "a red star", "a blue circle", "a red circle")
BATCH_SIZE = 4


@dataclass(frozen=True)
class Listed(PromptSet):
    """Entries as they are given."""

    entries: tuple[Prompt, ...] = ()
    name: str = field(default="listed", kw_only=True)

    def load(self) -> Sequence[Prompt]:
        return self.entries


def listed(metas=None, **more):
    metas = metas or [{}] * len(TEXTS)
    return Listed(tuple(Prompt(text, meta) for text, meta in zip(TEXTS, metas, strict=True)), **more)


def asked(prompts, seed=0, **more):
    return job(prompts.listed(seed), steps=2, sampler=Standard(2.0), **more)


def lacking(store, *jobs):
    """How many pictures each row lacks, as the plan says it."""
    return plan(jobs, len(jobs), store).missing


@pytest.fixture
def store(store_path):
    """A store with the six pictures of TEXTS."""
    store = Store(store_path)
    assert run(store, asked(listed()), batch_size=BATCH_SIZE)[0] == 0
    assert len(files(store, asked(listed()).cell)) == 6
    return store


def test_one_prompt_more_is_one_picture(store):
    more = asked(Inline(texts=(*TEXTS, "a green star")))
    before, cell = files(store, more.cell), more.cell
    assert lacking(store, more) == (1,)
    missing, done = run(store, more, batch_size=BATCH_SIZE)
    assert missing == 0 and [slot.names for slot in done] == [(more.names()[-1],)]
    assert before.items() < files(store, cell).items() and len(store.names(cell)) == 7


def test_one_prompt_less_or_another_order_with_seeds_of_its_own_is_none(store):
    assert lacking(store, asked(Inline(texts=TEXTS[:-1]))) == (0,)
    turned = Listed(tuple(Prompt(text, {}, seed) for seed, text in reversed(list(enumerate(TEXTS)))))
    assert lacking(store, asked(turned)) == (0,)
    assert lacking(store, asked(Inline(texts=TEXTS[1:]))) == (5,), "other seeds are other pictures"
    assert lacking(store, asked(Inline(texts=TEXTS), seed=1)) == (6,)


def test_what_a_benchmark_says_of_a_prompt_makes_no_picture_anew(store):
    tagged = asked(listed([{"category": "Colors", "n": i} for i in range(6)]))
    assert tagged.id == asked(listed()).id and tagged.prompts.record_digest != asked(listed()).prompts.record_digest
    assert lacking(store, tagged) == (0,)
    assert run(store, tagged, batch_size=BATCH_SIZE) == (0, [])


def test_the_same_prompt_and_seed_of_another_set_is_the_same_picture(store):
    other = Listed((Prompt("a green circle"), Prompt(TEXTS[3], {"tag": "x"}, 3), Prompt(TEXTS[0], {}, 5)), name="other")
    assert lacking(store, asked(other)) == (1,)
    assert lacking(store, asked(listed(name="other"))) == (0,)


def test_a_selection_keeps_its_seeds_and_makes_nothing(store):
    metas = [{"category": name} for name in ("Colors", "Count", "Colors", "Count", "Colors", "Text")]
    before = files(store, asked(listed()).cell)
    for words, kept in (
        ({"where": {"category": "Colors"}}, [0, 2, 4]),
        ({"where": {"category": ["Text", "Count"]}}, [1, 3, 5]),
        ({"indices": (4, 1)}, [4, 1]),
        ({"indices": (4, 1, 2), "where": {"category": "Colors"}}, [4, 2]),
    ):
        some = asked(listed(metas, **words))
        assert [(p.text, p.seed) for p in some.prompts.entries] == [(TEXTS[i], i) for i in kept]
        assert lacking(store, some) == (0,)
        assert run(store, some, batch_size=BATCH_SIZE) == (0, [])
    assert [p.seed for p in listed(metas, indices=(4, 1)).listed(100).entries] == [104, 101]
    assert files(store, asked(listed()).cell) == before


def test_repeats_are_one_row_of_which_half_is_new(store):
    once, twice = asked(listed()), asked(listed(repeats=2))
    assert once.id == twice.id and [j.wanted for j in merged([once, twice, once])] == [12]
    assert lacking(store, once, twice) == (6,)
    before = files(store, once.cell)
    missing, done = run(store, twice, batch_size=BATCH_SIZE)
    made = [name for slot in done for name in slot.names]
    assert missing == 0 and made == twice.names()[6:] and [len(slot.names) for slot in done] == [4, 2]
    assert [p.seed for p in twice.pictures] == [*range(6), *range(REPEAT, REPEAT + 6)]
    after = files(store, once.cell)
    assert before.items() < after.items() and len(set(after.values())) == 12
    alone = Store(store.root / "alone")
    assert run(alone, twice, batch_size=BATCH_SIZE)[0] == 0 and files(alone, once.cell) == after


def test_a_limit_on_repeats_counts_entries(store):
    some = asked(listed(repeats=3), limit=2)
    assert some.wanted == 6 and [(p.entry, p.repeat) for p in some.pictures] == [
        (e, r) for r in range(3) for e in (0, 1)
    ]
    assert lacking(store, some) == (4,)


def test_an_entry_that_comes_twice_is_one_picture():
    found = Listed((Prompt("a", {}, 3), Prompt("b", {}, 3), Prompt("a", {"tag": 1}, 3), Prompt("a", {}, 4))).listed()
    assert [(p.text, p.seed) for p in found.entries] == [("a", 3), ("b", 3), ("a", 4)] and found.dropped == 1
    assert found.entries[0].meta == {}, "the first one stays"


def test_one_recipe_over_two_lists_is_two_rows_and_neither_is_lost(store_path):
    store, one, other = Store(store_path), asked(Inline(texts=TEXTS[:3])), asked(Inline(texts=TEXTS[2:]))
    planned = plan([one, other], 2, store)
    assert [job.id for job in planned.jobs] == [one.id, other.id] and one.cell == other.cell
    assert (planned.own, planned.missing) == (2, (3, 4))
    missing, done = run(store, one, other, batch_size=BATCH_SIZE)
    assert missing == 0 and {slot.row for slot in done} == {one.id, other.id}
    assert store.names(one.cell) == {*one.names(), *other.names()} and len(store.names(one.cell)) == 7
    assert lacking(store, one, other) == (0, 0)


def test_two_lists_with_a_picture_in_common_make_it_once(store_path):
    store, one = Store(store_path), asked(Inline(texts=TEXTS[:3]))
    other = asked(Inline(texts=TEXTS))
    missing, done = run(store, one, other, batch_size=BATCH_SIZE)
    made = [name for slot in done for name in slot.names]
    assert missing == 0 and sorted(made) == sorted(other.names()), "each is written once"


@pytest.mark.slow
@pytest.mark.parametrize("first", [{"limit": 1}, {"indices": (0,)}])
def test_a_trial_of_one_prompt_does_not_settle_the_batch_size(store_path, first):
    """The row's batch size is the model's, however few pictures were asked for at first."""
    store, model = Store(store_path), Mixture(batch_size=3)
    trial = asked(listed(indices=first.get("indices")), limit=first.get("limit"), model=model)
    assert run(store, trial)[0] == 0 and store.batch_size(trial.id) == 3
    many = asked(listed(), model=model)
    missing, done = run(store, many)
    assert missing == 0 and store.batch_size(many.id) == 3
    assert [len(slot.names) for slot in done] == [2, 3]
    alone = Store(store.root / "alone")
    run(alone, many)
    if "limit" in first:  # the same row: the very files; of another one, its last prompt filled the slot
        assert files(alone, many.cell) == files(store, many.cell)


@pytest.mark.slow
def test_a_limit_moves_no_bit(store_path, tmp_path):
    """A short slot is filled up, so that the pictures of a trial are those of the whole."""
    one, other = Store(store_path), Store(tmp_path / "other")
    for limit in (1, 3, 6):
        run(one, asked(listed(), limit=limit), batch_size=BATCH_SIZE)
    run(other, asked(listed()), batch_size=BATCH_SIZE)
    assert files(one, asked(listed()).cell) == files(other, asked(listed()).cell)


@dataclass(frozen=True)
class Reader(ImageScorer):
    """What a prompt's record says."""

    name: str = "reader"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("count", "colours")

    def settings(self):
        return {}

    @contextmanager
    def open(self, device="cpu"):
        yield lambda pictures, prompts: [float(prompt.meta["count"]) for prompt in prompts]


@dataclass(frozen=True)
class Blind(Reader):
    """Reads no record."""

    name: str = "blind"
    reads: ClassVar[tuple[str, ...]] = ()

    @contextmanager
    def open(self, device="cpu"):
        yield lambda pictures, prompts: [1.0] * len(pictures)


def test_what_a_scorer_reads_is_scored_anew_and_the_picture_stays(store):
    metas = [{"count": i, "colours": ["red", "blue"], "tag": "a"} for i in range(6)]
    scorers, one = (Reader(), Blind()), asked(listed(metas))
    assert scored(store, one, scorers=scorers).scores == 12
    before = files(store, one.cell)

    def to_score(metas, **more):
        again = asked(listed(metas, **more))
        assert lacking(store, again) == (0,) and run(store, again) == (0, [])
        todo = unscored([again], {again.id: scorers}, store)
        return again, [(slot.metric.name, [p.entry for p in slot.pictures]) for slot in todo]

    assert to_score(metas)[1] == []
    assert to_score([meta | {"tag": "b", "new": 1} for meta in metas])[1] == [], "what it does not read costs nothing"
    assert to_score([dict(reversed(meta.items())) for meta in metas], name="other")[1] == []
    changed = [*metas[:4], metas[4] | {"count": 40}, metas[5] | {"colours": ["blue", "red"]}]
    again, todo = to_score(changed)
    assert todo == [("reader", [4, 5])]
    assert scored(store, again, scorers=scorers) == (2, (), {})
    assert to_score(changed)[1] == [] == to_score(metas)[1], "both records have their scores"
    assert sorted(store.scores(one.cell, identity(Reader())).values()) == [0, 1, 2, 3, 4, 5, 5, 40]
    assert files(store, one.cell) == before
