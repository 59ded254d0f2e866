"""GenEval's summary: the mean over its six tags, and the share of prompts that are met at least once.

Both are of a whole run only: the authors' script averages whatever is there, and incomplete runs have been reported.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zz.data.base import Prompt
from zz.scorers.base import ImageScorer, SetMetric
from zz.scorers.geneval.names import PROMPTS
from zz.scorers.interval import Interval, finite

Z = 1.959963984540054  # of the normal distribution, 97.5 %


@dataclass(frozen=True)
class _Summary(SetMetric):
    """of: the scorer whose verdicts are summed up"""

    of: ImageScorer
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool | None] = True

    @property
    def features(self) -> ImageScorer:
        return self.of

    def settings(self):
        return {}

    def _by_tag(self, verdicts: np.ndarray, prompts: Sequence[Prompt]) -> dict[str, list[np.ndarray]]:
        """By tag, the verdicts of each prompt. Raises ValueError with what is missing."""
        found: dict[str, dict[tuple[str, int | None], list[float]]] = {}
        for (value,), prompt in zip(finite(verdicts, "verdicts"), prompts, strict=True):
            tag = found.setdefault(str(prompt.meta.get("tag")), {})
            tag.setdefault((prompt.text, prompt.seed), []).append(float(value))
        numbers = {len(one) for tag in found.values() for one in tag.values()}
        most = max(numbers, default=0)
        wrong = [f"{tag} has {len(found.get(tag, ()))} of {n} prompts" for tag, n in PROMPTS.items()]
        wrong = [said for said, (tag, n) in zip(wrong, PROMPTS.items(), strict=True) if len(found.get(tag, ())) != n]
        wrong += [f"{tag} is no tag of GenEval's" for tag in found if tag not in PROMPTS]
        short = sum(len(one) < most for tag in found.values() for one in tag.values())
        wrong += [f"{short} prompts have fewer than {most} pictures"] if short else []
        if wrong:
            raise ValueError(f"GenEval's summary is of all 553 prompts with as many pictures each: {'; '.join(wrong)}")
        return {tag: [np.array(one) for one in found[tag].values()] for tag in PROMPTS}


@dataclass(frozen=True)
class GenEvalOverall(_Summary):
    """The mean over the six tags of the share of correct pictures. Its interval is over prompts, within tags."""

    name: str = "geneval_overall"
    unit: ClassVar[str] = "mean over tags"

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        shares = [np.array([one.mean() for one in tag]) for tag in self._by_tag(features, prompts).values()]
        value = float(np.mean([x.mean() for x in shares]))
        half = Z * math.sqrt(sum(x.var(ddof=1) / len(x) for x in shares)) / len(shares)
        return Interval(value, max(0.0, value - half), min(1.0, value + half))


@dataclass(frozen=True)
class GenEvalPrompts(_Summary):
    """The share of prompts of which at least one picture is correct, with Wilson's interval; it grows with repeats."""

    name: str = "geneval_prompts"
    unit: ClassVar[str] = "prompts correct"

    def measure(self, features: np.ndarray, prompts: Sequence[Prompt], reference: Mapping[str, np.ndarray]) -> Interval:
        each = [float(one.any()) for tag in self._by_tag(features, prompts).values() for one in tag]
        n, p = len(each), float(np.mean(each))
        centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n * n))
        return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


__all__ = ["GenEvalOverall", "GenEvalPrompts"]
