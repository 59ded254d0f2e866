"""One device's work: each model opened once, each batch of prompts encoded once, slots made one by one."""

import gc
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from zz.data.base import Picture
from zz.diffusion.cost import Cost
from zz.diffusion.finite import NotFinite
from zz.diffusion.leg import Leg
from zz.diffusion.network import Branches, Guided
from zz.diffusion.prediction import Gamma, Prediction
from zz.diffusion.prefix_cache import PrefixCache
from zz.diffusion.probes.meter import Meter
from zz.diffusion.probes.step import Probe, Step, both
from zz.diffusion.schedule import Node
from zz.lab.device import describe, opened, out_of_memory, peak_bytes
from zz.lab.encoder import Conditions, Encoder, draw_pictures
from zz.lab.job import Job
from zz.lab.lease import Leases
from zz.lab.measurements.base import Measurement, Values
from zz.lab.pool import Alive
from zz.lab.scale import at_scales
from zz.lab.slots import Bundle, Slot, SlotDone
from zz.lab.store.atomic import InTheWay
from zz.lab.store.store import Store, StoreError
from zz.lab.strip import picture
from zz.models.base import Model, Pipeline

MAX_EMPTY_SLOTS = 8  # consecutive slots without a picture before the error counts as systemic and is raised


def work(
    bundles: Sequence[Bundle], store: Store, device: str, alive: Alive, lease: float | None = None
) -> Generator[SlotDone | str, None, None]:
    """Make slots, one by one: what was done, and messages for a person. Pictures that are there are left alone.

    alive: called while the work gets on
    lease: seconds after which another run's slot is taken for abandoned; until then it is left out (lease.py)

    Raises what the model raises where it is not a prompt's fault, and StoreError where the store cannot be written.
    """
    by_model: dict[tuple[Model, str], list[Bundle]] = {}
    for bundle in bundles:
        recipe = bundle[0].job.recipe
        by_model.setdefault((recipe.model, recipe.precision), []).append(bundle)
    for (model, precision), mine in by_model.items():
        yield from _with_model(model, precision, mine, store, device, alive, Leases(lease))
        gc.collect()  # two models need not fit on a device at once
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def _with_model(
    model: Model,
    precision: str,
    bundles: Sequence[Bundle],
    store: Store,
    device: str,
    alive: Alive,
    leases: Leases,
) -> Iterator[SlotDone | str]:
    """Make the slots of one model. When it ends, nothing here holds on to the weights."""

    def watch(step: Step) -> None:
        leases.touch()
        alive()

    with opened(model, device, precision) as pipeline:
        encoder = Encoder(pipeline, [slot for bundle in bundles for slot in bundle])
        maker = _SlotMaker(pipeline, encoder, store, device, watch)
        for bundle in bundles:
            if not leases.take(slot.lease(store) for slot in bundle):
                for slot in bundle:
                    encoder.used(slot.job, slot.padded)
                continue
            shared = len(bundle) > 1 and not any(slot.measure for slot in bundle)
            cache = PrefixCache(bundle[0].job.recipe.evals) if shared else None
            try:
                for slot in bundle:
                    done = list(maker.make(slot, cache))
                    leases.release([slot.lease(store)])
                    yield from done
            finally:
                leases.release()


