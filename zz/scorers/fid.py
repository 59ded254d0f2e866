"""Fréchet distance to real pictures: FID with Inception's features (Heusel et al., 2017), and its kin with others'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from zz.data.base import Prompt
from zz.scorers.base import Extract, Features, Needs, SetMetric
from zz.scorers.frechet import Moments, Tally, frechet, nearby, tally
from zz.scorers.interval import Interval, delete_a_group, groups
from zz.scorers.order import units
from zz.scorers.reference import Reference, check_dimensions


@dataclass(frozen=True)
class FrechetDistance(SetMetric):
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of two sets' means and covariances.

    Its interval is the jackknife's, over prompts; it grows as pictures become fewer, which no interval shows.

    of:      the features
    against: the real pictures
    """

    fewest: ClassVar[int] = 3  # for a covariance when one is left out
    has_reference: ClassVar[bool] = True
    of_covariance: ClassVar[bool] = True

    of: Features
    against: Reference
    name: str = "fid"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "Fréchet distance"
    higher_is_better: ClassVar[bool | None] = False

    @property
    def features(self) -> Features:
        return self.of

    @property
    def needs(self) -> Needs:
        mine = self.of.needs
        published = (self.against.file,) if self.against.file and not self.against.path else ()
        return Needs(mine.weights, (*mine.files, *published), mine.extras)

    def settings(self):
        return {"against": self.against.identity(self.name)}

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        return self.against.moments(extract, self.name)._asdict()

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        theirs = Moments(reference["mean"], reference["covariance"])
        check_dimensions(self.name, features.shape[1], len(theirs.mean))
        group = groups(units(prompts))
        parts = [tally(features[group == g]) for g in np.unique(group)]
        # each group's own sums are made once, and merged anew without one of them
        left_out = [reduce(Tally.merged, [*parts[:g], *parts[g + 1 :]]) for g in range(len(parts)) if len(parts) > 1]
        without = nearby((one.moments for one in left_out), theirs) if all(one.n > 1 for one in left_out) else []
        return delete_a_group(frechet(reduce(Tally.merged, parts).moments, theirs), without)
