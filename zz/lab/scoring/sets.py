"""Set metrics, computed from stored features and kept by the pictures that they read."""

import math
from collections.abc import Mapping

import numpy as np

from zz.lab.job import Job
from zz.lab.scoring.names import identity, kept, set_name
from zz.lab.stats import Interval
from zz.lab.store.store import Store
from zz.scorers.base import SetMetric


def reference(metric: SetMetric, store: Store, device: str = "cpu") -> Mapping[str, np.ndarray]:
    """What a metric's pictures are compared with: made once, and kept in the store."""
    if not metric.has_reference:
        return {}
    name = f"reference-{identity(metric)}"
    path = store.root / "sets" / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception:  # whatever numpy and zip raise on a file that is not there, or is cut
        with metric.features.open(device) as extract:
            made = metric.reference(extract)
        store.keep_arrays(name, made)
        return made


def measure(metric: SetMetric, job: Job, store: Store, device: str = "cpu") -> Interval | None:
    """The metric of a row's pictures that have features, kept by what it read; None if too few have, or it is nan."""
    features = store.features(job.cell, identity(metric.features))
    there = [
        (picture, features[name]) for picture, name in zip(job.pictures, job.names(), strict=True) if name in features
    ]
    if len(there) < metric.fewest:
        return None
    pictures = [picture for picture, _ in there]
    if (known := kept(store, identity(metric), job.cell.key, pictures)) is not None:
        return known
    rows, prompts = np.stack([row for _, row in there]), [picture.prompt for picture in pictures]
    found = metric.measure(rows, prompts, reference(metric, store, device))
    if not math.isfinite(found.value):
        return None
    record = [x if math.isfinite(x) else None for x in found]  # JSON has no infinity: an end that is null has no bound
    store.keep(set_name(identity(metric), job.cell.key, pictures), record)
    return found
