"""The control of equal compute: standard sampling with so many steps that it costs as much."""

from collections.abc import Callable
from typing import NamedTuple

from zz.diffusion.cost import Cost


class MatchedSteps(NamedTuple):
    """How many steps of standard sampling cost as much, rounded up."""

    by_predictions: int
    by_evals: int


def compute_matched(total: Cost, standard: Callable[[int], Cost]) -> MatchedSteps:
    """Steps of standard sampling that cost at least `total`: the compute-matched controls.

    standard: what so many steps of it cost, on `UniformInTime(base, T)` nodes, since leading spacing moves its first
              node with the number of steps
    """
    once = standard(total.predictions)
    steps = -(-total.evals * once.predictions // once.evals)
    while standard(steps).evals < total.evals:
        steps += 1
    while steps > 1 and standard(steps - 1).evals >= total.evals:
        steps -= 1
    return MatchedSteps(total.predictions, steps)
