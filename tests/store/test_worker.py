"""One worker: batches that do not fit, prompts that fail, prompts encoded once, and what a run leaves beside a cell."""

import json
import weakref
from contextlib import contextmanager
from dataclasses import dataclass

import lightning.fabric
import pytest
import torch

import zz
from tests.make import PROMPTS, files, grey_levels, many, run, scored
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.lab.batch_size import MAX_BATCH, batch_size, largest
from zz.lab.device import opened, out_of_memory
from zz.lab.encoder import CACHE_BYTES, Encoder
from zz.lab.record import host_info, packages, revision
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity
from zz.lab.slots import slots
from zz.lab.store.store import Store
from zz.models.mixture import Mixture
from zz.scorers.mixture.log_odds import LogOdds

APART = PROMPTS[:8] + PROMPTS[1:9] + PROMPTS[2:10]  # three slots of eight that say other things
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@dataclass(frozen=True)
class Strained(Mixture):
    """The exact model on a device that holds `room` pictures at once, and with a prompt that it cannot take."""

    room: int = 99
    poison: str = "nothing"

    @contextmanager
    def open(self, device="cpu", precision="32"):
        with super().open(device, precision) as pipeline:
            pipeline.batches, encode, decode = [], pipeline.encode, pipeline.decode

            def encoded(prompts, negative_prompts):
                pipeline.batches.append(len(prompts))
                if self.poison in prompts:
                    raise RuntimeError("the text is too strange\nsecond line")
                return encode(prompts, negative_prompts)

            def decoded(x):
                if len(x) > self.room:
                    raise FULL
                return decode(x)

            pipeline.encode, pipeline.decode = encoded, decoded
            yield pipeline


@pytest.mark.slow
@pytest.mark.parametrize("room", [1, 3, 5])
def test_a_batch_that_does_not_fit_is_halved_and_said_once(store_path, tmp_path, room):
    store, other, said = Store(store_path), Store(tmp_path / "other"), []
    one, easy = many(model=Strained(room=room)), many()
    missing, done = run(store, one, batch_size=8, said=said)
    assert missing == 0 and len(store.names(one.cell)) == len(PROMPTS)
    sizes = [8 >> n for n in range(4) if 8 >> n > room]
    assert [text.split()[0] for text in said] == [str(n) for n in sizes]
    assert "32x32" in said[0] and f"going on with {sizes[0] // 2} at once" in said[0]
    assert {(d.predictions, d.evals) for d in done} == {one.recipe.cost}
    assert store.batch_size(one.id) == 8, "the batch size that the row began with stays"
    run(other, easy, batch_size=8)
    assert grey_levels(store, other, one.cell, easy.cell) <= 1


def test_what_does_not_fit_alone_is_recorded_as_failed(store_path):
    store, one = Store(store_path), many(model=Strained(room=0), limit=1)
    missing, _ = run(store, one, batch_size=1)
    assert missing == 1
    assert "out of memory" in store.failures(one.cell)[one.names()[0]]["error"]


def test_a_prompt_that_fails_alone_is_recorded_and_the_others_are_made(store_path):
    """PROMPTS repeats eight texts three times; the poison is at 3, 11 and 19."""
    store = Store(store_path)
    one = many(model=Strained(poison=PROMPTS[3]))
    missing, done = run(store, one, batch_size=8)
    names = one.names()
    bad = [names[i] for i in (3, 11, 19)]
    assert missing == 3 and store.names(one.cell) == set(names) - set(bad)
    failures = store.failures(one.cell)
    assert set(failures) == set(bad)
    assert failures[bad[1]]["error"] == "RuntimeError: the text is too strange"
    assert (failures[bad[1]]["prompt"], failures[bad[1]]["seed"]) == (PROMPTS[3], 11)
    assert [list(d.failed) for d in done] == [[name] for name in bad], "each tried once"
    well = many()
    run(Store(store_path), well, batch_size=8)
    store.put_image(one.cell, bad[0], store.image(well.cell, bad[0]), PROMPTS[3], 3)
    assert set(store.failures(one.cell)) == set(bad[1:]), "a picture that is made after all has not failed"


