"""Recorded attention against the network that it was recorded from, on tiny random weights that are made here."""

import re

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

import zz
from tests.parity.test_sd import build
from zz.diffusion.probes.step import both
from zz.models.attention import reading as text_attention
from zz.models.attention.reading import UNET, Reading, TextAttention, columns, grid, shares, watched
from zz.models.sd import StableDiffusion

diffusers = pytest.importorskip("diffusers")

T, GAMMA = 5, 4.0
PROMPTS = ["a red star", "three blue rings", "A star, a Star"]
WORDS = {PROMPTS[0]: ["star", "red"], PROMPTS[1]: ["rings"], PROMPTS[2]: ["star"]}
SIZE, LATENT = (16, 32), (8, 16)
TOKENS = range(16)
ZIGZAG = zz.Zigzag(GAMMA, 1.0, lambda_=3)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with StableDiffusion(str(build(tmp_path_factory.mktemp("sd"), "v_prediction"))).open() as opened:
        yield opened


@pytest.fixture(scope="module")
def tokenizer(pipeline):
    return pipeline.parts.tokenizer


def run(pipeline, prompts=PROMPTS, sampler=ZIGZAG, **settings):
    return zz.sample(pipeline, prompts, sampler=sampler, steps=T, size=SIZE, output="latent", **settings)


def recorded(pipeline, words=WORDS, prompts=PROMPTS, sampler=ZIGZAG, **settings):
    maps = zz.AttentionMaps(pipeline, words, **settings)
    run(maps, prompts, sampler, probe=maps.probe)
    return maps


@pytest.fixture(scope="module")
def maps(pipeline):
    return recorded(pipeline)


@pytest.mark.ci
def test_the_size_of_the_maps_is_not_the_size_of_the_picture(pipeline):
    small = zz.AttentionMaps(pipeline, [0], size=(2, 2))
    assert small.size == pipeline.size and small.shape(pipeline.size) == pipeline.shape(pipeline.size)
    pictures = torch.zeros(1, *pipeline.size, 3, dtype=torch.uint8)
    assert torch.equal(small.encode_image(pictures), pipeline.encode_image(pictures))


def alone(pipeline, word, prompt, x, node):
    """The map of one prompt's word, from one call with nothing but that prompt."""
    fresh = zz.AttentionMaps(pipeline, [word])
    cond, _ = fresh.encode([prompt], [None])
    fresh(x, node, cond)
    return fresh._passes[0].maps[0][word]


@pytest.mark.parametrize("gamma2", [0.0, 1.0, 2.0])
def test_recording_changes_no_bit(pipeline, gamma2):
    sampler = zz.Zigzag(GAMMA, gamma2)
    maps = zz.AttentionMaps(pipeline, WORDS)
    assert torch.equal(run(maps, sampler=sampler, probe=maps.probe), run(pipeline, sampler=sampler))
    assert len(maps.stack("star", leg="zig")) == 2 * T - 1


@pytest.mark.parametrize("size", [None, (3, 20)])
def test_over_all_tokens_the_maps_sum_to_one(pipeline, size):
    maps = recorded(pipeline, TOKENS, size=size)
    for n in range(len(PROMPTS)):
        total = sum(maps.stack(token, prompt=n) for token in TOKENS)
        assert total.shape == (T + 6, *(size or LATENT)) and total.dtype == torch.float32
        assert (total - 1).abs().max() <= 1e-5


def test_a_word_is_the_sum_of_its_tokens(pipeline, maps):
    tokens = recorded(pipeline, TOKENS)
    for word, prompt, places in [("star", 0, [5, 6, 7, 8]), ("star", 2, [2, 3, 4, 5, 8, 9, 10, 11])]:
        total = sum(tokens.stack(token, prompt=prompt) for token in places)
        assert (total - maps.stack(word, prompt=prompt)).abs().max() <= 1e-6


