"""What docs/findings.md says of the exact model, on its 56 prompts at T = 50 and gamma1 = 2."""

import pytest

from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.lab.stats import winning
from zz.models.mixture import Mixture
from zz.sampling import sample
from zz.scorers.mixture.atypicality import Atypicality
from zz.scorers.mixture.log_odds import LogOdds


@pytest.fixture(scope="module")
def scored():
    from zz.data.mixture import ScenePrompts

    prompts = ScenePrompts().prompts
    samplers = {
        "standard": Standard(2.0),
        "zigzag": Zigzag(2.0, 0.0),
        "matched": GuidanceMatched(2.0, 0.0),
        "no gap": Zigzag(2.0, 2.0),
        "negative gap": Zigzag(2.0, 3.0),
    }
    out = {}
    with LogOdds().open() as log_odds, Atypicality().open() as atypicality:
        for name, sampler in samplers.items():
            images = sample(Mixture(), [prompt.text for prompt in prompts], sampler=sampler)
            out[name] = {
                "alignment": dict(enumerate(log_odds(images, prompts))),
                "atypicality": dict(enumerate(atypicality(images, prompts))),
            }
    return out


def against(scored, ours, theirs, score="alignment"):
    return winning(scored[ours][score], scored[theirs][score], score == "alignment")


def test_a_gap_gains_alignment_over_standard(scored):
    found = against(scored, "zigzag", "standard")
    assert found.rate.low > 0.5 and found.difference.low > 0


def test_the_gain_shrinks_with_the_gap_and_turns_over_beyond_it(scored):
    gains = [against(scored, name, "standard").difference.value for name in ("zigzag", "no gap", "negative gap")]
    assert gains[0] > gains[1] > gains[2] and gains[2] < 0


def test_in_the_mean_it_is_guidance(scored):
    """The mean difference to the guidance-matched control is not told from zero, and small beside the gain."""
    control, gain = against(scored, "zigzag", "matched").difference, against(scored, "zigzag", "standard").difference
    assert control.low < 0 < control.high
    assert abs(control.value) < 0.25 * gain.value


def test_every_reflection_costs_fidelity_whatever_the_gap(scored):
    for name in ("zigzag", "no gap"):
        assert against(scored, name, "standard", "atypicality").rate.high < 0.5
    assert against(scored, "matched", "standard", "atypicality").difference.high < 0.01
