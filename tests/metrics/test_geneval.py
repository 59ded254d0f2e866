"""GenEval: the rules against a second derivation of the protocol, the detector against mmdet's rule, and the rest."""

import json
import math
import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.make import job, kept
from zz.data.base import Prompt, PromptList, picture_name
from zz.hub.published import Published
from zz.lab.results import Results, meta_is
from zz.lab.scoring.names import about, identity, score_name
from zz.lab.scoring.scoring import kinds
from zz.lab.scoring.sets import measure
from zz.lab.store.store import Store
from zz.scorers.geneval import rules
from zz.scorers.geneval.colours import ClipColours, crop
from zz.scorers.geneval.colours import pixels as clip_pixels
from zz.scorers.geneval.detections import GenEvalDetections
from zz.scorers.geneval.detector import Found, HFDetector, MMDetDetector, at_own_size, instances, pixels
from zz.scorers.geneval.mmdet import converted, load, swin_small
from zz.scorers.geneval.names import COLOURS, NAMES, PROMPTS
from zz.scorers.geneval.rules import Detection, verdict
from zz.scorers.geneval.scene import scene
from zz.scorers.geneval.scorer import GenEval, coloured, threshold
from zz.scorers.geneval.summary import GenEvalOverall, GenEvalPrompts

# -- the rules -------------------------------------------------------------------------------------------------------


def protocol(objects, meta):
    """GenEval's protocol a second time: objects as (class, score, left, top, right, bottom, colour)."""
    bar = 0.9 if meta["tag"] == "counting" else 0.3
    seen = {}
    for one in sorted(objects, key=lambda one: one[1], reverse=True):
        if one[1] > bar and len(seen.setdefault(one[0], [])) < 16:
            seen[one[0]].append(one)
    wrong, usable = [], []
    for clause in meta["include"]:
        top = seen.get(clause["class"], [])[: clause["count"]]
        why = "count" if len(top) < clause["count"] else None
        if why is None and "color" in clause and any(one[6] != clause["color"] for one in top):
            why = "color"
        if why is None and "position" in clause:
            way, target = clause["position"]
            if usable[target] is None:
                why = "target"
            elif not all(holds(a, b, way) for a in top for b in usable[target]):
                why = "position"
        usable.append(None if why else top)
        wrong += [why] if why else []
    wrong += ["exclude" for clause in meta.get("exclude", []) if len(seen.get(clause["class"], [])) >= clause["count"]]
    return wrong


def holds(a, b, way):
    """Whether a is there, seen from b: the offset of centres, less a tenth of both sizes, over its whole length."""
    centre_a, centre_b = (np.array([o[2] + o[4], o[3] + o[5]]) / 2 for o in (a, b))
    sizes = np.array([a[4] - a[2] + b[4] - b[2], a[5] - a[3] + b[5] - b[3]])
    offset = centre_a - centre_b
    reduced = np.array([math.copysign(max(abs(o) - 0.1 * s, 0.0), o) for o, s in zip(offset, sizes, strict=True)])
    if (np.abs(reduced) < 1e-3).all():
        return False
    across, down = reduced / math.sqrt(offset @ offset)
    return {"left of": across < -0.5, "right of": across > 0.5, "above": down < -0.5, "below": down > 0.5}[way]