class Spy(TorchFunctionMode):
    """Keeps what every attention was given and what it answered."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is scaled_dot_product_attention:
            self.calls.append((args, out))
        return out


def test_the_maps_are_those_that_the_network_used(pipeline, monkeypatch):
    """Attention times value is what the module answered; so for every head, whatever is held at once."""
    cond, uncond = pipeline.encode(PROMPTS, [None] * 3)
    node = pipeline.levels.node(500.0)
    with Spy() as spy:
        pipeline(torch.randn(3, 4, *LATENT), node, uncond, cond)
    across = [call for call in spy.calls if call[0][1].shape[2] == len(TOKENS)]
    assert len(across) == 7
    monkeypatch.setattr(text_attention, "SCORES", 100)
    for (query, key, value), out in across:
        for row in range(6):
            for head in range(query.shape[1]):
                p = shares(query[row, head, None], key[row, head, None], None, None)
                assert (p @ value[row, head] - out[row, head]).abs().max() <= 1e-5


def test_every_map_is_of_its_own_step_and_leg(pipeline):
    """Each is made again from the step's own latent and node, for its prompt alone; other probes' calls stay out."""
    maps, steps = zz.AttentionMaps(pipeline, WORDS), []
    run(maps, probe=both(zz.Reflections(), maps.probe, zz.Reflections(), steps.append))
    rounds = {}
    for step in steps:
        round = rounds[step.i, step.leg] = rounds.get((step.i, step.leg), -1) + 1
        for n, (prompt, word) in enumerate(zip(PROMPTS, ["red", "rings", "star"], strict=True)):
            (found,) = maps.stack(word, leg=step.leg, steps=[step.i], round=round, prompt=n)
            assert (found - alone(pipeline, word, prompt, step.x[n : n + 1], step.source)).abs().max() <= 1e-5
    others = maps.stack("red", leg="zig", round=0), maps.stack("red", leg="zig", round=-1)
    assert (others[0] - others[1]).abs().max() > 1e-4, "maps of other steps would have passed"


def test_maps_are_counted_by_leg_and_round(maps):
    counts = [("zig", None, T + 3), ("zag", None, 3), (None, None, T + 6), ("zig", -1, T), ("zig", 0, T), ("zig", 1, 3)]
    for leg, round, count in counts:
        assert len(maps.stack("star", leg=leg, round=round)) == count
    assert len(maps.stack("star", leg="zig", steps=[0, 4])) == 3
    assert torch.equal(maps.mean("STAR", leg="zag"), maps.stack("star", leg="zag").mean(0))


def test_the_end_to_end_ways_are_rounds(pipeline):
    maps = recorded(pipeline, sampler=zz.EndToEnd(GAMMA, 1.0))
    assert [len(maps.stack("star", *at)) for at in (("zig", None, 0), ("zig", None, 1), ("zag",))] == [T] * 3


@pytest.mark.parametrize("gamma2", [0.0, 1.0])
def test_only_rows_with_the_prompt_count(pipeline, gamma2):
    maps = recorded(pipeline, sampler=zz.Zigzag(1.0, gamma2))
    assert len(maps.stack("star", leg="zig")) == 2 * T - 1
    if gamma2 == 0:
        with pytest.raises(ValueError, match=r"'star' for leg=zag.*predicted without the prompt \(gamma 0\)"):
            maps.mean("star", leg="zag")
    else:
        assert len(maps.stack("star", leg="zag")) == T - 1


def test_a_batch_in_parts_is_filed_by_prompt(pipeline, maps):
    parts = zz.AttentionMaps(pipeline, WORDS)
    run(parts, probe=parts.probe, batch_size=2)
    assert parts.prompts == PROMPTS
    for n, word in enumerate(["star", "rings", "star"]):
        assert (parts.stack(word, prompt=n) - maps.stack(word, prompt=n)).abs().max() <= 1e-4
    assert (maps.mean("star") - maps.mean("star", prompt=2)).abs().max() > 1e-3


@pytest.mark.parametrize(("layers", "count"), [(None, 7), ("mid_block", 1), (r"up_blocks\.\d", 4), (16, 3), (8, 3)])
def test_only_chosen_layers_are_read(pipeline, layers, count, monkeypatch):
    real, seen = text_attention.interpolate, []
    monkeypatch.setattr(text_attention, "interpolate", lambda maps, *a, **k: seen.append(1) or real(maps, *a, **k))
    maps = zz.AttentionMaps(pipeline, ["red"], layers=layers)
    cond, uncond = maps.encode(PROMPTS[:1], [None])
    maps(torch.randn(1, 4, *LATENT), pipeline.levels.node(500.0), uncond, cond)
    assert len(seen) == count


def test_only_chosen_steps_and_legs_are_kept(pipeline, maps):
    few = recorded(pipeline, steps=[1, 3], legs=["zag"])
    assert torch.equal(few.stack("red"), maps.stack("red", leg="zag", steps=[1]))
    assert {(i, leg) for _, i, leg in few._kept} == {(1, "zag")}


def test_nothing_is_left_behind(pipeline):
    unet = pipeline.parts.unet

    def left():
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules()]
        return sum(hooks), torch._C._len_torch_function_stack()

    before = left()
    maps = recorded(pipeline)
    assert left() == before
    breaks = (
        unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_out[0].register_forward_pre_hook(lambda *_: 1 / 0)
    )
    try:
        with pytest.raises(ZeroDivisionError):
            run(maps, probe=maps.probe)
    finally:
        breaks.remove()
    assert left() == before
    assert torch.equal(run(maps, probe=maps.probe), run(pipeline))
    assert len(maps.stack("star", prompt=6)) == T + 6


@pytest.mark.parametrize(
    ("prompt", "word", "places"),
    [
        ("a red star", "red", [2, 3, 4]),
        ("a red star", "star", [5, 6, 7, 8]),
        ("A RED star", "red Star", [2, 3, 4, 5, 6, 7, 8]),
        ("red, stars; red", "red", [1, 2, 3, 11, 12, 13]),
        ("bored red", "red", [6, 7, 8]),
        ("a red star", 0, [0]),
    ],
)
def test_words_are_found_where_their_tokens_stand(tokenizer, prompt, word, places):
    assert columns(tokenizer, prompt, word) == places
    if isinstance(word, str):
        said = tokenizer.convert_ids_to_tokens([tokenizer(prompt)["input_ids"][c] for c in places])
        assert "".join(said).replace("</w>", "") in (word * 2).lower().replace(" ", "")


def unets():
    """Tiny networks: that of SD, and that of SDXL with its size and text embeddings."""
    common = {"sample_size": 8, "layers_per_block": 1, "norm_num_groups": 8, "cross_attention_dim": 16}
    plain = {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
    yield diffusers.UNet2DConditionModel(block_out_channels=(16, 32), attention_head_dim=4, **plain, **common)
    yield diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=64,
        **common,
    )


@pytest.mark.parametrize("family", [0, 1], ids=["sd", "sdxl"])
@torch.no_grad()
def test_perturbing_a_token_moves_its_own_map_most(family):
    """In the first layer, whose queries know nothing of the text, what one token gains the others lose."""
    torch.manual_seed(0)
    unet = list(unets())[family].eval()
    x, text = torch.randn(2, 4, 8, 8), torch.randn(2, 6, 16)
    extra = {"text_embeds": torch.zeros(2, 16), "time_ids": torch.ones(2, 6)} if family else None
    names = [name for name, _ in unet.named_modules() if re.fullmatch(UNET.modules, name)]
    assert len(names) == (2 + 2 + 4 if family else 2 + 1 + 4) and all("attn2" in name for name in names)

    def maps(text):
        reading = Reading(UNET, [{n: [n] for n in range(6)}], 1, 2, (8, 8), (8, 8), None)
        with watched([unet.get_submodule(names[0])], reading):
            out = unet(x, 500, text, added_cond_kwargs=extra).sample
        assert torch.equal(out, unet(x, 500, text, added_cond_kwargs=extra).sample)
        assert reading.layers == 1
        return torch.stack(list(reading.maps()[0].values()))

    before = maps(text)
    assert (before.sum(0) - 1).abs().max() <= 1e-5
    for token in range(6):
        moved = text.clone()
        moved[1, token] += 0.5 * torch.randn(16)
        change = (maps(moved) - before).abs().flatten(1).sum(1)
        assert change.argmax() == token and change[token] > 1e-3
        moved = text.clone()
        moved[0, token] += 1  # the unconditional row
        assert (maps(moved) - before).abs().max() <= 1e-6


def test_perturbing_a_key_leaves_the_other_columns_in_proportion():
    torch.manual_seed(0)
    query, key = torch.randn(1, 12, 4), torch.randn(1, 6, 4)
    before = shares(query, key, None, None)
    key[0, 2] *= 3
    after = shares(query, key, None, None)
    others = [0, 1, 3, 4, 5]
    assert ((after - before)[:, 2]).abs().min() > 0
    ratio = after[:, others] / before[:, others]
    assert (ratio - ratio[:, :1]).abs().max() <= 1e-4


@pytest.mark.parametrize("last", [True, False])
def test_joint_attention_with_masks_and_scale(last):
    """Text after the picture or before it: the picture's rows, the text's columns, of one softmax over all."""
    torch.manual_seed(0)
    n, places = 5, 8
    at = (slice(-n, None), slice(None, -n)) if last else (slice(None, n), slice(n, None))
    family = TextAttention("transformer", ".*", {}, text=at[0], image=at[1])
    query, key = torch.randn(2, 3, n + places, 4), torch.randn(2, 3, n + places, 4)
    hidden = torch.zeros(2, 1, 1, n + places, dtype=torch.bool)
    hidden[1, ..., -2 if last else 1] = True
    added = torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)
    scores = (query @ key.mT * 0.3 + added).softmax(-1)[1].mean(0)[at[1], at[0]]
    for mask in (added, ~hidden):
        reading = Reading(family, [{c: [c] for c in range(n)}], 1, 2, (4, 8), (2, 4), None)
        reading(query, key, mask, 0.3)
        maps = torch.stack(list(reading.maps()[0].values()))
        assert (maps.flatten(1).T - scores).abs().max() <= 1e-6
    assert scores[:, -2 if last else 1].max() == 0


def test_frames_are_averaged():
    """A video's rows are by branch, then by prompt, then by frame."""
    torch.manual_seed(0)
    query, key = torch.randn(2 * 2 * 3, 2, 8, 4), torch.randn(2 * 2 * 3, 2, 5, 4)
    reading = Reading(UNET, [{0: [0]}, {1: [1, 2]}], 1, 2, (2, 4), (2, 4), None)
    reading(query, key, None, None)
    p = (query @ key.mT / 2).softmax(-1).mean(1).unflatten(0, (2, 2, 3))[1].mean(1)
    found = reading.maps()
    assert (found[0][0].flatten() - p[0, :, 0]).abs().max() <= 1e-6
    assert (found[1][1].flatten() - p[1, :, 1:3].sum(1)).abs().max() <= 1e-6


