"""Measurements: they move no bit of a picture, are made whatever was interrupted, and e_cfg is made from them."""

import multiprocessing as mp
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

import zz
from tests.make import files, grey_levels, many, run
from zz.diffusion.samplers.fixed_point import FixedPoint
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.solvers.euler_ancestral import EulerAncestral
from zz.lab.job import Job
from zz.lab.measurements.effective_guidance import EffectiveGuidance
from zz.lab.measurements.reflections import TheoremTerms
from zz.lab.measurements.residuals import FixedPointResiduals
from zz.lab.store.store import Store, StoreError
from zz.models.mixture import Mixture

T = 4
ALL = (EffectiveGuidance(), TheoremTerms())


def ours(**more):
    return many(**({"sampler": Zigzag(2.0, 0.0), "solver": EulerAncestral(), "limit": 10} | more))


def measured(store, one, measurement):
    """By picture: every array that was kept, as bytes."""
    found = {}
    for name in one.names():
        values = store.measured(one.cell, measurement.identity, name)
        if values is not None:
            found[name] = {key: (value.shape, value.tobytes()) for key, value in values.items()}
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Pictures that nothing was measured on."""
    store = Store(tmp_path_factory.mktemp("plain"))
    assert run(store, ours(), batch_size=4)[0] == 0
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same with both measurements, in one run."""
    store, one = Store(tmp_path_factory.mktemp("measured")), ours()
    assert run(store, one, batch_size=4, measured={one.id: ALL})[0] == 0
    return store


def test_pictures_are_the_same_bytes_with_and_without(undisturbed, whole):
    assert files(whole, ours().cell) == files(undisturbed, ours().cell)
    for measurement in ALL:
        assert measured(whole, ours(), measurement).keys() == set(ours().names())
        assert measured(undisturbed, ours(), measurement) == {}
    assert whole.measurements(ours().cell) == sorted(m.identity for m in ALL)


def test_the_cost_is_what_the_pictures_cost_and_what_is_asked_beyond_is_counted_apart(store_path):
    store, one = Store(store_path), ours(limit=4)
    plain = run(Store(store_path / "plain"), one, batch_size=4)[1]
    for measurement, extra in ((EffectiveGuidance(), T), (TheoremTerms(), T - 1)):
        mine = Store(store_path / measurement.name)
        _, done = run(mine, one, batch_size=4, measured={one.id: (measurement,)})
        assert [(d.predictions, d.evals) for d in done] == [(d.predictions, d.evals) for d in plain]
        assert (done[0].predictions, done[0].evals) == one.recipe.cost
        for name in one.names():
            assert mine.measured(one.cell, measurement.identity, name)["extra_predictions"] == extra
    assert store.measurements(one.cell) == []


def test_pictures_that_are_there_are_measured_and_stay(undisturbed, whole, store_path):
    store, one = Store(store_path), ours()
    run(store, one, batch_size=4)
    stamps = {name: store.image_path(one.cell, name).stat().st_mtime_ns for name in one.names()}
    missing, done = run(store, one, batch_size=4, measured={one.id: ALL})
    assert missing == 0 and [slot.names for slot in done] == [()] * 3
    assert {name: store.image_path(one.cell, name).stat().st_mtime_ns for name in one.names()} == stamps
    for measurement in ALL:
        assert measured(store, one, measurement) == measured(whole, one, measurement)
    assert run(store, one, batch_size=4, measured={one.id: ALL}) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 5, 9, 13])
def test_interrupted_half_way_and_resumed_is_undisturbed(whole, store_path, monkeypatch, after):
    store, one, left = Store(store_path), ours(), [after]
    put = Store.put_measured

    def full(self, *args):
        if not left[0]:
            raise StoreError("store: the disk is full")
        left[0] -= 1
        put(self, *args)

    monkeypatch.setattr(Store, "put_measured", full)
    with pytest.raises(StoreError, match="full"):
        run(store, one, batch_size=4, measured={one.id: ALL})
    monkeypatch.undo()
    before = {m: measured(store, one, m) for m in ALL}
    assert sum(map(len, before.values())) == after
    assert run(store, one, batch_size=4, measured={one.id: ALL})[0] == 0
    assert files(store, one.cell) == files(whole, one.cell)
    for measurement in ALL:
        found = measured(store, one, measurement)
        assert before[measurement].items() <= found.items() and found == measured(whole, one, measurement)


