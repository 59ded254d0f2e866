"""zz.invert on the exact model: what comes back, how fast it converges, and what is refused."""

import io
import math
import struct

import numpy as np
import PIL.Image
import pytest
import torch
from PIL import Image, ImageOps

import zz
from zz.diffusion.leg import Leg
from zz.diffusion.levels import Flow
from zz.diffusion.samplers.walk import Walk
from zz.diffusion.schedules.log_uniform import LogUniform
from zz.diffusion.schedules.timesteps import Timesteps
from zz.inversion import read
from zz.models.base import Pipeline
from zz.models.mixture import points

MODEL = zz.Mixture(std=0.3, size=(16, 16))
PROMPTS = ["a red circle", "a blue star"]


@pytest.fixture(scope="module")
def pictures():
    return zz.sample(MODEL, PROMPTS, sampler=zz.Standard(1.0), steps=20, seeds=[3, 4])


def clean(pictures):
    with MODEL.open() as pipeline:
        return pipeline.encode_image(read(pictures))


def there_and_back(pictures, T, gamma=0.0, schedule=None, model=MODEL):
    """The root mean square of what a way up and a way down with the same guidance change."""
    x_T = zz.invert(model, pictures, PROMPTS, gamma=gamma, steps=T, schedule=schedule)
    down = zz.Standard(gamma)
    x = zz.sample(model, PROMPTS, sampler=down, steps=T, schedule=schedule, initial_latents=x_T, output="latent")
    return (x - clean(pictures)).square().mean().sqrt().item()


@pytest.mark.parametrize(
    ("gamma", "schedule"),
    [(0.0, LogUniform()), (1.0, LogUniform()), (0.0, zz.Karras()), (0.0, zz.AYS())],
    ids=["log_uniform", "conditional", "karras", "ays"],
)
def test_the_way_up_and_down_converges_with_order_one(pictures, gamma, schedule):
    """The network is given t but sees the latent at s: an error of order two a step, of order one in all."""
    errors = [there_and_back(pictures, T, gamma, schedule) for T in (50, 100, 200, 400)]
    assert errors == sorted(errors, reverse=True)
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(1, abs=0.1)
    assert errors[-1] < 0.01  # of pixels that run over -1..1


