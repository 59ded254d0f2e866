"""Attention to the text in Hunyuan-DiT, Stable Diffusion 3 and FLUX: where it stands; reading it changes no bit."""

import dataclasses
import re

import pytest
import torch

import zz
from tests.parity import tiny
from zz.models.attention.reading import Reading, watched
from zz.models.pretrained.borrowed import adapted

PROMPTS = ["a red star", "three blue rings"]
SIZE, LATENT, T = (64, 96), (8, 12), 3
MAKE = {"hunyuan": tiny.hunyuan, "sd3": tiny.sd3, "flux": tiny.flux}
TEXT = {"hunyuan": 77 + 256, "sd3": 16 + 256, "flux": 512}  # tokens; the tiny CLIP reads 16
LAYERS = {"hunyuan": 4, "sd3": 2, "flux": 3}
# "star": BERT knows the word; CLIP spells it out; T5 has the beginning of a word, and then "star"
STAR = {"hunyuan": [3, 77 + 6, 77 + 7], "sd3": [5, 6, 7, 8, 16 + 6, 16 + 7], "flux": [6, 7]}


@pytest.fixture(scope="module", params=MAKE)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def pipeline(family):
    with adapted(tiny.ready(MAKE[family]())) as opened:
        yield opened


def run(pipeline, **more):
    settings = {"sampler": zz.Zigzag(3.0, 1.0, lambda_=1), "steps": T, "size": SIZE, "output": "latent"}
    return zz.sample(pipeline, PROMPTS, **settings | more)


def looking(pipeline):
    """The network's modules in which the picture looks at the text, in order."""
    return [m for name, m in pipeline.net.named_modules() if re.fullmatch(pipeline.attends.modules, name)]


def test_recording_changes_no_bit_and_maps_sum_to_one(family, pipeline):
    maps = zz.AttentionMaps(pipeline, range(TEXT[family]), steps=[0], legs=["zag"])
    found = run(maps, probe=maps.probe)
    assert torch.equal(found, run(pipeline))
    for n in range(len(PROMPTS)):
        each = torch.stack([maps.mean(token, prompt=n) for token in range(TEXT[family])])
        assert each.shape == (TEXT[family], *LATENT)
        total = each.sum(0)
        if family == "hunyuan":  # across to the text alone
            assert (total - 1).abs().max() <= 1e-5
        else:  # what the picture does not give to itself
            assert (total > 0.5).all() and (total < 1).all()


def test_over_all_keys_attention_sums_to_one(family, pipeline):
    """Of one softmax: with every key taken for text, each place gives all it has."""
    where = dataclasses.replace(pipeline.attends, text=slice(None))
    modules = looking(pipeline)
    assert len(modules) == LAYERS[family]
    cond, uncond = pipeline.encode(PROMPTS, [None, None])
    keys = TEXT[family] + (0 if family == "hunyuan" else 24)
    words = [{0: list(range(keys))}] * 2
    reading = Reading(where, words, 1, 2, LATENT, LATENT, None)
    node = pipeline.levels.node(500)
    with watched(modules, reading):
        pipeline(torch.randn(2, pipeline.shape(SIZE)[0], *LATENT), node, uncond, cond)
    assert reading.layers == LAYERS[family]
    for maps in reading.maps():
        assert (maps[0] - 1).abs().max() <= 1e-5


def test_a_word_is_where_its_tokens_are(family, pipeline):
    maps = zz.AttentionMaps(pipeline, {PROMPTS[0]: ["star"], PROMPTS[1]: ["rings"]})
    assert maps._locate(PROMPTS[0])["star"] == STAR[family]
    parts, found = pipeline.parts, maps._locate(PROMPTS[1])["rings"]
    for name, taken in pipeline.attends.tokenizers.items():
        tokenizer = getattr(parts, name)
        here = [c - taken.start for c in found if taken.start <= c < taken.stop]
        ids = tokenizer(PROMPTS[1])["input_ids"]
        said = "".join(tokenizer.convert_ids_to_tokens([ids[c] for c in here]))
        assert said.replace("</w>", "").replace("##", "").replace("\N{LOWER ONE EIGHTH BLOCK}", "") == "rings"


