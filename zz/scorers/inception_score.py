"""Inception Score (Salimans et al., 2016)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import log_softmax

from zz.data.base import Prompt
from zz.diffusion.validate import Positive
from zz.scorers.base import Extract, Features, SetMetric
from zz.scorers.inception import InceptionFeatures
from zz.scorers.interval import Interval, finite, mean
from zz.scorers.order import SEED, Order, by_hash


@dataclass(frozen=True)
class InceptionScore(SetMetric):
    """exp of the mean KL(p(class | picture) || p(class)), the mean over splits; its interval is Student's over splits.

    It is of the same stored features as FID: the classes' logits are one matrix product away, without bias as in the
    original. It grows with the pictures of a split, and knows no prompt and no real picture.

    of:     the features
    splits: parts of the set, each with a p(class) of its own
    order:  torch_fidelity: shuffled by RandomState(2020); prompt: as the prompts are; hash: by a hash of text and seed,
            which keeps the repeats of a prompt in one split
    least:  pictures below which it is refused
    """

    has_reference: ClassVar[bool] = True  # the classifier, kept so that the network is not opened again

    of: InceptionFeatures
    splits: Positive = 10
    order: Order = "torch_fidelity"
    least: Positive = 1000
    name: str = "inception_score"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "inception score"
    higher_is_better: ClassVar[bool | None] = True

    @property
    def features(self) -> Features:
        return self.of

    def settings(self):
        return {"splits": self.splits, "order": self.order}

    def reference(self, extract: Extract) -> Mapping[str, np.ndarray]:
        return {"classifier": self.of.network().fc.weight.numpy().astype(np.float64)}

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        self.enough(len(features), max(self.least, self.splits))
        x = finite(features, "features")
        if self.order == "torch_fidelity":
            x = x[np.random.RandomState(SEED).permutation(len(x))]
        elif self.order == "hash":
            x = x[by_hash(x, prompts)]
        return mean(inception_scores(x @ reference["classifier"].T, self.splits))


def inception_scores(logits: np.ndarray, splits: int) -> list[float]:
    """One a split, in the order of the rows  # (N, C)"""
    found, n = [], len(logits)
    for i in range(splits):
        log_p = log_softmax(logits[i * n // splits : (i + 1) * n // splits], axis=1)
        p = np.exp(log_p)
        found.append(float(np.exp((p * (log_p - np.log(p.mean(0)))).sum(1).mean())))
    return found
