"""What a number of guided predictions pays for, against counts by hand and an exhaustive search."""

import pytest

from zz.diffusion.budget import fit
from zz.diffusion.samplers.end_to_end import EndToEnd
from zz.diffusion.samplers.fixed_point import FixedPoint
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.implicit_zigzag import ImplicitZigzag
from zz.diffusion.samplers.repaint import RePaint
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag


@pytest.mark.parametrize(
    ("sampler", "nfe", "rule", "steps", "lambda_", "costs"),
    [
        (Zigzag(), 100, "paper", 50, 25, 100),  # T_z = T_s / 2, lambda = T_z / 2
        (Zigzag(), 50, "paper", 25, 12, 49),
        (Zigzag(), 51, "paper", 25, 13, 51),
        (Zigzag(k=2), 100, "paper", 50, 12, 98),
        (Zigzag(rounds=3), 100, "paper", 50, 8, 98),
        (Zigzag(), 50, "full", 17, None, 49),  # 3 T - 2 <= 50
        (Zigzag(lambda_=10), 50, "full", 30, 10, 50),
        (Zigzag(lambda_=10), 49, "full", 29, 10, 49),
        (Zigzag(k=2), 50, "full", 11, None, 47),  # 5 T - 8 <= 50
        (Resampling(resamples=2), 100, "paper", 50, 25, 100),
        (ImplicitZigzag(), 50, "paper", 25, 24, 49),  # all but the last step
        (ImplicitZigzag(gap="last"), 50, "paper", 49, None, 50),  # lambda costs nothing
        (GuidanceMatched(), 50, "paper", 50, None, 50),
        (FixedPoint(iterations=2), 100, "paper", 50, 12, 98),
        (Standard(), 50, "paper", 50, None, 50),
        (Standard(), 50, "full", 50, None, 50),
        (EndToEnd(), 50, "full", 16, None, 48),
        (EndToEnd(), 50, "paper", 16, None, 48),
    ],
    ids=repr,
)
def test_by_hand(sampler, nfe, rule, steps, lambda_, costs):
    found = fit(sampler, nfe, rule)
    assert (found.steps, getattr(found.sampler, "lambda_", None)) == (steps, lambda_)
    assert found.sampler.nfe(found.steps) == costs <= nfe


@pytest.mark.parametrize("sampler", [Zigzag(k=2), RePaint(5.5, 3, 2), EndToEnd(), Resampling(lambda_=4)], ids=repr)
def test_no_number_of_steps_that_is_paid_for_is_larger(sampler):
    def affordable(T, nfe):
        try:
            return sampler.nfe(T) <= nfe
        except ValueError:
            return False

    for nfe in range(9, 60):
        assert fit(sampler, nfe).steps == max(T for T in range(1, 200) if affordable(T, nfe))


@pytest.mark.parametrize(
    ("sampler", "nfe", "rule", "message"),
    [
        (EndToEnd(), 2, "full", r"budget.nfe=2 .*EndToEnd.*least that does is 3"),
        (Zigzag(lambda_=49), 100, "full", "least that does is 147"),  # 49 steps, all of them reflected
        (Zigzag(), 3, "paper", "least that does is 4"),
        (Zigzag(lambda_=3), 50, "paper", "budget.rule=paper chooses lambda, but lambda=3"),
        (Zigzag(lambda_=5000), 50, "full", "lower lambda"),
        (Zigzag(), 0, "full", "budget.nfe=0"),
        (Zigzag(), 50.0, "full", "budget.nfe=50.0"),
        (Zigzag(), 50, "half", "budget.rule='half'.*full, paper"),
    ],
)
def test_what_is_not_paid_for_is_refused(sampler, nfe, rule, message):
    with pytest.raises(ValueError, match=message):
        fit(sampler, nfe, rule)