class _SlotMaker:
    """An open model, and what became known of it: how many pictures fit at once."""

    def __init__(self, pipeline: Pipeline, encoder: Encoder, store: Store, device: str, watch: Probe) -> None:
        self.pipeline, self.encoder, self.store, self.device, self.watch = pipeline, encoder, store, device, watch
        self.named = describe(device)
        self.most: dict[tuple[int, int], int] = {}  # by size
        self.empty = 0  # consecutive slots without a picture
        self.remarks: list[str] = []

    def make(self, slot: Slot, cache: PrefixCache | None) -> Iterator[SlotDone | str]:
        """Make what the slot lacks. An error that is no prompt's fault is raised."""
        job, start = slot.job, time.perf_counter()
        lacking = {name for name in slot.names if not self.store.has(job.cell, name)}
        measure = [m for m in slot.measure if self._unmeasured(slot, m)]
        if not lacking and not measure:
            self.encoder.used(job, slot.padded)
            return
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.device)
        before = (cache.predictions, cache.evals) if cache else (0, 0)
        made, errors, cost = dict[str, Tensor](), dict[str, Exception](), Cost(0, 0)
        if measure:
            try:
                made, errors, cost = self._measured(slot, measure, lacking)
            except StoreError:
                raise
            except Exception as error:  # a prompt fails, or the batch does not fit: pictures are made all the same
                said = f"{type(error).__name__}: {error}".split("\n")[0]
                self.remarks.append(f"{len(slot.own)} pictures could not be measured ({said})")
        if lacking and not made and not errors:
            made, errors, cost = self._pictures(job, slot.padded, cache)
        shared = (cache.predictions - before[0], cache.evals - before[1]) if cache else (0, 0)
        self.empty = 0 if made or not lacking else self.empty + 1
        by_name, doubled = {one.name: one for one in slot.padded}, []
        failed = {name: f"{type(e).__name__}: {e}".split("\n")[0] for name, e in errors.items() if name in lacking}
        for name in slot.names:
            if name in failed:
                one = by_name[name]
                self.store.put_failure(job.cell, name, one.prompt.text, one.seed, failed[name])
            elif name in lacking:
                one = by_name[name]
                try:
                    if self.store.put_image(job.cell, name, picture(made[name]), one.prompt.text, one.seed):
                        doubled.append(name)
                except InTheWay as error:  # of this picture alone
                    failed[name] = str(error)
                    self.store.put_failure(job.cell, name, one.prompt.text, one.seed, failed[name])
        if errors and not made and (_no_prompts_fault(errors) or self.empty == MAX_EMPTY_SLOTS):
            raise next(iter(errors.values()))
        yield from self.remarks
        self.remarks.clear()
        written = tuple(n for n in slot.names if n in lacking and n in made and n not in (*doubled, *failed))
        seconds, last = time.perf_counter() - start, slot.own[-1].prompt.text
        peak, cut = peak_bytes(self.device), self.encoder.cut(job, slot.own)
        yield SlotDone(
            job.id, job.cell, written, seconds, *cost, *shared, self.named, failed, last, peak, cut, tuple(doubled)
        )

    def _pictures(
        self, job: Job, pictures: Sequence[Picture], cache: PrefixCache | None
    ) -> tuple[dict[str, Tensor], dict[str, Exception], Cost]:
        """Pixels by name, errors by name, and what one picture cost. What does not fit, or fails, is halved."""
        size = job.recipe.size
        if len(pictures) <= self.most.get(size, len(pictures)):
            meter = Meter(job.recipe.evals)
            try:
                conditions, probe = self.encoder(job, pictures), both(meter, self.watch)
                around = self._around(job, pictures, cache)
                x, bad = _drawn(job, pictures, self.pipeline, conditions, probe, around)
                return *self._decoded(x, bad, pictures), Cost(meter.predictions, meter.evals)
            except StoreError:
                raise  # no prompt's fault
            except Exception as error:
                if len(pictures) == 1:
                    traceback.clear_frames(error.__traceback__)  # they held the latents, and what the network computed
                    return {}, {pictures[0].name: error}, Cost(0, 0)
                if out_of_memory(error):
                    self.most[size] = len(pictures) // 2
                    what = f"{len(pictures)} pictures of {size[0]}x{size[1]} do not fit on {self.device}"
                    self.remarks.append(f"{what}; going on with {len(pictures) // 2} at once")
        # out of the handler: its traceback held the whole batch
        if cache:
            cache.forget()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        found, errors, cost = dict[str, Tensor](), dict[str, Exception](), Cost(0, 0)
        half = -(-len(pictures) // 2)
        for part in (pictures[:half], pictures[half:]):
            once = list({one.name: one for one in part}.values())
            some, wrong, each = self._pictures(job, once, None)
            found, errors, cost = found | some, errors | wrong, max(cost, each)
        return found, errors, cost

    def _decoded(
        self, x: Tensor, bad: dict[int, Exception], pictures: Sequence[Picture]
    ) -> tuple[dict[str, Tensor], dict[str, Exception]]:
        """Pixels by name and errors by name, of latents of which some rows are bad. The others keep their bits."""
        names, pixels = [one.name for one in pictures], None
        while pixels is None and len(bad) < len(x):
            x = x.index_fill(0, torch.tensor(list(bad), dtype=torch.long, device=x.device), 0.0)
            try:
                pixels = self.pipeline.decode(x)
            except NotFinite as error:
                if not set(error.rows) - bad.keys():
                    raise
                bad |= dict.fromkeys(error.rows, error)
        errors = {names[row]: error for row, error in bad.items()}
        made = {} if pixels is None else dict(zip(names, pixels, strict=True))
        return {name: one for name, one in made.items() if name not in errors}, errors

    def _around(
        self, job: Job, pictures: Sequence[Picture], cache: PrefixCache | None
    ) -> Callable[[Guided], Guided] | None:
        """What stands between the sampler and the network: a scale for each picture, and a prefix cache."""
        if not job.recipe.scale:
            return cache.of if cache else None
        scales = job.recipe.scale.of(pictures, self.store)
        return lambda guided: (cache.of if cache else _same)(at_scales(guided, scales))

    def _unmeasured(self, slot: Slot, measurement: Measurement) -> list[Picture]:
        """The slot's pictures that a measurement is asked of and not there for."""
        identity, cell = measurement.identity, slot.job.cell
        chosen = [one for one in slot.own if measurement.first is None or one.entry < measurement.first]
        return [one for one in chosen if self.store.measured(cell, identity, one.name) is None]

    def _measured(
        self, slot: Slot, measurements: Sequence[Measurement], lacking: set[str]
    ) -> tuple[dict[str, Tensor], dict[str, Exception], Cost]:
        """The slot sampled once for each measurement, watched; the pictures are the same bits as without.

        Pixels by name, errors by name, and what one picture cost. What the probes ask beyond the trajectory is counted
        apart, in the measurement itself (`extra_predictions`).
        """
        job, made, errors, cost = slot.job, dict[str, Tensor](), dict[str, Exception](), Cost(0, 0)
        pictures, names = slot.padded, [one.name for one in slot.padded]
        for measurement in measurements:
            watch, meter = measurement.watch(self.pipeline, job.recipe.size), Meter(job.recipe.evals)
            calls = _Calls(self._around(job, pictures, None))
            texts = [one.prompt.text for one in pictures]
            conditions = watch.pipeline.encode(texts, [job.recipe.negative_prompt] * len(texts))
            probe = both(meter, self.watch, watch.probe)
            x, bad = _drawn(job, pictures, watch.pipeline, conditions, probe, calls.of)
            values, cost = dict(zip(names, watch.values(), strict=True)), Cost(meter.predictions, meter.evals)
            without = {names[row] for row in bad} | {name for name, found in values.items() if not _all_finite(found)}
            for one in self._unmeasured(slot, measurement):
                if one.name in without:
                    self.remarks.append(f"{one.name}: {measurement.name} is not finite, and not kept")
                    continue
                found = {**values[one.name], "extra_predictions": calls.made - meter.predictions}
                self.store.put_measured(job.cell, measurement.identity, one.name, found)
            if lacking and not made and not errors:
                made, errors = self._decoded(x, bad, pictures)
        self.encoder.used(job, slot.padded)
        return made, errors, cost


def _drawn(
    job: Job,
    pictures: Sequence[Picture],
    pipeline: Pipeline,
    conditions: Conditions,
    probe: Probe,
    around: Callable[[Guided], Guided] | None,
) -> tuple[Tensor, dict[int, Exception]]:
    """A batch of latents, and the rows of it that are not finite, with why."""
    try:
        return draw_pictures(job, pictures, pipeline, conditions, probe, around), {}
    except NotFinite as error:
        if error.latents is None:
            raise
        x, error.latents, error.__traceback__ = error.latents, None, None  # they hold what the network computed
        return x, dict.fromkeys(error.rows, error)


def _no_prompts_fault(errors: Mapping[str, Exception]) -> bool:
    """Whether a slot of which every picture failed tells that the others will fail, too."""
    return len(errors) > 1 and not all(isinstance(error, NotFinite) for error in errors.values())


def _all_finite(values: Values) -> bool:
    return all(np.isfinite(found).all() for found in values.values() if np.asarray(found).dtype.kind in "fc")


def _same(guided: Guided) -> Guided:
    return guided


class _Calls:
    """Counts the guided predictions that are asked for, by the sampler and by probes; a look is one."""

    def __init__(self, around: Callable[[Guided], Guided] | None) -> None:
        self.made, self._around = 0, around or _same

    def of(self, guided: Guided) -> Guided:
        """The same network, counted."""
        inner = self._around(guided)

        def predict(x: Tensor, node: Node, gamma: Gamma, leg: Leg) -> Prediction:
            self.made += 1
            return inner(x, node, gamma, leg)

        def look(x: Tensor, node: Node, leg: Leg) -> Branches:
            self.made += 1
            return inner.look(x, node, leg)

        return Guided(predict, look)


__all__ = ["work"]
