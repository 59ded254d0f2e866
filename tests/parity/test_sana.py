"""Ours against diffusers' own SanaPipeline, on tiny random weights, loaded from a folder by the description."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch

import zz
from tests.parity import tiny, tiny_flow
from zz.diffusion.noise import starting_noise
from zz.models.attention.reading import Reading, watched
from zz.models.doctor import health
from zz.models.pretrained.borrowed import adapted
from zz.models.sana import Sana, instruction

pytestmark = pytest.mark.slow  # with those of their kind, about a minute

T, GAMMA = 5, 4.5
PROMPTS, NEGATIVE, SEEDS = ["a red star", "three blue rings"], ["a ring", ""], (3, 1)
SIZE, SHAPE = (64, 96), (4, 2, 3)
EULER = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
DPM = diffusers.DPMSolverMultistepScheduler


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The network is told its times by a scale of them, which is 1 in the published ones."""
    path = tmp_path_factory.mktemp("sana")
    tiny_flow.sana(transformer=tiny_flow.sana_transformer(timestep_scale=0.5)).save_pretrained(path)
    return str(path)


@pytest.fixture
def model(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Sana(folder, size=SIZE)


@pytest.fixture(scope="module")
def pipe(folder):
    return tiny.ready(diffusers.SanaPipeline.from_pretrained(folder))


@pytest.fixture
def borrowed(pipe):
    """For tests that give it another scheduler."""
    before = pipe.scheduler
    yield pipe
    pipe.scheduler = before


def theirs(pipe, scheduler, negative=NEGATIVE, output="latent", gamma=GAMMA, **more):
    pipe.scheduler = scheduler
    told = {"num_inference_steps": T, "guidance_scale": gamma, "height": SIZE[0], "width": SIZE[1]}
    told |= {"latents": starting_noise(SEEDS, SHAPE), "output_type": output, "use_resolution_binning": False}
    return pipe(PROMPTS, negative_prompt=negative or "", **told | more).images


def ours(model, sampler=None, negative=NEGATIVE, output="latent", **more):
    settings = {"steps": T, "size": SIZE, "seeds": SEEDS, "negative_prompt": negative, "output": output}
    return zz.sample(model, PROMPTS, sampler=sampler or zz.Standard(GAMMA), **settings | more)


def first_order(pipe):
    return DPM.from_config(pipe.scheduler.config, solver_order=1)


@pytest.mark.parametrize("negative", [None, NEGATIVE], ids=["none", "negative"])
def test_latents_are_those_of_diffusers_on_its_own_schedule(model, borrowed, negative):
    """DPM-Solver++ of first order is DDIM; its sigmas and whole times are the published schedule's."""
    found = ours(model, negative=negative)
    assert found.shape == (2, *SHAPE) and found.dtype == torch.float32
    tiny.close(found, theirs(borrowed, first_order(borrowed), negative))
    assert (found - ours(model, zz.Standard(GAMMA + 1), negative)).abs().max() > 1e-3, "guidance has a say"
    if negative:
        assert (found - ours(model, negative=None))[0].abs().max() > 1e-3, "and the negative prompt"


def test_latents_are_those_of_flow_euler(borrowed):
    """The scheduler of diffusers' own for flows, handed in."""
    expected = theirs(borrowed, EULER)
    tiny.close(ours(borrowed), expected)


@pytest.mark.parametrize("steps", [T, 16])
def test_dpmpp_2m_is_the_published_solver(model, borrowed, steps):
    """Second order on a flow, as SanaPipeline samples; diffusers' lower order below 15 steps is that of the last."""
    expected = theirs(borrowed, DPM.from_config(borrowed.scheduler.config), num_inference_steps=steps)
    tiny.close(ours(model, solver=zz.DPMpp2M(), steps=steps), expected)


def test_without_guidance_there_is_one_branch(model, borrowed):
    tiny.close(ours(model, zz.Standard(1.0)), theirs(borrowed, first_order(borrowed), gamma=1.0))


def test_pictures_are_those_of_diffusers(model, borrowed):
    found = ours(model, output="image")
    for a, b in zip(found, theirs(borrowed, first_order(borrowed), output="pil"), strict=True):
        assert a.size == b.size == SIZE[::-1]
        assert np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1


def test_an_instruction_is_read_before_prompts_unless_told_otherwise(model, borrowed):
    plain = replace(model, instructed=False)
    tiny.close(ours(plain), theirs(borrowed, first_order(borrowed), complex_human_instruction=None))
    assert (ours(plain) - ours(model)).abs().max() > 1e-3
    assert instruction()[-1] == "User Prompt: "
    short = replace(model, text_tokens=40)
    tiny.close(ours(short), theirs(borrowed, first_order(borrowed), max_sequence_length=40))
    assert len({str(one.identity()) for one in (model, plain, short)}) == 3


@pytest.mark.parametrize("gamma2", [0.0, 1.0, GAMMA])
def test_zigzag_is_finite_and_its_rows_are_counted(pipe, gamma2):
    rows, sampler = [], zz.Zigzag(GAMMA, gamma2, lambda_=2)
    hook = pipe.transformer.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    found = ours(pipe, sampler)
    hook.remove()
    assert found.isfinite().all() and len(rows) == sampler.nfe(T)
    assert sorted(rows) == sorted([4] * (T + 2) + [2 if gamma2 < 2 else 4] * 2)


def test_zigzag_without_zigzags_is_standard(model):
    standard = ours(model)
    assert torch.equal(standard, ours(model, zz.Zigzag(GAMMA, lambda_=0)))
    assert not torch.equal(standard, ours(model, zz.Zigzag(GAMMA)))


def test_a_picture_is_the_same_alone_and_in_company(pipe):
    both = ours(pipe)
    told = {"steps": T, "size": SIZE, "output": "latent", "sampler": zz.Standard(GAMMA), "seed": SEEDS[0]}
    tiny.close(zz.sample(pipe, PROMPTS[0], negative_prompt=NEGATIVE[0], **told), both[:1], 1e-5)


def test_a_pipeline_in_memory_is_what_its_folder_describes(model, pipe):
    pipe.tokenizer.padding_side = "left"
    assert torch.equal(ours(model), ours(pipe)) and pipe.tokenizer.padding_side == "left"
    with adapted(pipe) as opened:
        assert (opened.levels, opened.schedule) == model.noise_levels() and opened.can == model.can
        assert opened.size == (1024, 1024) and opened.shape(SIZE) == SHAPE
        assert dict(opened.reads) == {"tokenizer": 300}
    assert health(model, SIZE, room={"cpu": 1.0})[-1].state == "ok"


def test_a_real_picture_comes_back(pipe):
    """Encoding is decoding's scaling undone, on the autoencoder's own scale."""
    with adapted(pipe) as opened:
        x = starting_noise(SEEDS, SHAPE)
        assert (opened._scaled(opened._unscaled(x)) - x).abs().max() < 1e-6
        pictures = torch.randint(0, 256, (2, *SIZE, 3), dtype=torch.uint8)
        latent = pipe.vae.encode(pictures.permute(0, 3, 1, 2) / 127.5 - 1).latent * pipe.vae.config.scaling_factor
        tiny.close(opened.encode_image(pictures), latent, 1e-6)


def test_half_precision_keeps_its_state_in_full(model, pipe):
    half = tiny.ready(diffusers.SanaPipeline.from_pretrained(model.pretrained)).to(torch.bfloat16)
    found, full = ours(half), ours(pipe)
    assert found.dtype == torch.float32
    assert (found - full).abs().max() < 0.1 * full.abs().max()
    assert ours(half, output="image")[0].size == SIZE[::-1]


def test_a_lora_for_it_is_diffusers_own(model, folder, tmp_path):
    tiny.lora(tiny_flow.sana(), tmp_path / "lora")
    other = tiny.ready(diffusers.SanaPipeline.from_pretrained(folder))
    other.load_lora_weights(tmp_path / "lora")
    found = ours(replace(model, lora=str(tmp_path / "lora")))
    tiny.close(found, ours(other))
    assert (found - ours(model)).abs().max() > 1e-3


def attending(opened, layers=1):
    named = opened.attends.modules.replace(r"\d+", "{}")
    return [opened.net.get_submodule(named.replace("\\", "").format(n)) for n in range(layers)]


def test_recording_attention_changes_no_bit_and_maps_sum_to_one(pipe):
    with adapted(pipe) as opened:
        maps = zz.AttentionMaps(opened, range(300), steps=[0], legs=["zag"])
        sampler = zz.Zigzag(3.0, 1.0, lambda_=1)
        assert torch.equal(ours(maps, sampler, probe=maps.probe), ours(opened, sampler))
        for n in range(2):
            total = torch.stack([maps.mean(token, prompt=n) for token in range(300)]).sum(0)
            assert total.shape == SHAPE[1:] and (total - 1).abs().max() <= 1e-5


@pytest.mark.parametrize("instructed", [True, False])
def test_a_word_is_where_its_tokens_are(model, instructed):
    """Found by what the encoder reads: with another word there, the first token to change is the word's."""
    with replace(model, instructed=instructed).open() as opened:
        maps, said = zz.AttentionMaps(opened, ["star"]), "  a red and STAR and star"
        found = maps._locate(said)["star"]
        one, other = (opened.encode([text], [None])[0] for text in (said, said.replace("STAR", "ring")))
        moved = (one.tokens - other.tokens).abs().sum(-1)[0]
        assert len(found) == 2 and moved.nonzero()[0].item() == found[0]
        assert one.mask[0, : found[1] + 1].all() and not one.mask[0, found[1] + 1 :].any(), "the last token of all"
        with pytest.raises(ValueError, match="words='user' is not in the prompt 'a star'"):  # but in the instruction
            zz.AttentionMaps(opened, ["user"])._locate("a star")


def test_padding_is_not_looked_at(pipe):
    with adapted(pipe) as opened:
        cond, uncond = opened.encode(PROMPTS, [None, None])
        reading = Reading(opened.attends, [{n: [n] for n in range(300)}] * 2, 1, 2, SHAPE[1:], SHAPE[1:], None)
        with watched(attending(opened, 2), reading):
            opened(starting_noise(SEEDS, SHAPE), opened.levels.node(500), uncond, cond)
        for mask, maps in zip(cond.mask, reading.maps(), strict=True):
            seen = torch.tensor([maps[n].sum() > 0 for n in range(300)])
            assert torch.equal(seen, mask.bool())


@pytest.mark.parametrize("instructed", [True, False])
def test_a_prompt_is_cut_where_its_last_letter_changes_nothing(model, instructed):
    with replace(model, text_tokens=8, instructed=instructed).open() as opened:
        unread = []
        for n in range(4, 11):
            text = "b" * n
            one, other = (opened.encode([last], [None])[0].tokens for last in (text, text[:-1] + "c"))
            unread.append(torch.equal(one, other))
            assert opened.cut([text]) == ({text: 8} if unread[-1] else {})
        assert not unread[0] and unread[-1]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"scheduler": diffusers.DDIMScheduler()}, "the SanaPipeline has a DDIMScheduler; a rectified-flow schedule"),
        ({"scheduler": DPM()}, "has a DPMSolverMultistepScheduler; a rectified-flow schedule is needed"),
        (
            {"scheduler": tiny_flow.flow_solver(DPM, use_karras_sigmas=True)},
            "a flow's scheduler with use_karras_sigmas=True is not supported",
        ),
        (
            {"transformer": tiny_flow.sana_transformer(guidance_embeds=True)},
            "with guidance_embeds=True.*is it of Sana-Sprint",
        ),
        (
            {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)},
            "with use_dynamic_shifting=True, which a SanaPipeline of diffusers tells no size; set it to False",
        ),
        ({"transformer": tiny_flow.sana_transformer(in_channels=8)}, "reads more than latents"),
        ({"text_encoder": None}, r"the SanaPipeline has no text_encoder, which zz needs: .*or set pipe\.text_encoder"),
    ],
)
def test_what_cannot_be_adapted(part, message):
    with pytest.raises(ValueError, match=message):
        zz.sample(tiny_flow.sana(**part), "a", steps=2, size=64, output="latent")