def test_what_is_no_prompts_fault_ends_the_run(store_path):
    """Nothing came of a whole slot of several prompts; or of eight slots of one in a row."""
    with pytest.raises(RuntimeError, match="too strange"):
        run(
            Store(store_path),
            many(model=Strained(poison=PROMPTS[3]), prompts=(PROMPTS[3],) * 9),
            batch_size=4,
        )
    one = many(model=Strained(poison=PROMPTS[3]), prompts=(PROMPTS[3],) * 12)
    with pytest.raises(RuntimeError, match="too strange"):
        run(Store(store_path / "single"), one, batch_size=1)
    assert len(Store(store_path / "single").failures(one.cell)) == 8


def test_prompts_are_encoded_once_a_model(store_path):
    """Three cells over the same three slots."""
    seen = []

    class Watched(Strained):
        @contextmanager
        def open(self, device="cpu", precision="32"):
            with super().open(device, precision) as pipeline:
                seen.append(pipeline)
                yield pipeline

    model = Watched()
    samplers = (Standard(2.0), Zigzag(2.0, 0.0), Zigzag(2.0, 1.0))
    run(Store(store_path), *(many(model=model, sampler=s, prompts=APART) for s in samplers), batch_size=8, reuse=False)
    run(Store(store_path), *(many(model=model, sampler=s, prompts=PROMPTS, seed=9) for s in samplers), batch_size=8)
    assert [p.batches for p in seen] == [[8, 8, 8], [8]], "the second time the three slots say the same"


def test_conditions_wait_only_for_as_long_as_they_are_needed():
    with Mixture().open() as pipeline:
        job = many(prompts=APART)
        todo = slots(job, 8, job.names())
        encoder = Encoder(pipeline, [*todo, *todo])
        for slot in todo:
            encoder(job, slot.padded)
        assert len(encoder.kept) == 3
        for slot in todo:
            encoder(job, slot.padded)
        assert encoder.kept == {}


