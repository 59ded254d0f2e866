"""Set metrics, computed from stored features and kept by the pictures that they read."""

import math
from collections.abc import Mapping

import numpy as np

from zz.lab.scoring.names import identity, kept, score_names, set_name
from zz.lab.scoring.scoring import Scorable
from zz.lab.stats import Interval
from zz.lab.store.store import Store
from zz.scorers.base import Features, ImageScorer, SetMetric


def reference(metric: SetMetric, store: Store, device: str = "cpu") -> Mapping[str, np.ndarray]:
    """What a metric's pictures are compared with: made once, and kept in the store."""
    if not metric.has_reference or isinstance(metric.features, ImageScorer):
        return {}
    name = f"reference-{identity(metric)}"
    path = store.root / "sets" / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception:  # whatever numpy and zip raise on a file that is not there, or is cut
        with metric.features.open(device) as extract:
            made = metric.reference(extract)
        if not all(np.isfinite(one).all() for one in made.values() if one.dtype.kind == "f"):
            raise ValueError(f"{metric.name} would compare with features that are not finite") from None
        store.keep_arrays(name, made)
        return made


def measure(metric: SetMetric, job: Scorable, store: Store, device: str = "cpu") -> Interval | None:
    """The metric of a row's pictures that have features, kept by what it read; None if too few have, or it is nan.

    Raises what the metric raises, and ValueError where what it gives is infinite; that is not kept.
    """
    features, names = _of(metric.features, job, store)
    reads = metric.features.reads if isinstance(metric.features, ImageScorer) else ()
    there = [(picture, features[name]) for picture, name in zip(job.pictures, names, strict=True) if name in features]
    if len(there) < metric.fewest:
        return None
    pictures = [picture for picture, _ in there]
    if (known := kept(store, identity(metric), job.cell.key, pictures, reads)) is not None:
        return known
    rows, prompts = np.stack([row for _, row in there]), [picture.prompt for picture in pictures]
    found = metric.measure(rows, prompts, reference(metric, store, device))
    if math.isnan(found.value):
        return None
    if math.isinf(found.value):
        raise ValueError(f"it gave no finite number for {len(pictures)} pictures")
    record = [x if math.isfinite(x) else None for x in found]  # JSON has no infinity: an end that is null has no bound
    store.keep(set_name(identity(metric), job.cell.key, pictures, reads), record)
    return found


def _of(features: Features | ImageScorer, job: Scorable, store: Store) -> tuple[Mapping[str, np.ndarray], list[str]]:
    """The vectors of a job's pictures by name, and these names in the pictures' order; scores have one dimension."""
    if isinstance(features, ImageScorer):
        scores = store.scores(job.cell, identity(features))
        return {name: np.array([x]) for name, x in scores.items()}, score_names(features.reads, job.prompts, job.limit)
    return store.features(job.cell, identity(features)), job.names()