def test_the_error_falls_on_the_models_own_nodes_and_on_a_flow(pictures):
    errors = [there_and_back(pictures, T) for T in (10, 50, 200)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01
    flow = zz.Mixture(std=0.3, size=(16, 16), levels=Flow())
    errors = [there_and_back(pictures, T, model=flow) for T in (10, 50, 200)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.05


def test_pictures_come_back(pictures):
    x_T = zz.invert(MODEL, pictures, "", steps=400, schedule=LogUniform())
    again = zz.sample(MODEL, PROMPTS, sampler=zz.Standard(0.0), steps=400, schedule=LogUniform(), initial_latents=x_T)
    for one, other in zip(pictures, again, strict=True):
        assert np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).mean() < 1  # grey levels of 255
    other = zz.sample(MODEL, PROMPTS, sampler=zz.Standard(0.0), steps=400, schedule=LogUniform())
    assert np.abs(np.asarray(pictures[0], dtype=int) - np.asarray(other[0], dtype=int)).mean() > 10, "from other noise"


@pytest.mark.parametrize("final", ["first", "clean"])
def test_it_is_the_walk_up_from_the_pictures_latent_as_it_is(pictures, final):
    steps, T, schedule = [], 6, Timesteps("leading", 1, final)
    found = zz.invert(MODEL, pictures, PROMPTS, gamma=1.5, steps=T, schedule=schedule, probe=steps.append)
    assert [(s.i, s.leg, s.gamma) for s in steps] == [(i, Leg.ZAG, 1.5) for i in reversed(range(T))]
    assert torch.equal(steps[0].x, clean(pictures)) and torch.equal(steps[-1].y, found)
    with MODEL.open() as pipeline:
        nodes = schedule.nodes(pipeline.levels, T)
        assert [s.target for s in steps] == list(nodes[-2::-1])
        assert steps[0].source.alpha == nodes[-1].alpha and steps[0].source.time == nodes[-2].time
        cond, uncond = pipeline.encode(PROMPTS, [None, None])
        x = clean(pictures)
        walk = Walk(zz.CFG().bind(pipeline, cond, uncond), nodes, zz.DDIM(), None, lambda step: None)
        for i in reversed(range(T)):
            x = walk.up(x, i, 1.5)
    assert torch.equal(x, found)


def test_batches_prompts_and_gamma(pictures):
    fields = {"steps": 8}
    whole = zz.invert(MODEL, pictures, PROMPTS, **fields)
    assert whole.shape == (2, 3, 16, 16) and whole.dtype == torch.float32
    assert torch.allclose(whole, zz.invert(MODEL, pictures, PROMPTS, batch_size=1, **fields), atol=1e-5)
    assert torch.equal(whole, zz.invert(MODEL, pictures, "", **fields)), "gamma = 0 does not look at the prompt"
    assert torch.equal(whole[:1], zz.invert(MODEL, pictures[0], PROMPTS[0], **fields))
    with MODEL.open() as pipeline:
        assert torch.equal(whole, zz.invert(pipeline, pictures, PROMPTS, **fields))
    guided = zz.invert(MODEL, pictures, PROMPTS, gamma=1.0, **fields)
    assert not torch.allclose(whole, guided, atol=1e-2)
    told = zz.invert(MODEL, pictures, PROMPTS, network_time="s", **fields)
    assert not torch.allclose(whole, told, atol=1e-3)
    negative = zz.invert(MODEL, pictures, PROMPTS, negative_prompt="green", **fields)
    assert not torch.allclose(whole, negative, atol=1e-3)


def test_zigzag_samples_from_an_inverted_picture(pictures):
    x_T = zz.invert(MODEL, pictures, PROMPTS, steps=8)
    found = zz.sample(MODEL, PROMPTS, sampler=zz.Zigzag(2.0, 0.0), steps=8, initial_latents=x_T, output="latent")
    assert found.isfinite().all()
    plain = zz.sample(MODEL, PROMPTS, sampler=zz.Standard(2.0), steps=8, initial_latents=x_T, output="latent")
    assert not torch.allclose(found, plain, atol=1e-3)


def test_encoding_undoes_decoding_for_every_grey_level():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(1, 1, 1, 3)
    with MODEL.open() as pipeline:
        x = pipeline.encode_image(levels)
        assert x.shape == (1, 3, 16, 16) and x.dtype == torch.float32 and (x.min(), x.max()) == (-1, 1)
        assert torch.equal(pipeline.decode(x), levels)


def test_pictures_of_other_kinds_are_made_rgb_and_upright(tmp_path):
    grey = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    rgb = torch.from_numpy(np.array(grey)).unsqueeze(-1).expand(3, 4, 3)
    for image in (grey, grey.convert("RGBA"), grey.convert("LA")):
        assert torch.equal(read([image])[0], rgb)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90 degrees
    grey.save(tmp_path / "turned.png", exif=exif)
    assert torch.equal(read([Image.open(tmp_path / "turned.png")])[0], rgb.rot90(-1))


PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
MODES = [mode for mode in PIL.Image.MODES if mode[0] not in "IF"]


def of_mode(mode):
    """A picture of any mode, made as Pillow can."""
    step = {"La": "LA", "RGBa": "RGBA", "PA": "P"}.get(mode)
    image = Image.fromarray(PIXELS)
    return image.convert(step).convert(mode) if step else image.convert(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("error")
def test_every_mode_of_8_bits_is_taken(mode):
    image = of_mode(mode)
    plain = image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, mode)).convert("RGB")
    assert torch.equal(read([image])[0], torch.from_numpy(np.array(plain)))
    given = Image.new("P", (4, 3))
    given.info["transparency"] = b"\0\1\2"  # which Pillow warns of
    assert read([given]).shape == (1, 3, 4, 3)