def test_conditions_take_no_more_room_than_they_are_given():
    with Strained().open() as pipeline:
        job = many(prompts=APART)
        todo = slots(job, 8, job.names())
        one = Encoder(pipeline, [*todo, *todo])
        one(job, todo[0].padded)
        size = CACHE_BYTES - one.room
        assert size > 0
        encoder = Encoder(pipeline, [*todo, *todo], room=2 * size)
        for slot in todo:
            encoder(job, slot.padded)
        assert len(encoder.kept) == 2 and encoder.room == 0
        assert encoder.used(job, todo[0].padded) is not None, "a slot that is there already asks for nothing"
        for slot in todo[1:]:
            encoder(job, slot.padded)
        assert encoder.kept == {} and encoder.room == 2 * size
        assert len(pipeline.batches) == 1 + 3 + 1, "the third one was encoded twice"


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (FULL, True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_a_smaller_batch_may_mend(error, full):
    assert out_of_memory(error) is full


@pytest.mark.parametrize(("room", "fits"), [(0, {1}), (1, {1}), (3, {2}), (9, {4, 8}), (99, {4, 8, 16, 32, 64})])
def test_the_automatic_batch_size_fits(room, fits):
    """From the four that the model recommends: halved until it fits; doubled only while that is faster, too."""
    job = many(model=Strained(room=room, batch_size=4))
    with job.model.open() as pipeline:
        assert largest(job, pipeline) in fits
        assert max(pipeline.batches) <= MAX_BATCH


def test_where_not_even_one_picture_fits_no_larger_batch_is_tried():
    job = many(model=Strained(room=0, batch_size=1))
    with job.model.open() as pipeline:
        assert largest(job, pipeline) == 1
        assert max(pipeline.batches) == 2


def test_on_a_cpu_the_batch_size_is_what_the_model_recommends(store_path):
    assert batch_size(many(model=Mixture(batch_size=5)), Store(store_path), "cpu") == 5
    assert batch_size(many(model=Mixture(batch_size=50)), Store(store_path), "cpu") == 50, "however few are asked for"


def test_batch_sizes_are_kept(store_path):
    store = Store(store_path)
    store.put_batch_sizes({"a": 4})
    store.put_batch_sizes({"b": 8})
    assert Store(store_path).batch_sizes() == {"a": 4, "b": 8}
    (store.root / "batch_sizes.json").write_text("{torn")
    assert store.batch_sizes() == {}


def test_a_model_with_weights_is_opened_on_a_fabrics_device(monkeypatch):
    """There is no GPU here: a Fabric that was asked for one is of the CPU."""
    asked, fabric = [], lightning.fabric.Fabric

    def made(accelerator, devices, plugins):
        asked.append((accelerator, devices))
        return fabric(accelerator="cpu", devices=1, plugins=plugins)

    monkeypatch.setattr(lightning.fabric, "Fabric", made)
    for device in ("cpu", "cuda", "cuda:1"):
        with opened(zz.shapes(), device, "bf16") as pipeline:
            assert pipeline.device == torch.device("cpu") and pipeline.parts.unet.dtype == torch.bfloat16
    assert asked == [("cuda", 1), ("cuda", [1])]


def test_the_event_log_and_the_record_tell_what_happened(store_path):
    store = Store(store_path)
    one = many(model=Strained(poison=PROMPTS[3]))
    runner = Runner(devices="cpu", batch_size=8)
    runner.run([one], store, lambda done: None, lambda text: None, configs={one.id: {"steps": 4}})
    names = one.names()
    bad = [names[i] for i in (3, 11, 19)]
    events = [json.loads(line) for line in (store.folder(one.cell) / "events.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events] == ["start", "slot", "slot", "slot", "end"]
    assert events[1]["pictures"] == [*names[:3], *names[4:8]] and list(events[1]["failed"]) == bad[:1]
    assert {event.get("row", one.id) for event in events} == {one.id}
    assert events[-1]["made"] == 21
    (path,) = (store.folder(one.cell) / "runs").glob("*.json")
    record = json.loads(path.read_text())
    assert record["config"] == {"steps": 4} and record["row"] == one.id
    assert (record["predictions_per_image"], record["evals_per_image"]) == one.recipe.cost
    assert record["batch_size"] == 8 and set(record["failed"]) == set(bad)
    assert record["images"] == sorted(set(names) - set(bad))
    assert 0 < record["device_seconds"] <= record["wall_seconds"] + 1e-3
    assert record["peak_memory_bytes"] > 50e6, "this very process holds torch"
    (device,) = record["devices"]
    assert device.startswith("cpu (")
    assert record["packages"]["torch"] == torch.__version__ and {"zz", "diffusers", "lightning"} <= set(
        record["packages"]
    )


def test_the_record_names_the_revision_and_whether_it_was_changed(tmp_path):
    import subprocess

    assert revision(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "file").write_text("1")
    assert revision(tmp_path)["dirty"] is False, "what git does not know is not a change"
    subprocess.run([*git, "add", "file"], check=True)
    found = revision(tmp_path)
    assert found["dirty"] is True and len(found["revision"]) == 40
    assert {"host", "pid", "python", "packages", "git", "slurm"} == set(host_info())
    assert "pytest" not in packages()


@dataclass(frozen=True)
class Crashing(LogOdds):
    """Breaks down at its second batch."""

    name: str = "crashing"

    @contextmanager
    def open(self, device):
        calls = []

        def scores(images, prompts):
            calls.append(len(images))
            if len(calls) == 2:
                raise RuntimeError("a kernel failed\nat line 1")
            return [0.0] * len(images)

        yield scores


def test_a_scorer_that_breaks_down_loses_no_score_and_no_other_scorer(store_path, monkeypatch):
    monkeypatch.setattr("zz.lab.scoring.scoring.BATCH", 10)
    store, heard = Store(store_path), []
    one = many()
    run(store, one)
    before = files(store, one.cell)
    found = scored(store, one, scorers=(Crashing(), LogOdds()), tell=heard.append)
    assert found == (10 + len(PROMPTS), (), {"crashing": "RuntimeError: a kernel failed"})
    assert [done.crashed for done in heard if done.crashed] == ["RuntimeError: a kernel failed"]
    assert len(store.scores(one.cell, identity(Crashing()))) == 10
    assert len(store.scores(one.cell, identity(LogOdds()))) == len(PROMPTS)
    assert files(store, one.cell) == before


def test_one_model_at_a_time_is_in_memory(store_path):
    """The weights of the first are let go before those of the second are loaded."""
    alive = []

    @dataclass(frozen=True)
    class Heavy(Mixture):
        @contextmanager
        def open(self, device="cpu", precision="32"):
            assert [pipeline() for pipeline in alive] == [None] * len(alive)
            with super().open(device, precision) as pipeline:
                alive.append(weakref.ref(pipeline))
                yield pipeline

    jobs = [many(model=Heavy(std=std), sampler=s) for std in (0.1, 0.2) for s in (Standard(2.0), Zigzag(2.0, 1.0))]
    assert run(Store(store_path), *jobs, batch_size=12)[0] == 0
    assert len(alive) == 2