def _measure(root):
    run(Store(root), ours(), batch_size=4, measured={ours().id: ALL})


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 11])
def test_killed_half_way_and_resumed_is_undisturbed(whole, store_path, after):
    store, one = Store(store_path), ours()
    process = mp.get_context("spawn").Process(target=_measure, args=(store.root,))
    process.start()
    deadline = time.monotonic() + 120
    while len(list(store.root.glob("cells/*/measured/*/[0-9]*.npz"))) < after and process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, "it was not done yet"
    before = {m: measured(store, one, m) for m in ALL}
    assert after <= sum(map(len, before.values())) < 2 * len(one.names()), "all that is there is whole"
    assert run(store, one, batch_size=4, measured={one.id: ALL})[0] == 0
    assert files(store, one.cell) == files(whole, one.cell)
    for measurement in ALL:
        found = measured(store, one, measurement)
        assert before[measurement].items() <= found.items() and found == measured(whole, one, measurement)


@pytest.mark.ci
def test_two_workers_measure_the_same(whole, store_path):
    store, one = Store(store_path), ours()
    assert run(store, one, batch_size=4, devices=2, measured={one.id: ALL})[0] == 0
    assert files(store, one.cell) == files(whole, one.cell)
    for measurement in ALL:
        assert measured(store, one, measurement) == measured(whole, one, measurement)


def test_first_measures_so_many_entries_and_is_no_identity(whole, store_path):
    store, one, few = Store(store_path), ours(), EffectiveGuidance(first=3)
    assert few.identity == EffectiveGuidance().identity
    assert run(store, one, batch_size=4, measured={one.id: (few,)})[0] == 0
    assert list(measured(store, one, few)) == one.names()[:3]
    more = replace(few, first=6)
    _, done = run(store, one, batch_size=4, measured={one.id: (more,)})
    assert len(done) == 2, "a slot of which one is measured, and the next"
    assert list(measured(store, one, few)) == one.names()[:6]
    found = measured(whole, one, few)
    assert measured(store, one, few) == {name: found[name] for name in one.names()[:6]}
    for wrong in (0, -1, 1.5, True, "all"):
        with pytest.raises(ValueError, match=r"measurements\.effective_guidance"):
            EffectiveGuidance(first=wrong)


def test_a_torn_measurement_counts_for_nothing_and_verify_makes_it_anew(whole, store_path):
    store, one, asked = Store(store_path), ours(limit=4), {ours().id: (EffectiveGuidance(),)}
    run(store, one, batch_size=4, measured=asked)
    path = store.measured_path(one.cell, EffectiveGuidance().identity, one.names()[1])
    path.write_bytes(path.read_bytes()[:100])
    assert store.measured(one.cell, EffectiveGuidance().identity, one.names()[1]) is None
    run(store, one, batch_size=4, measured=asked, verify=True)
    found = measured(whole, one, EffectiveGuidance())
    assert measured(store, one, EffectiveGuidance()) == {name: found[name] for name in one.names()}


def test_residuals_tell_each_iteration(store_path):
    store, one, asked = Store(store_path), many(sampler=FixedPoint(2.0), limit=5), FixedPointResiduals()
    assert run(store, one, batch_size=4, measured={one.id: (asked,)})[0] == 0
    found = [store.measured(one.cell, asked.identity, name) for name in one.names()]
    for values in found:
        steps, iterations = values["moved"].shape
        assert len(values["step"]) == steps > 0 and iterations == one.recipe.sampler.iterations
        assert (values["moved"][:, -1] < values["moved"][:, 0]).all(), "a fixed point is come closer to"
        assert values["extra_predictions"] == 0
    assert not np.array_equal(found[0]["moved"], found[1]["moved"]), "each picture its own"
    assert run(Store(store_path / "plain"), one, batch_size=4)[0] == 0
    assert files(store, one.cell) == files(Store(store_path / "plain"), one.cell)