def test_motion_modules_are_not_text_attention():
    name = "down_blocks.0.{}.0.transformer_blocks.0.{}"
    assert re.fullmatch(UNET.modules, name.format("attentions", "attn2"))
    for other in (("motion_modules", "attn2"), ("attentions", "attn1"), ("attentions", "attn2.to_q")):
        assert not re.fullmatch(UNET.modules, name.format(*other))


def test_grids_of_odd_sides():
    assert [grid(n, (7, 13)) for n in (91, 28, 8)] == [(7, 13), (4, 7), (2, 4)]
    with pytest.raises(ValueError, match="30 places are no halving of a latent of 7x13"):
        grid(30, (7, 13))


def test_refusals(pipeline, tokenizer, maps):
    with pytest.raises(ValueError, match="words='blue' is not in the prompt 'a red star'; its words are a, red, star"):
        run(zz.AttentionMaps(pipeline, ["blue"]), PROMPTS[:1])
    with pytest.raises(ValueError, match="'ring' is not in the prompt"):
        columns(tokenizer, PROMPTS[1], "ring")
    with pytest.raises(ValueError, match="words='end' stands beyond the 16 tokens"):
        columns(tokenizer, "a very long prompt comes to an end", "end")
    with pytest.raises(ValueError, match=r"words=16 is no token's column; columns are 0\.\.15"):
        columns(tokenizer, "a", 16)
    with pytest.raises(ValueError, match="words='star' must be a list"):
        run(zz.AttentionMaps(pipeline, "star"))
    with pytest.raises(ValueError, match="words has no entry for the prompt 'three blue rings'; it has a"):
        run(zz.AttentionMaps(pipeline, {"a": ["a"]}), PROMPTS[1])
    with pytest.raises(ValueError, match="layers='attn7' is in no layer's name; they are down_blocks"):
        zz.AttentionMaps(pipeline, ["red"], layers="attn7")
    with pytest.raises(ValueError, match=r"layers=64 is the side of no layer's grid; sides are \[4, 8, 16\]"):
        run(zz.AttentionMaps(pipeline, ["red"], layers=64), PROMPTS[0])
    with pytest.raises(ValueError, match="legs='zog' is not known"):
        zz.AttentionMaps(pipeline, ["red"], legs=["zog"])
    with zz.Mixture().open() as exact, pytest.raises(ValueError, match="MixturePipeline has no unet to watch"):
        zz.AttentionMaps(exact, ["red"])
    with pytest.raises(ValueError, match="word='blue' is not recorded for 'a red star'; recorded are star, red"):
        maps.mean("blue")
    with pytest.raises(ValueError, match="prompt=3 is not there; so far there are 3"):
        maps.mean("star", prompt=3)
    with pytest.raises(
        ValueError, match=r"no maps of 'star' for leg=zag, steps=\[4\], round=None: kept is zig 0, zag 0"
    ):
        maps.mean("star", leg="zag", steps=[4])
    silent = zz.AttentionMaps(pipeline, ["red"])
    run(silent, PROMPTS[0])
    with pytest.raises(ValueError, match=r"kept is nothing: give zz\.sample probe=maps\.probe"):
        silent.mean("red")


def test_an_attention_that_cannot_be_seen_is_refused(pipeline):
    unet = pipeline.parts.unet
    before = dict(unet.attn_processors)
    unet.set_attn_processor(diffusers.models.attention_processor.AttnProcessor())
    try:
        with pytest.raises(ValueError, match="no attention was seen"):
            run(zz.AttentionMaps(pipeline, ["red"]), PROMPTS[0])
    finally:
        unet.set_attn_processor(before)
