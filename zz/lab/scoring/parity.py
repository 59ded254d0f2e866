"""One score beside another of the same pictures: how far a scorer of zz is from its authors' own package."""

import math
from collections.abc import Mapping
from typing import NamedTuple


class Parity(NamedTuple):
    """How far two scores of the same pictures are apart."""

    pictures: int  # that both have
    largest: float  # absolute difference; nan where they share no picture
    at: str | None  # the picture with it
    mean: float  # absolute difference
    shift: float  # mean of ours - theirs
    only_ours: int  # pictures that only one of them has
    only_theirs: int


def parity(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Parity:
    """Of two scores by picture. Raises ValueError on a value that is not finite.

    The two have to be on one scale: that of hps_v21 and hpsv2_official, say, and not of hps_v21 and hps_v20.
    """
    for values in (ours, theirs):
        for name, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"the score of {name} is {value}, not a number: score it again, or leave it out")
    apart = {name: ours[name] - theirs[name] for name in ours if name in theirs}
    only = len(ours) - len(apart), len(theirs) - len(apart)
    if not apart:
        return Parity(0, math.nan, None, math.nan, math.nan, *only)
    at = max(apart, key=lambda name: abs(apart[name]))
    n = len(apart)
    mean = math.fsum(map(abs, apart.values())) / n
    return Parity(n, abs(apart[at]), at, mean, math.fsum(apart.values()) / n, *only)