@pytest.mark.parametrize("measurement", [TheoremTerms(), FixedPointResiduals()])
def test_what_there_is_nothing_to_measure_of_is_refused(measurement):
    with pytest.raises(ValueError, match=r"measurements: .*leave it out"):
        measurement.check(many(sampler=Standard(2.0)).recipe.sampler.legs, True)
    measurement.check(FixedPoint(2.0, 0.0).legs, False)


def test_a_plain_zigzag_has_no_residuals():
    with pytest.raises(ValueError, match="sampler=fixed_point"):
        FixedPointResiduals().check(Zigzag(2.0, 0.0).legs, True)


def e_cfg(**more):
    """A zigzag and its control at the effective guidance, where the prompt matters in more than the first step."""
    one = many(**({"limit": 6, "model": Mixture(std=0.5)} | more))
    return one, one.controls(("e_cfg",))["e_cfg"]


@pytest.fixture(scope="module")
def effective(tmp_path_factory):
    """The control asked for first: its source is made and measured before it all the same."""
    store, (one, control) = Store(tmp_path_factory.mktemp("effective")), e_cfg()
    missing, done = run(store, control, one, batch_size=4, measured={one.id: (EffectiveGuidance(),)})
    assert missing == 0 and [slot.row for slot in done] == [one.id] * 2 + [control.id] * 2
    assert {(d.predictions, d.evals) for d in done if d.row == control.id} == {control.recipe.cost}
    return store


def test_each_picture_is_standard_sampling_at_its_own_scale(effective):
    one, control = e_cfg()
    recipe, scales = control.recipe, control.recipe.scale.of(control.pictures, effective)
    assert len(set(scales.tolist())) == 6 and all(abs(scale - 2.0) > 1e-3 for scale in scales.tolist())
    for picture, scale in zip(control.pictures, scales.tolist(), strict=True):
        kept = effective.measured(one.cell, EffectiveGuidance().identity, picture.name)
        assert scale == pytest.approx(float(kept["projected"][kept["kept"]].mean()), rel=1e-6) == float(kept["omega_e"])
        (alone,) = zz.sample(
            recipe.model,
            picture.prompt.text,
            sampler=Standard(scale),
            schedule=recipe.schedule,
            steps=recipe.steps,
            seeds=[picture.seed],
            size=recipe.size,
        )
        made = np.asarray(effective.image(control.cell, picture.name), np.int16)
        assert np.abs(made - np.asarray(alone, np.int16)).max() <= 1
    plain = one.controls()["compute_matched_predictions"]
    run(effective, plain, batch_size=4)
    assert grey_levels(effective, effective, control.cell, plain.cell) > 1


def test_batches_and_workers_move_no_scale(effective, store_path):
    """Halves of a batch, and pictures made again alone, have the scales of their own pictures."""
    store, (one, control) = Store(store_path), e_cfg()
    run(store, one, batch_size=3, measured={one.id: (EffectiveGuidance(),)})
    for name in one.names():  # the very scales, for omega_e of another batch size is another number
        path = store.measured_path(one.cell, EffectiveGuidance().identity, name)
        path.write_bytes(effective.measured_path(one.cell, EffectiveGuidance().identity, name).read_bytes())
    assert run(store, control, batch_size=4)[0] == 0
    assert files(store, control.cell) == files(effective, control.cell)
    store.image_path(control.cell, control.names()[5]).unlink()
    assert run(store, control, batch_size=4)[0] == 0
    assert files(store, control.cell) == files(effective, control.cell)


def test_what_was_not_measured_is_one_message(effective, store_path):
    store, (one, control) = Store(store_path), e_cfg()
    run(store, one, batch_size=4, measured={one.id: (EffectiveGuidance(first=2),)})
    wanted = rf"picture {one.names()[2]} of cell {one.cell.key} has no effective_guidance; make it first, with measure"
    with pytest.raises(StoreError, match=wanted):
        run(store, control, batch_size=4)
    assert store.failures(control.cell) == {} and store.names(control.cell) == set(), "it is no prompt's fault"


def test_a_scale_is_part_of_what_a_picture_is():
    one, control = e_cfg()
    other = e_cfg(sampler=Zigzag(2.0, 1.0))[1]
    fewer = Job(control.recipe, control.prompts, 1)
    assert len({job.cell.key for job in (control, other, one.controls()["compute_matched_predictions"])}) == 3
    assert fewer.cell == control.cell
