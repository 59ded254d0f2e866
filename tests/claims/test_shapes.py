"""What docs/findings.md says of the embedded model, at its tuned guidance of 4 and in float32."""

import pytest

from zz.data.shapes_prompts import Shapes
from zz.diffusion.samplers.guidance_matched import GuidanceMatched
from zz.diffusion.samplers.standard import Standard
from zz.diffusion.samplers.zigzag import Zigzag
from zz.diffusion.schedules.base import ModelSchedule
from zz.diffusion.schedules.uniform import UniformInTime
from zz.lab.stats import winning
from zz.models.shapes import shapes
from zz.sampling import sample
from zz.scorers.shapes.scorers import ShapesAlignment, ShapesCorrect

pytest.importorskip("diffusers")
pytestmark = [pytest.mark.ci, pytest.mark.timeout(900)]


def scored(arms, n):
    """Arm -> score -> prompt -> value, on the first n prompts."""
    prompts = Shapes().prompts[:n]
    texts = [prompt.text for prompt in prompts]
    found = {}
    with shapes().open() as pipeline, ShapesAlignment().open() as alignment, ShapesCorrect().open() as correct:
        for name, (sampler, steps, schedule) in arms.items():
            images = sample(
                pipeline, texts, sampler=sampler, steps=steps, schedule=schedule, size=(32, 32), batch_size=32
            )
            found[name] = {
                "alignment": dict(enumerate(alignment(images, prompts))),
                "correct": dict(enumerate(correct(images, prompts))),
            }
    return found


@pytest.fixture(scope="module")
def few():
    arms = {
        "standard": (Standard(4.0), 4, None),
        "zigzag": (Zigzag(4.0, 0.0), 4, None),
        "no gap": (Zigzag(4.0, 4.0), 4, None),
        "matched": (GuidanceMatched(4.0, 0.0), 4, None),
        "more steps": (Standard(4.0), 10, UniformInTime(ModelSchedule(), 4)),  # as many predictions as zigzag
    }
    return scored(arms, 553)


@pytest.fixture(scope="module")
def many():
    arms = {
        "standard": (Standard(4.0), 20, None),
        "zigzag": (Zigzag(4.0, 0.0), 20, None),
        "matched": (GuidanceMatched(4.0, 0.0), 20, None),
    }
    return scored(arms, 200)


def gain(found, ours, theirs, score="alignment"):
    return winning(found[ours][score], found[theirs][score]).difference


def test_the_embedded_model_is_as_good_as_its_card_says(many):
    correct = many["standard"]["correct"]
    assert 0.60 < sum(correct.values()) / len(correct) < 0.80


def test_at_four_steps_a_gap_gains_over_standard_and_without_one_it_loses(few):
    assert gain(few, "zigzag", "standard").low > 0
    assert gain(few, "no gap", "standard").high < 0


def test_at_four_steps_it_is_more_than_guidance(few):
    assert gain(few, "zigzag", "matched").low > 0.1


def test_at_four_steps_more_steps_do_as_well_for_the_same_predictions(few):
    assert gain(few, "zigzag", "more steps").low <= 0


def test_at_twenty_steps_it_is_guidance_and_does_not_gain(many):
    found = gain(many, "zigzag", "matched")
    assert abs(found.value) < 0.04 and found.low < 0.02
    assert gain(many, "zigzag", "standard").low <= 0