def test_moving_a_token_moves_its_own_share_most(family, pipeline):
    """In the first layer that looks, whose queries know nothing of the text yet but its summary."""
    cond, uncond = pipeline.encode(PROMPTS, [None, None])
    x, node = torch.randn(2, pipeline.shape(SIZE)[0], *LATENT), pipeline.levels.node(500)

    def shares(cond):
        reading = Reading(pipeline.attends, [{n: [n] for n in range(12)}] * 2, 1, 2, LATENT, LATENT, None)
        with watched(looking(pipeline)[:1], reading):
            pipeline(x, node, uncond, cond)
        return torch.stack(list(reading.maps()[0].values()))

    before, name = shares(cond), "clip" if family == "hunyuan" else "tokens"
    assert torch.equal(before, shares(cond))
    for token in (1, 2, 3):  # of the first text encoder; in Hunyuan's, of those that its mask shows
        moved = getattr(cond, name).clone()
        moved[0, token] += torch.randn(moved.shape[-1])
        change = (shares(cond._replace(**{name: moved})) - before).abs().flatten(1).sum(1)
        assert change.argmax() == token and change[token] > 1e-4, change


def test_moving_a_place_moves_the_map_there_most(family, pipeline):
    """The rows that are read are the picture's, in its own order. Across to the text, all queries are the picture's."""
    if family == "hunyuan":
        return
    cond, _ = pipeline.encode(PROMPTS[:1], [None])
    torch.manual_seed(0)
    x, node = torch.randn(1, pipeline.shape(SIZE)[0], *LATENT), pipeline.levels.node(500)

    def shares(x):
        reading = Reading(pipeline.attends, [{n: [n] for n in range(12)}], 0, 1, LATENT, (4, 6), None)
        with watched(looking(pipeline)[:1], reading):
            pipeline(x, node, cond)
        return torch.stack(list(reading.maps()[0].values()))

    for row, column in ((0, 0), (1, 4), (3, 2)):
        moved = x.clone()
        moved[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 3 * torch.randn(2, 2)
        change = (shares(moved) - shares(x)).abs().sum(0)
        assert divmod(change.argmax().item(), 6) == (row, column), change


def test_embedded_guidance_looks_at_the_prompt_at_any_scale():
    with adapted(tiny.ready(tiny.flux())) as pipeline:
        maps = zz.AttentionMaps(pipeline, {PROMPTS[0]: ["star"], PROMPTS[1]: ["rings"]})
        told = {"guidance": zz.Embedded(), "sampler": zz.Zigzag(3.0, 0.0, lambda_=1)}
        assert torch.equal(run(maps, probe=maps.probe, **told), run(pipeline, **told))
        assert maps.mean("star", leg="zag").shape == LATENT


def test_without_t5_only_clips_columns_are_a_words():
    with adapted(tiny.ready(tiny.sd3(text_encoder_3=None, tokenizer_3=None))) as pipeline:
        assert zz.AttentionMaps(pipeline, ["star"])._locate(PROMPTS[0])["star"] == STAR["sd3"][:4]


def test_a_word_that_one_tokenizer_cuts_off_is_found_by_the_other():
    with adapted(tiny.ready(tiny.sd3())) as pipeline:
        maps = zz.AttentionMaps(pipeline, ["star"])
        found = maps._locate("three blue rings and a star")["star"]
        assert found and min(found) >= 16
        with pytest.raises(ValueError, match="words='star' stands beyond the 256 tokens"):
            maps._locate("a " * 256 + "star")
        with pytest.raises(ValueError, match="words='moon' is not in the prompt"):
            zz.AttentionMaps(pipeline, ["moon"])._locate("a star")
        with pytest.raises(ValueError, match=r"words=272 is no token's column; columns are 0\.\.271"):
            zz.AttentionMaps(pipeline, [272])._locate("a star")
