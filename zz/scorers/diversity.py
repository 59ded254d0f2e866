"""Diversity: how far apart pictures of one prompt are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zz.scorers.base import Features, SetMetric
from zz.scorers.interval import Interval, mean


@dataclass(frozen=True)
class Diversity(SetMetric):
    """Mean distance of the features of two pictures of one prompt, with several seeds. The interval is over prompts.

    of: the features
    """

    of: Features
    name: str = "diversity"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "distance"
    higher_is_better: ClassVar[bool | None] = True

    @property
    def features(self) -> Features:
        return self.of

    def settings(self):
        return {}

    def measure(self, features, prompts, reference):
        return spread(features, [prompt.text for prompt in prompts])


def spread(features: np.ndarray, groups: Sequence[object]) -> Interval:
    """Diversity: mean distance of two pictures of one group, that is of one prompt with several seeds.

    The interval is over groups.

    features: one row a picture  # (N, D)
    groups:   which group each belongs to; a group of one says nothing  # N
    """
    places: dict[object, list[int]] = {}
    for i, group in enumerate(groups):
        places.setdefault(group, []).append(i)
    means = []
    for mine in places.values():
        if len(mine) > 1:
            x = features[mine]
            distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
            means.append(distances.sum() / (len(mine) * (len(mine) - 1)))
    return mean(means)
