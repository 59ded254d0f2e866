"""The CLIP scorer and its features, on a tiny random CLIP that is made here; the formulas of set statistics."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.make import said
from zz.data.shapes_prompts import draw_pair
from zz.hub.files import resolve
from zz.scorers.clip import ClipFeatures, ClipSimilarity
from zz.worlds.shapes import render

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from zz.experiments.train_shapes.export import save_clip
    from zz.experiments.train_shapes.tokens import build_tokenizer
    from zz.experiments.train_shapes.two_tower import Plan

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip") / "clip"
    tokenizer = build_tokenizer()
    save_clip(Plan(16, depth=1, patch=8).build(tokenizer), tokenizer, path)
    return str(path)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    drawn = [draw_pair(rng) for _ in range(5)]
    return [Image.fromarray(render(scene)) for scene, _ in drawn], [meta["prompt"] for _, meta in drawn]


def test_similarity_is_the_cosine_of_both_towers(folder, pairs):
    """By hand: pixels to -1..1, the words' own padding left out, projections divided by their length."""
    from transformers import CLIPModel, CLIPTokenizer

    images, texts = pairs
    model, tokenizer = CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)
    wanted = []
    for image, text in zip(images, texts, strict=True):
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
        a = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
        b = model.text_projection(model.text_model(**tokenizer(text, return_tensors="pt")).pooler_output)
        wanted.append(100 * torch.cosine_similarity(a, b).item())
    with ClipSimilarity(folder).open() as score:
        assert score(images, said(texts)) == pytest.approx(wanted, abs=1e-3)
        assert score([], []) == []
        assert score([images[1].convert("RGBA")], said(texts[1:2])) == pytest.approx(wanted[1:2], abs=1e-3)


def test_its_identity_is_its_weights_and_not_their_path(folder, tmp_path):
    import shutil

    moved = shutil.copytree(folder, tmp_path / "moved")
    assert ClipSimilarity(str(moved)).settings() == ClipSimilarity(folder).settings()
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"_name_or_path": "elsewhere"}))
    assert ClipSimilarity(str(moved)).settings() == ClipSimilarity(folder).settings()
    (moved / "config.json").write_text(json.dumps(config | {"projection_dim": 8}))
    assert ClipSimilarity(str(moved)).settings() != ClipSimilarity(folder).settings()
    (moved / "config.json").write_text(json.dumps(config))
    data = bytearray((moved / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (moved / "model.safetensors").write_bytes(bytes(data))
    assert ClipSimilarity(str(moved)).settings() != ClipSimilarity(folder).settings()


def test_pictures_of_another_size_go_through_the_processor(folder, pairs):
    """And what needs no resizing gives what the processor would."""
    from transformers import CLIPImageProcessor, CLIPModel

    small = pairs[0]
    large = [image.resize((64, 64), Image.Resampling.NEAREST) for image in small]
    model, processor = CLIPModel.from_pretrained(folder), CLIPImageProcessor.from_pretrained(folder)
    with ClipFeatures(folder).open() as features:
        for images in (small, large):
            wanted = model.vision_model(**processor(images, return_tensors="pt")).pooler_output
            assert np.allclose(features(images), wanted.numpy(), atol=1e-5)


def test_features_do_not_depend_on_the_batch(folder, pairs):
    with ClipFeatures(folder).open() as features:
        together = features(pairs[0])
        alone = np.concatenate([features([image]) for image in pairs[0]])
    assert together.shape == (5, 16) and together.dtype == np.float64
    assert np.allclose(together, alone, atol=1e-5)


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"is no folder of a CLIP: it has no config\.json"):
        ClipSimilarity(str(tmp_path))
    with pytest.raises(ValueError, match="pretrained=zz:shape does not come with zz; what does: shapes"):
        resolve("zz:shape")
    assert resolve("some/id") == "some/id"