def records():
    """A record of each tag, and of each edge beyond what the benchmark's own have."""
    yield {"tag": "single_object", "include": [{"class": "dog", "count": 1}]}
    yield {"tag": "two_object", "include": [{"class": "dog", "count": 1}, {"class": "cat", "count": 1}]}
    for n in (1, 2, 3, 4):
        exact = [{"class": "dog", "count": n}]
        yield {"tag": "counting", "include": exact, "exclude": [{"class": "dog", "count": n + 1}]}
    yield {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}]}
    yield {"tag": "colors", "include": [{"class": "dog", "count": 2, "color": "red"}]}
    for way in ("left of", "right of", "above", "below"):
        include = [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": [way, 0]}]
        yield {"tag": "position", "include": include}
        yield {"tag": "position", "include": [dict(include[0], count=2), dict(include[1], count=2)]}
        yield {"tag": "position", "include": [dict(include[0], color="red"), dict(include[1], color="blue")]}
    two = [{"class": "dog", "count": 1, "color": "red"}, {"class": "cat", "count": 1, "color": "blue"}]
    yield {"tag": "color_attr", "include": two}
    yield {"tag": "color_attr", "include": [two[0], dict(two[0], color="blue")]}  # one class in two colours


def constructed(rng, n):
    """Objects on a coarse grid, so that offsets of nothing, of 45 degrees, and scores at the thresholds come up."""
    for _ in range(n):
        left, top, width, height = rng.integers(0, 8, 4) * [10, 10, 5, 5] + [0, 0, 5, 5]
        score = rng.choice([0.2, 0.3, 0.30001, 0.5, 0.85, 0.9, 0.90001, 0.95, 0.99]) + rng.integers(0, 10**6) * 1e-12
        score = score if rng.random() < 0.7 else rng.choice([0.3, 0.9])
        name = rng.choice(["dog", "cat", "chair"], p=[0.5, 0.4, 0.1])
        yield name, score, left, top, left + width, top + height, rng.choice(["red", "blue"])


def as_detections(objects):
    found = {}
    for name, score, *box, colour in objects:
        found.setdefault(name, []).append(Detection(tuple(map(float, box)), float(score), {colour: 1.0}))
    return found


def judged(objects, meta):
    return verdict(rules.kept(as_detections(objects), threshold(meta)), meta)


def distinct(objects, bar):
    """Equal scores of one class are in no order that the protocol promises."""
    there = [(one[0], one[1]) for one in objects if one[1] > bar]
    return len(set(there)) == len(there)


def test_the_rules_are_the_protocol_on_thousands_of_constructed_detections():
    rng, tags, faults, asked = np.random.default_rng(0), Counter(), Counter(), 0
    for meta in records():
        for n in (0, 1, 2, 2, 3, 4, 6, 30) * 15:
            objects = list(constructed(rng, n))
            if not distinct(objects, threshold(meta)):
                continue
            wrong, (right, reason) = protocol(objects, meta), judged(objects, meta)
            assert right == (not wrong), (meta, objects, wrong, reason)
            assert len(reason.splitlines()) == len(wrong)
            asked += 1
            tags[meta["tag"], right] += 1
            faults.update(wrong)
    assert asked > 1500
    assert {tag for tag, _ in tags} == PROMPTS.keys()
    assert min(tags.values()) >= 5 and len(tags) == 12, tags  # each tag comes out right and wrong
    assert min(faults[why] for why in ("count", "color", "position", "target", "exclude")) >= 20, faults


def one(name="dog", score=0.95, left=0.0, top=0.0, side=10.0, colour="red"):
    return name, score, left, top, left + side, top + side, colour


DOG, COUNT_2 = next(records()), [*records()][3]
PLACED = {"tag": "position", "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1}]}


def placed(way, *objects):
    PLACED["include"][1]["position"] = [way, 0]
    return judged(objects, PLACED)[0], not protocol(objects, PLACED)


@pytest.mark.parametrize(("score", "there"), [(0.3, False), (np.nextafter(0.3, 1), True)])
def test_the_threshold_is_strict(score, there):
    assert judged([one(score=score)], DOG)[0] is there is not protocol([one(score=score)], DOG)


@pytest.mark.parametrize(("score", "right"), [(0.9, True), (np.nextafter(0.9, 1), False)])
def test_counting_asks_for_more_and_its_exclude_too(score, right):
    """A third dog at .9 is none, so that two are two; without the tag it would be one too many."""
    three = [one(score=0.95), one(score=0.96), one(score=score)]
    assert judged(three, COUNT_2)[0] is right is not protocol(three, COUNT_2)
    assert not judged(three, COUNT_2 | {"tag": "two_object"})[0]


def test_at_most_sixteen_of_a_class_and_overlap_is_no_fault():
    many = [one(score=0.91 + i / 1000) for i in range(20)]  # all in one place: nothing is suppressed
    sixteen = {
        "tag": "counting",
        "include": [{"class": "dog", "count": 16}],
        "exclude": [{"class": "dog", "count": 17}],
    }
    assert judged(many, sixteen)[0] and not protocol(many, sixteen)
    assert not judged(many[:15], sixteen)[0]


def test_a_second_dog_of_the_right_colour_does_not_help():
    red = {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}]}
    assert not judged([one(score=0.99, colour="blue"), one(score=0.95)], red)[0]
    assert judged([one(score=0.99), one(score=0.95, colour="blue")], red)[0]