def test_refusals(model, folder):
    with pytest.raises(ValueError, match=r"size=64x80 must be multiples of 32; choose size=\[64,64\]"):
        model.check((64, 80), PROMPTS)
    with pytest.raises(ValueError, match=r"model\.instructed=None must be true or false"):
        Sana(folder, instructed=None)
    with pytest.raises(ValueError, match=r"model\.text_tokens=1 must be a whole number of at least 2"):
        Sana(folder, text_tokens=1)
    with pytest.raises(ValueError, match="guidance=Embedded tells the network gamma, which that of model=sana"):
        ours(model, guidance=zz.Embedded())


def test_the_published_network_fits_without_weights():
    """diffusers' defaults are Sana 1.6B's; as many parameters as published, a picture's size, and both branches."""
    with torch.device("meta"):
        network, vae = diffusers.SanaTransformer2DModel(), diffusers.AutoencoderDC()
    assert round(sum(p.numel() for p in network.parameters()) / 1e9, 1) == 1.6
    with adapted(tiny_flow.sana(transformer=network, vae=vae)) as opened:
        assert opened.size == (1024, 1024) and opened.shape(opened.size) == (32, 32, 32)
        cond = (torch.empty(1, 300, 2304, device="meta"), torch.ones(1, 300, device="meta"))
        said = opened(torch.empty(1, 32, 32, 32, device="meta"), opened.levels.node(500), cond, cond)
    assert [p.eps.shape for p in said] == [(1, 32, 32, 32)] * 2
