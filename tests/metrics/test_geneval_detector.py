"""GenEval's detector: mmdet's rule on raw logits, the pictures' own size, and the loading path."""

import math
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from tests.metrics.geneval import COLOUR_JUDGE, DOG, picture, tiny_network
from zz.data.base import Prompt
from zz.scorers.geneval.detector import HFDetector, at_own_size, instances, pixels
from zz.scorers.geneval.names import NAMES
from zz.scorers.geneval.scene import scene
from zz.scorers.geneval.scorer import GenEval


def by_mmdets_rule(classes, masks, at_most):
    """Query by query and pixel by pixel."""
    pairs = []
    for q, row in enumerate(classes.tolist()):
        total = sum(math.exp(x) for x in row)
        pairs += [(math.exp(x) / total, q, c) for c, x in enumerate(row[:-1])]
    found = []
    for share, q, c in sorted(pairs, reverse=True)[:at_most]:
        mask = masks[q].tolist()
        there = [(y, x) for y, line in enumerate(mask) for x, value in enumerate(line) if value > 0]
        inside = sum(1 / (1 + math.exp(-mask[y][x])) for y, x in there) / (len(there) + 1e-6)
        ys, xs = [y for y, _ in there], [x for _, x in there]
        box = [min(xs), min(ys), max(xs) + 1, max(ys) + 1] if there else [0, 0, 0, 0]
        found.append((share * inside, c, box))
    return sorted(found, reverse=True)


def test_instances_are_by_mmdets_rule_boxes_and_scores_exactly():
    rng = torch.Generator().manual_seed(0)
    classes = torch.randn(9, 6, generator=rng, dtype=torch.float64) * 3
    masks = torch.randn(9, 11, 14, generator=rng, dtype=torch.float64) - 1.5
    masks[0] = -1  # a query with an empty mask
    masks[1, 2:5, 3:9], masks[1, 7:, 1] = 4.0, 2.0  # one of two pieces: the box is around both
    masks[2] = 3.0  # one of the whole picture
    classes[0, 1], classes[2, 4] = 9.0, 8.0
    scores, names, boxes, inside = instances(classes, masks, at_most=20)
    wanted = by_mmdets_rule(classes, masks, 20)
    assert scores.tolist() == pytest.approx([score for score, _, _ in wanted], rel=1e-12)
    assert [(c, box) for c, box in zip(names.tolist(), boxes.tolist(), strict=True)][:18] == [w[1:] for w in wanted][
        :18
    ]
    assert [0, 0, 14, 11] in boxes.tolist() and [0, 0, 0, 0] in boxes.tolist()
    assert inside.dtype == torch.bool and inside.shape == (20, 11, 14)


def test_one_query_may_be_several_objects_and_void_takes_its_share():
    classes = torch.tensor([[2.0, 2.0, -20.0, 0.0]])
    scores, names, boxes, _ = instances(classes, torch.full((1, 3, 3), 20.0), at_most=2)
    assert sorted(names.tolist()) == [0, 1]
    share = math.exp(2) / (2 * math.exp(2) + math.exp(-20) + 1)
    assert scores.tolist() == pytest.approx([share] * 2, rel=1e-5)
    assert boxes.tolist() == [[0, 0, 3, 3]] * 2


@pytest.mark.parametrize(
    ("size", "inner", "padded"),
    [
        ((512, 512), (800, 800), (800, 800)),
        ((1024, 1024), (800, 800), (800, 800)),
        ((300, 100), (444, 1333), (448, 1344)),
    ],
)
def test_pictures_are_resized_into_1333_by_800_and_padded_to_32(size, inner, padded):
    image = Image.new("RGB", size, (124, 116, 104))
    for how in ("pil", "cv2"):
        x, found = pixels(image, how)
        assert found == inner and tuple(x.shape) == (3, *padded)
        assert x[:, : inner[0], : inner[1]].abs().max() < 0.02  # about the mean
        assert (x[:, inner[0] :] == 0).all() and (x[:, :, inner[1] :] == 0).all()


def test_masks_come_back_at_the_pictures_own_size_without_the_padding():
    masks = torch.full((1, 8, 8), -5.0)  # of a padded 32 x 32, of which 32 x 20 is the picture
    masks[0, :, 4:] = 5.0
    found = at_own_size(masks, (32, 32), (32, 20), (64, 40))
    assert found.shape == (1, 64, 40)
    assert (found[0] > 0).nonzero()[:, 1].min() == 32  # the right half of 32 is from 16 on, of 20, and so from 32 of 40


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mask2former")
    tiny_network().save_pretrained(folder)
    return str(folder)


def test_a_saved_mask2former_runs_through_the_real_loading_path(tiny):
    image = picture()
    with HFDetector(tiny).open() as detect:
        found = detect(image)
    assert len(found) == 100  # the best pairs of 12 queries and 80 classes
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    from transformers import Mask2FormerForUniversalSegmentation

    network = Mask2FormerForUniversalSegmentation.from_pretrained(tiny).eval()
    x, inner = pixels(image, "pil")
    with torch.no_grad():
        said = network(pixel_values=x[None])
    masks = at_own_size(said.masks_queries_logits[0], x.shape[1:], inner, (48, 64))
    scores, numbers, boxes, _ = instances(said.class_queries_logits[0], masks)
    assert [f.score for f in found] == pytest.approx(scores.tolist(), rel=1e-5)
    assert [NAMES[i] for i in numbers[:5]] == [f.name for f in found[:5]]
    assert found[0].mask.shape == (48, 64) and found[0].mask.dtype == bool
    assert found[0].box == tuple(boxes[0].tolist())
    assert re.fullmatch("[0-9a-f]{16}", HFDetector(tiny).settings()["detector"])


def test_a_detector_of_random_weights_is_refused_before_any_picture_is_scored(tiny):
    scorer = GenEval(HFDetector(tiny), COLOUR_JUDGE)
    with (
        pytest.raises(ValueError, match=r"scorers.geneval: its detector finds nothing in a drawn street"),
        scorer.open(),
    ):
        pass
    prompt = Prompt("a photo of a dog", DOG)
    with replace(scorer, self_test=False).open() as score:
        assert score([picture()], [prompt]) == [0.0]
        with pytest.raises(ValueError, match="has no tag and include"):
            score([picture()], [Prompt("a dog")])
        with pytest.raises(ValueError, match="asks for 'mouse', which is none of GenEval's 80 classes"):
            score([picture()], [Prompt("x", {"tag": "single_object", "include": [{"class": "mouse", "count": 1}]})])


def test_what_is_no_detector_of_coco_is_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"detector.pretrained=nowhere is neither a folder"):
        HFDetector("nowhere").settings()
    tiny_network(num_labels=7).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="knows 7 classes, not COCO's 80"):
        HFDetector(str(tmp_path)).load()
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "class_predictor" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="is no Mask2Former: it has no class_predictor"):
        HFDetector(str(tmp_path)).load()


def test_the_drawn_street_is_one_picture_with_its_sign_red():
    image = scene()
    assert image.size == (512, 512) and image.getpixel((148, 75)) == (0xB3, 0x15, 0x1B)
    assert scene() is image


# -- mmdet's checkpoint ----------------------------------------------------------------------------------------------