@pytest.mark.parametrize(
    ("across", "down", "ways"),
    [
        (30, 30, {"right of", "below"}),  # 26 of 42.4 along each axis: at 45 degrees two hold
        (-30, -30, {"left of", "above"}),
        (8, 0, set()),  # 4 of 8 are left: exactly a half is none
        (8.01, 0, {"right of"}),
        (0, -20, {"above"}),
        (4, 4, set()),  # nothing is left of it
        (0, 0, set()),
    ],
)
def test_positions_at_their_edges(across, down, ways):
    cat = one("cat", left=100, top=100, side=20)
    for way in ("left of", "right of", "above", "below"):
        assert placed(way, cat, one(left=100 + across, top=100 + down, side=20)) == (way in ways, way in ways)


def test_a_target_of_the_wrong_colour_is_no_target_and_a_failed_colour_hides_the_position():
    meta = next(m for m in records() if m["tag"] == "position" and "color" in m["include"][0])  # red cat, blue dog
    cat, dog = one("cat", left=100), one(left=0, colour="blue")
    assert judged([cat, dog], meta) == (True, "")
    assert "no target" in judged([(*cat[:-1], "blue"), dog], meta)[1]
    said = judged([cat, one(left=300)], meta)[1]  # wrong in both
    assert "in blue" in said and "left of" not in said


# -- the detector ----------------------------------------------------------------------------------------------------


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


