"""Equal compute: how many steps, and how many of them reflected, a number of guided predictions pays for.

paper: half of the predictions are steps, the rest reflects the first of them, T_z = T_s / 2 and lambda = T_z / 2 for
       k = rounds = 1, so that T_z + 2 * lambda = T_s (Bai et al. 2025, "Efficiency Comparison", Figure 10)
full:  lambda as it is given, or its default; as many steps as that leaves

A sampler without lambda, or whose lambda costs nothing, gets the most steps that do not cost more, by either rule.
"""

from dataclasses import replace
from typing import Any, Literal, NamedTuple

from zz.diffusion.samplers.base import Sampler
from zz.diffusion.validate import check_choice, check_count

Rule = Literal["full", "paper"]


class Fitted(NamedTuple):
    """A sampler and its number of steps."""

    steps: int
    sampler: Sampler


def fit(sampler: Sampler, nfe: int, rule: Rule = "full") -> Fitted:
    """What `nfe` guided predictions an image pay for. Raises ValueError where they pay for nothing of the kind."""
    check_count("budget.nfe", nfe, 1)
    check_choice("budget.rule", rule, ("full", "paper"))
    by = _half if rule == "paper" and _lambda_costs(sampler) else _most
    if found := by(sampler, nfe):
        return found
    least = next((n for n in range(nfe + 1, nfe + 1000) if by(sampler, n)), None)
    remedy = f"the least that does is {least}" if least else "lower lambda, k or rounds"
    raise ValueError(f"budget.nfe={nfe} does not pay for {sampler} (budget.rule={rule}); {remedy}")


def _most(sampler: Sampler, nfe: int) -> Fitted | None:
    """The most steps with lambda as it stands. No sampler takes less than a prediction a step."""
    return next((Fitted(T, sampler) for T in range(nfe, 0, -1) if _cost(sampler, T) <= nfe), None)


def _half(sampler: Any, nfe: int) -> Fitted | None:
    """nfe // 2 steps, and the largest lambda that the rest pays for; the last step is never reflected."""
    if sampler.lambda_ is not None:
        raise ValueError(f"budget.rule=paper chooses lambda, but lambda={sampler.lambda_} is given; choose lambda=null")
    T = nfe // 2
    ones = (Fitted(T, replace(sampler, lambda_=lambda_)) for lambda_ in range(T - 1, 0, -1))
    return next((one for one in ones if _cost(one.sampler, T) <= nfe), None)


def _lambda_costs(sampler: Any) -> bool:
    """Whether it takes predictions to reflect one step more."""
    if not hasattr(sampler, "lambda_"):
        return False
    one, two = (replace(sampler, lambda_=n).nfe(1000) for n in (1, 2))
    return two > one


def _cost(sampler: Sampler, T: int) -> float:
    """Guided predictions an image; infinite where T steps do not fit the sampler."""
    try:
        return sampler.nfe(T)
    except ValueError:
        return float("inf")