def jpeg(exif=b"", **more):
    """A picture that was written and is opened again."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).resize((32, 16)).save(file, "JPEG", exif=exif, **more)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says_also_where_that_cannot_be_written_back(orientation):
    """A width with a sign, which Pillow reads and cannot write."""
    entries = struct.pack("<HHIi", 0x0100, 9, 1, -1), struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    odd = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + b"".join(entries) + bytes(4)
    plain = Image.Exif()
    plain[0x0112] = orientation
    upright = torch.from_numpy(np.array(ImageOps.exif_transpose(jpeg(plain))))
    assert torch.equal(read([jpeg(plain)])[0], upright)
    if orientation > 1:
        with pytest.raises(struct.error):
            ImageOps.exif_transpose(jpeg(odd))
    assert torch.equal(read([jpeg(odd)])[0], upright)


def test_exif_that_says_nonsense_turns_nothing():
    for value in (0, 9, 77, "6", b"x"):
        image = jpeg()
        image.getexif()[0x0112] = value
        assert torch.equal(read([image])[0], torch.from_numpy(np.array(jpeg())))


def gif():
    file = io.BytesIO()
    small().save(file, "GIF", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")])
    return Image.open(file)


def closed():
    image = jpeg()
    image.close()
    return image


def small(mode="RGB", size=(16, 16)):
    return Image.new(mode, size)


BAD = [
    ({"images": []}, r"images=\[\] must be a PIL picture"),
    ({"images": "cat.png"}, "images='cat.png' must be a PIL picture"),
    ({"images": ["cat.png"]}, r"images\[0\]='cat.png' is no PIL picture; open a file with PIL.Image.open"),
    ({"images": [small(), small("I;16")]}, r"images\[1\] has mode I;16, more than 8 bits"),
    ({"images": [small(), gif()]}, r"images\[1\] has 2 frames; seek one and give its copy"),
    ({"images": [small(), closed()]}, r"images\[1\] cannot be read: .*; replace the file"),
    ({"images": small(size=(0, 16))}, r"images\[0\] is 16x0 pixels"),
    ({"images": [small(), small(size=(24, 16))]}, "images are 16x16, 16x24 pixels; crop or resize"),
    ({"images": small(size=(8, 8))}, "size=8x8: the exact model draws 16 to 256 pixels"),
    ({"prompts": ["a", "b"]}, "prompts has 2 entries for 1 images"),
    ({"prompts": "a cat"}, "does not know cat"),
    ({"negative_prompt": 5}, "negative_prompt=5 must be a text"),
    ({"num_inference_steps": 5}, "num_inference_steps=5 is not a word of zz.invert; what it is here: steps=50"),
    ({"guidance_scale": 5}, "what it is here: .*gamma=0.0"),
    ({"gamma": "none"}, "gamma='none' must be a finite number"),
    ({"steps": 0}, "steps=0"),
    ({"batch_size": 0}, "batch_size=0"),
    ({"network_time": "u"}, "network_time='u'"),
    ({"v_at": "u"}, "v_at='u'"),
    ({"solver": "ddim"}, "solver='ddim' must be a Solver"),
    ({"schedule": "ays"}, "schedule='ays' must be a Schedule"),
    ({"solver": zz.NoisyInversion()}, "only be disturbed after a way down"),
    ({"model": "sd"}, "model='sd' is no model"),
    ({"model": points()}, "2-D points have no pictures"),
]


@pytest.mark.parametrize(("fields", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_is_refused_by_name(fields, message):
    arguments = {"model": MODEL, "images": small(), "prompts": "", "steps": 4} | fields
    with pytest.raises(ValueError, match=message):
        zz.invert(arguments.pop("model"), arguments.pop("images"), arguments.pop("prompts"), **arguments)


def test_a_broken_file_is_refused(tmp_path):
    path = tmp_path / "cut.png"
    Image.effect_noise((16, 16), 50).save(path)
    path.write_bytes(path.read_bytes()[:120])
    with pytest.raises(ValueError, match=r"images\[0\] cannot be read: .*; replace the file"):
        zz.invert(MODEL, Image.open(path), "")


def test_a_pipeline_without_a_way_in_says_so():
    with MODEL.open() as pipeline, pytest.raises(ValueError, match="MixturePipeline has no way from pictures"):
        Pipeline.encode_image(pipeline, torch.zeros(1, 16, 16, 3, dtype=torch.uint8))