def tiny_config(**more):
    from transformers import Mask2FormerConfig, SwinConfig

    stages = [f"stage{n}" for n in range(1, 5)]
    swin = SwinConfig(embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2], window_size=7, out_features=stages)
    sizes = {"hidden_dim": 32, "mask_feature_size": 32, "feature_size": 32, "num_queries": 12, "num_labels": 80}
    sizes |= {"encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 2}
    return Mask2FormerConfig(
        backbone_config=swin, **(sizes | {"dim_feedforward": 16, "encoder_feedforward_dim": 24} | more)
    )


def tiny_network(**more):
    from transformers import Mask2FormerForUniversalSegmentation

    torch.manual_seed(0)
    network = Mask2FormerForUniversalSegmentation(tiny_config(**more)).eval()
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return network


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mask2former")
    tiny_network().save_pretrained(folder)
    return str(folder)


COLOUR_JUDGE = ClipColours("zz:shapes_clip")


def picture(seed=0, size=(64, 48)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


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


def as_mmdet(state):
    """transformers' weights under mmdet's names, written down from mmdet's classes and not from the converter."""
    found = {}

    def put(name, *parts):
        found[name] = torch.cat([state[part] for part in parts])

    swin, pixel = "model.pixel_level_module.encoder.swin", "model.pixel_level_module.decoder"
    decoder, head = "model.transformer_module.decoder", "panoptic_head"
    pieces = ("weight", "bias")
    for w in pieces:
        put(f"backbone.patch_embed.projection.{w}", f"{swin}.embeddings.patch_embeddings.projection.{w}")
        put(f"backbone.patch_embed.norm.{w}", f"{swin}.embeddings.norm.{w}")
        for s, depth in enumerate((1, 1, 2, 1)):
            put(f"backbone.norm{s}.{w}", f"model.pixel_level_module.encoder.hidden_states_norms.stage{s + 1}.{w}")
            for b in range(depth):
                ours, theirs = f"{swin}.encoder.layers.{s}.blocks.{b}", f"backbone.stages.{s}.blocks.{b}"
                put(f"{theirs}.norm1.{w}", f"{ours}.layernorm_before.{w}")
                put(f"{theirs}.norm2.{w}", f"{ours}.layernorm_after.{w}")
                put(f"{theirs}.attn.w_msa.qkv.{w}", *(f"{ours}.attention.{x}_proj.{w}" for x in "qkv"))
                put(f"{theirs}.attn.w_msa.proj.{w}", f"{ours}.attention.o_proj.{w}")
                put(f"{theirs}.ffn.layers.0.0.{w}", f"{ours}.mlp.fc1.{w}")
                put(f"{theirs}.ffn.layers.1.{w}", f"{ours}.mlp.fc2.{w}")
                table = "relative_position_bias_table"
                put(f"{theirs}.attn.w_msa.{table}", f"{ours}.attention.relative_position_bias.{table}")
                found[f"{theirs}.attn.w_msa.relative_position_index"] = torch.zeros(49, 49)
        for n in range(3):
            put(f"{head}.pixel_decoder.input_convs.{n}.conv.{w}", f"{pixel}.input_projections.{n}.0.{w}")
            put(f"{head}.pixel_decoder.input_convs.{n}.gn.{w}", f"{pixel}.input_projections.{n}.1.{w}")
            put(f"{head}.mask_embed.{2 * n}.{w}", f"{decoder}.mask_predictor.mask_embedder.{n}.0.{w}")
        ours, theirs = f"{pixel}.encoder.layers.0", f"{head}.pixel_decoder.encoder.layers.0"
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            put(f"{theirs}.attentions.0.{part}.{w}", f"{ours}.self_attn.{part}.{w}")
        put(f"{theirs}.norms.0.{w}", f"{ours}.self_attn_layer_norm.{w}")
        put(f"{theirs}.norms.1.{w}", f"{ours}.final_layer_norm.{w}")
        put(f"{theirs}.ffns.0.layers.0.0.{w}", f"{ours}.fc1.{w}")
        put(f"{theirs}.ffns.0.layers.1.{w}", f"{ours}.fc2.{w}")
        for n in range(2):
            ours, theirs = f"{decoder}.layers.{n}", f"{head}.transformer_decoder.layers.{n}"
            put(f"{theirs}.attentions.0.attn.in_proj_{w}", f"{ours}.cross_attn.in_proj_{w}")
            put(f"{theirs}.attentions.0.attn.out_proj.{w}", f"{ours}.cross_attn.out_proj.{w}")
            put(f"{theirs}.attentions.1.attn.in_proj_{w}", *(f"{ours}.self_attn.{x}_proj.{w}" for x in "qkv"))
            put(f"{theirs}.attentions.1.attn.out_proj.{w}", f"{ours}.self_attn.out_proj.{w}")
            put(f"{theirs}.norms.0.{w}", f"{ours}.cross_attn_layer_norm.{w}")
            put(f"{theirs}.norms.1.{w}", f"{ours}.self_attn_layer_norm.{w}")
            put(f"{theirs}.norms.2.{w}", f"{ours}.final_layer_norm.{w}")
            put(f"{theirs}.ffns.0.layers.0.0.{w}", f"{ours}.fc1.{w}")
            put(f"{theirs}.ffns.0.layers.1.{w}", f"{ours}.fc2.{w}")
        put(f"{head}.transformer_decoder.post_norm.{w}", f"{decoder}.layernorm.{w}")
        put(f"{head}.pixel_decoder.lateral_convs.0.gn.{w}", f"{pixel}.adapter_1.1.{w}")
        put(f"{head}.pixel_decoder.output_convs.0.gn.{w}", f"{pixel}.layer_1.1.{w}")
        put(f"{head}.pixel_decoder.mask_feature.{w}", f"{pixel}.mask_projection.{w}")
        put(f"{head}.cls_embed.{w}", f"class_predictor.{w}")
    put(f"{head}.pixel_decoder.lateral_convs.0.conv.weight", f"{pixel}.adapter_1.0.weight")
    put(f"{head}.pixel_decoder.output_convs.0.conv.weight", f"{pixel}.layer_1.0.weight")
    put(f"{head}.pixel_decoder.level_encoding.weight", f"{pixel}.level_embed")
    put(f"{head}.query_embed.weight", "model.transformer_module.queries_embedder.weight")
    put(f"{head}.query_feat.weight", "model.transformer_module.queries_features.weight")
    put(f"{head}.level_embed.weight", "model.transformer_module.level_embed.weight")
    for s in range(3):
        for part in ("reduction.weight", "norm.weight", "norm.bias"):
            x = state[f"{swin}.encoder.layers.{s}.downsample.{part}"]
            # neighbours (row, column) are 00, 10, 01, 11 in transformers; 00, 01, 10, 11 in each channel there
            n00, n10, n01, n11 = x.chunk(4, -1)
            found[f"backbone.stages.{s}.downsample.{part}"] = torch.stack([n00, n01, n10, n11], -1).flatten(-2)
    return found


def test_mmdets_weights_make_the_same_network_strictly(tmp_path):
    network = tiny_network()
    path = tmp_path / "mmdet.pth"
    torch.save({"meta": {"epoch": 50}, "state_dict": as_mmdet(network.state_dict())}, path)
    again = load(path, tiny_config()).eval()
    x = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        ours, theirs = again(pixel_values=x), network(pixel_values=x)
    assert (ours.class_queries_logits == theirs.class_queries_logits).all()
    assert (ours.masks_queries_logits == theirs.masks_queries_logits).all()
    state = as_mmdet(network.state_dict())
    for wrong, said in [
        ({k: v for k, v in state.items() if "query_feat" not in k}, "does not fill the network: .*queries_features"),
        (state | {"roi_head.weight": torch.zeros(1)}, "roi_head.weight is none of mmdet's Mask2Former"),
        (state | {"panoptic_head.cls_embed.bias": torch.zeros(5)}, "is of another size"),
    ]:
        torch.save({"state_dict": wrong}, path)
        with pytest.raises(ValueError, match=said):
            load(path, tiny_config())
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no checkpoint of mmdet's Mask2Former"):
        load(path, tiny_config())


def test_a_patch_merging_of_mmdet_is_an_unfold_with_channels_outermost():
    """The same numbers by torch's unfold, as mmdet merges, and by transformers' module with converted weights."""
    from transformers.models.swin.modeling_swin import SwinPatchMerging

    torch.manual_seed(0)
    reduction, weight, bias = torch.randn(10, 20), torch.randn(20), torch.randn(20)
    x = torch.randn(1, 5, 6, 8)
    merged = torch.nn.functional.unfold(x, 2, stride=2).transpose(1, 2)  # (1, 12, 20)
    wanted = torch.nn.functional.layer_norm(merged, (20,), weight, bias) @ reduction.T
    stage = "backbone.stages.0.downsample"
    state = {f"{stage}.reduction.weight": reduction, f"{stage}.norm.weight": weight, f"{stage}.norm.bias": bias}
    module = SwinPatchMerging(5)
    module.load_state_dict({k.partition("downsample.")[2]: v for k, v in converted(state).items()})
    assert torch.allclose(module(x.flatten(2).transpose(1, 2), (6, 8)), wanted, atol=1e-5)


def test_at_full_size_the_names_of_the_published_checkpoint_fill_the_network():
    """Shapes and names only; the published file itself is not read in any test."""
    from transformers import Mask2FormerForUniversalSegmentation

    with torch.device("meta"):
        network = Mask2FormerForUniversalSegmentation(swin_small())
    shapes = {name: tuple(x.shape) for name, x in network.state_dict().items()}
    assert shapes["class_predictor.weight"] == (81, 256)
    assert shapes["model.transformer_module.queries_features.weight"] == (100, 256)
    assert sum(math.prod(shape) for shape in shapes.values()) == pytest.approx(
        68.8e6, rel=0.01
    )  # as mmdet's table says


def test_the_digits_in_the_name_of_mmdets_file_are_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    detector = MMDetDetector(Published("https://host/mask2former-743b7d99.pth"))
    detector.file.place.parent.mkdir(parents=True)
    detector.file.place.write_bytes(b"others")
    with pytest.raises(ValueError, match=r"is not what its name says: .* not 743b7d99"):
        detector.load()


# -- colours ---------------------------------------------------------------------------------------------------------


def test_an_object_is_cut_out_on_grey_and_corners_are_rounded_half_to_even():
    image, mask = picture(size=(10, 8)), np.zeros((8, 10), dtype=bool)
    mask[2:4, 3:6] = True
    found = np.asarray(crop(image, (2.5, 1.5, 6.5, 5.5), mask))  # 2, 2, 6, 6
    assert found.shape == (4, 4, 3)
    assert (found[:2, 1:] == np.asarray(image)[2:4, 3:6]).all()
    assert (found[2:] == 0x99).all() and (found[:, 0] == 0x99).all()
    beyond = np.asarray(crop(image, (8, 6, 12, 10), mask))
    assert (beyond[:, 2:] == 0).all() and (beyond[:2, :2] == 0x99).all()  # black outside the picture


@pytest.mark.parametrize("size", [(50, 50), (90, 40), (41, 63)])
def test_what_the_clip_reads_is_its_own_processors_but_for_the_centre_of_odd_rests(size):
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    image = picture(size=size)
    wanted = processor(image, return_tensors="pt").pixel_values[0]
    found = clip_pixels(image, 32)
    assert found.shape == (3, 32, 32)
    if (max(int(32 * max(size) / min(size)), 32) - 32) % 4 != 3:
        assert torch.allclose(found, wanted, atol=1e-5)


def test_colours_are_the_cosine_of_directions_that_are_averaged_and_normalised_again():
    from transformers import CLIPModel, CLIPTokenizer

    from zz.hub.files import resolve

    folder = resolve("zz:shapes_clip")
    image, mask = picture(size=(40, 40)), np.ones((40, 40), dtype=bool)
    with COLOUR_JUDGE.open() as judge:
        (shares,) = judge(image, [Found("dog", 0.9, (4.0, 4.0, 36.0, 30.0), mask)])
        assert judge(image, []) == []
    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    x = clip_pixels(image.crop((4, 4, 36, 30)), model.config.vision_config.image_size)
    logits = []
    with torch.no_grad():
        for colour in COLOURS:
            texts = [
                f"a photo of a {colour} dog",
                f"a photo of a {colour}-colored dog",
                f"a photo of a {colour} object",
            ]
            longest = model.config.text_config.max_position_embeddings
            ids = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            said = model(pixel_values=x[None], **ids)  # embeddings of length 1
            mean = said.text_embeds.mean(0)
            logits.append(100 * float(said.image_embeds[0] @ mean / mean.norm()))
    wanted = np.exp(np.array(logits) - max(logits))
    assert list(shares) == list(COLOURS)
    assert list(shares.values()) == pytest.approx((wanted / wanted.sum()).tolist(), rel=1e-3, abs=1e-6)


def test_only_those_are_asked_for_their_colour_that_the_record_asks():
    asked = []

    def judge(image, objects):
        asked.append([one.box[0] for one in objects])
        return [{"red": 1.0} for _ in objects]

    def found(name, score, left):
        return Found(name, score, (left, 0.0, left + 5, 5.0), np.ones((8, 8), dtype=bool))

    objects = [found("dog", 0.5, 1.0), found("dog", 0.9, 2.0), found("dog", 0.8, 3.0), found("cat", 0.9, 4.0)]
    meta = {"tag": "colors", "include": [{"class": "dog", "count": 2, "color": "red"}, {"class": "cat", "count": 1}]}
    shown = coloured(picture(), objects, meta, judge)
    assert asked == [[2.0, 3.0]]  # the best two
    assert [d.colour for d in shown["dog"]] == ["red", "red", None] and shown["cat"][0].colour is None
    both = {"tag": "color_attr", "include": [{"class": "dog", "count": 1, "color": c} for c in ("red", "blue")]}
    asked.clear()
    coloured(picture(), objects, both, judge)
    assert [one for one in asked if one] == [[2.0]]  # once


# -- detections from a file ------------------------------------------------------------------------------------------


def detections(tmp_path, *lines):
    path = tmp_path / "detections.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return GenEvalDetections(str(path))


def test_detections_of_a_file_are_judged_by_the_pictures_name(tmp_path):
    meta = {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}]}
    prompt = Prompt("a photo of a red dog", meta, 3)
    images = [Image.new("RGB", (8, 8)) for _ in range(3)]
    seeds = (3, 1_000_003, 2_000_003)
    for image, seed in zip(images, seeds, strict=True):
        image.info["seed"] = str(seed)
    good = {"class": "dog", "score": 0.9, "box": [0, 0, 5, 5], "colour": "red"}
    blue = good | {"colours": {"red": 0.2, "blue": 0.8}}
    names = [picture_name(prompt.text, seed) for seed in seeds]
    scorer = detections(
        tmp_path, {"picture": names[0], "objects": [good]}, "", {"picture": f"{names[1]}.png", "objects": [blue]}
    )
    with scorer.open() as score:
        found = score(images, [prompt] * 3)
    assert found[:2] == [1.0, 0.0] and math.isnan(found[2])  # a picture that the file does not have has no verdict
    before = scorer.settings()
    assert detections(tmp_path, {"picture": names[0], "objects": []}).settings() != before


GOOD = {"class": "dog", "score": 0.9, "box": [0, 0, 5, 5]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is broken"),
        ({"objects": []}, "it has no 'picture'"),
        ({"picture": "a"}, "it has no 'objects'"),
        ({"picture": "first", "objects": []}, "picture 'first' comes twice"),
        ({"picture": "a", "objects": [GOOD | {"class": "mouse"}]}, "class 'mouse' is none of GenEval's 80"),
        ({"picture": "a", "objects": [GOOD | {"box": [0, 0, 5]}]}, "line 2 is broken"),
        ({"picture": "a", "objects": [GOOD | {"box": [6, 0, 5, 5]}]}, "must be left, top, right, bottom"),
        ({"picture": "a", "objects": [GOOD | {"box": [0, 0, 5, float("nan")]}]}, "box holds nan"),
        ({"picture": "a", "objects": [GOOD | {"score": 97}]}, r"score 97.0 lies outside 0..1"),
        ({"picture": "a", "objects": [GOOD | {"score": "high"}]}, "score holds 'high'"),
        ({"picture": "a", "objects": [GOOD | {"colour": "teal"}]}, "colour 'teal' is none of red"),
        ([1], "line 2 is broken"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, said):
    scorer = detections(tmp_path, {"picture": "first", "objects": []}, line)
    with (
        pytest.raises(ValueError, match=r"scorers.geneval_detections.path=.*line 2 is broken.*; mend it") as caught,
        scorer.open(),
    ):
        pass
    assert re.search(said, str(caught.value))


def test_a_file_that_is_not_there_is_named_before_anything_runs(tmp_path):
    for path in (None, str(tmp_path / "none.jsonl")):
        with pytest.raises(ValueError, match=rf"scorers.geneval_detections.path={path} is no file; give one"):
            GenEvalDetections(path).settings()


# -- the summary -----------------------------------------------------------------------------------------------------


class Verdicts(GenEvalDetections):
    """Verdicts that are put into the store by hand."""

    def settings(self):
        return {}


OF = Verdicts(name="verdicts")


def everything():
    """553 prompts, many of one text."""
    meta = [{"tag": tag, "include": [{"class": "dog", "count": 1}]} for tag, n in PROMPTS.items() for _ in range(n)]
    return [Prompt(("a red circle", "a blue star")[i % 2], one, i) for i, one in enumerate(meta)]


def test_the_overall_number_is_the_mean_over_tags_of_correct_pictures():
    prompts = everything() * 4
    rng = np.random.default_rng(0)
    chance = {tag: 0.1 + 0.15 * i for i, tag in enumerate(PROMPTS)}
    right = np.array([float(rng.random() < chance[p.meta["tag"]]) for p in prompts])
    overall = GenEvalOverall(OF).measure(right[:, None], prompts, {})
    by_tag = {tag: [x for x, p in zip(right, prompts, strict=True) if p.meta["tag"] == tag] for tag in PROMPTS}
    assert overall.value == pytest.approx(np.mean([np.mean(x) for x in by_tag.values()]))
    assert overall.value != pytest.approx(right.mean(), abs=1e-3)  # tags have not as many prompts each
    each = right.reshape(4, 553).mean(0)
    start, variance = 0, 0.0
    for n in PROMPTS.values():
        variance += each[start : start + n].var(ddof=1) / n
        start += n
    assert overall.high - overall.value == pytest.approx(1.96 * math.sqrt(variance) / 6, rel=1e-4)
    any_right = right.reshape(4, 553).any(0)
    found = GenEvalPrompts(OF).measure(right[:, None], prompts, {})
    assert found.value == pytest.approx(any_right.mean()) and found.low < found.value < found.high


def test_an_incomplete_set_has_no_overall_number_and_is_told_what_is_missing():
    prompts = everything()
    for metric in (GenEvalOverall(OF), GenEvalPrompts(OF)):
        for some, said in [
            ([p for p in prompts if p.meta["tag"] != "position"], "position has 0 of 100 prompts"),
            (prompts[3:], "single_object has 77 of 80 prompts"),
            ([*prompts, *prompts[:550]], "3 prompts have fewer than 2 pictures"),
            ([*prompts, Prompt("x", {"tag": "texture"}, 1)], "texture is no tag of GenEval's"),
            ([Prompt("x", {}, 1)], "None is no tag"),
        ]:
            with pytest.raises(ValueError, match=said):
                metric.measure(np.ones((len(some), 1)), some, {})
        with pytest.raises(ValueError, match="is nan"):
            metric.measure(np.full((553, 1), math.nan), prompts, {})


def test_the_overall_number_is_of_stored_verdicts_and_the_tags_are_a_table(tmp_path):
    store, overall = Store(tmp_path / "store"), GenEvalOverall(OF)
    one_job = job(PromptList("geneval", tuple(everything())))
    assert kinds([OF, overall]) == [OF]  # scored once for both
    row = kept(store, one_job, scorers=(OF, overall)).rows[0]
    cell, half = one_job.cell, {score_name(OF, p): float(p.entry % 2) for p in one_job.pictures}
    some = dict(list(half.items())[:500])
    store.put_scores(cell, identity(OF), about(OF), some)
    with pytest.raises(ValueError, match="color_attr has 47 of 100 prompts"):
        measure(overall, one_job, store)
    results = Results(store, SimpleNamespace(rows=[row]))
    assert math.isnan(results.mean(row, "geneval_overall").value)
    store.put_scores(cell, identity(OF), about(OF), half)
    found = measure(overall, one_job, store)
    results = Results(store, SimpleNamespace(rows=[row]))
    assert results.mean(row, "geneval_overall") == pytest.approx(found)
    assert results.scored(row, "geneval_overall") == 553
    tags = [results.mean(row, "verdicts", meta_is("tag", tag)).value for tag in PROMPTS]
    assert np.mean(tags) == pytest.approx(found.value)
    assert measure(overall, one_job, store) == found


def test_a_changed_record_is_summed_up_anew(tmp_path):
    store, overall = Store(tmp_path / "store"), GenEvalOverall(OF)
    first = everything()
    # two prompts, of which one is right, change places between tags of unequal size
    swapped = [*first]
    swapped[0], swapped[100] = (replace(first[0], meta=first[100].meta), replace(first[100], meta=first[0].meta))
    values = []
    for prompts in (first, swapped):
        one_job = job(PromptList("geneval", tuple(prompts)))
        scores = {score_name(OF, p): float(p.entry == 0) for p in one_job.pictures}
        store.put_scores(one_job.cell, identity(OF), about(OF), scores)
        values.append(measure(overall, one_job, store).value)
    assert values == pytest.approx([1 / 80 / 6, 1 / 99 / 6])
