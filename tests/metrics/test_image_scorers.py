"""Image scorers: strict key maps at full size, tiny random weights in the authors' formats, pictures of all kinds."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from tests.metrics import tiny
from zz.data.base import Prompt
from zz.hub.published import Published
from zz.scorers import aesthetic, head, hps, image_reward
from zz.scorers.aesthetic import Aesthetic
from zz.scorers.base import Limited
from zz.scorers.checkpoints import mapped, skeleton
from zz.scorers.clip import ClipSimilarity
from zz.scorers.hps import HPS, letterbox
from zz.scorers.image_reward import ImageReward
from zz.scorers.pickscore import PickScore
from zz.scorers.pictures import normalised, rgb, squares
from zz.scorers.text import cleaned

LONG = "a red circle beside a blue star " * 5
TEXTS = ["a red circle", "", LONG, "ein großer Hund", "一只戴帽子的猫", "🦊 and “quotes”", "UPPER   case"]
NAMES = ["hps", "image_reward", "pickscore", "aesthetic", "similarity"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One scorer of each kind, with everything that it needs in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("scorers")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        tiny.shrunk(patch)
        clip, bert = tiny.clip_tokenizer(), tiny.bert_tokenizer()
        words = tiny.tokenizer_file("clip/tokenizer.json", clip)
        save = lambda state, name: tiny.published(name, partial(torch.save, state))  # noqa: E731
        pretrained = tiny.clip_folder(folder / "clip")
        yield {
            "hps": HPS(save({"state_dict": tiny.open_clip()}, "hps.pt"), words),
            "image_reward": ImageReward(
                save(tiny.reward(), "reward.pt"), tiny.tokenizer_file("bert/tokenizer.json", bert)
            ),
            "pickscore": PickScore(words, pretrained),
            "aesthetic": Aesthetic(save(tiny.five_layers(), "head.pth"), pretrained),
            "similarity": ClipSimilarity(pretrained),
        }


def said(texts):
    return [Prompt(text) for text in texts]


def scores(scorer, images, texts):
    with scorer.open() as score:
        return score(images, said(texts))


# -- key maps at full size


def test_hps_maps_onto_all_910_keys_at_full_size():
    from transformers import CLIPConfig, CLIPModel

    shapes = tiny.open_clip(hps.VIT_H_14, seed=None)
    theirs = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    wanted = skeleton(CLIPModel, CLIPConfig(**hps.VIT_H_14))
    assert len(theirs) == 686 and len(wanted) == 910  # queries, keys and values lie in one tensor in theirs
    assert mapped(theirs, wanted, hps.origin).keys() == wanted.keys()


def test_image_reward_maps_onto_all_620_keys_at_full_size():
    from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
    from transformers.models.blip.modeling_blip_text import BlipTextModel

    shapes = tiny.reward(image_reward.VISION, image_reward.TEXT, seed=None)
    theirs = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    vision, text = BlipVisionConfig(**image_reward.VISION), BlipTextConfig(**image_reward.TEXT)
    wanted = {f"vision.{k}": x for k, x in skeleton(BlipVisionModel, vision).items()}
    wanted |= {f"text.{k}": x for k, x in skeleton(BlipTextModel, text, add_pooling_layer=False).items()}
    wanted |= {f"mlp.{k}": x for k, x in head.skeleton().items()}
    found = mapped(theirs, wanted, image_reward.origin, image_reward.SPARE)
    assert found.keys() == wanted.keys()
    spare = theirs.keys() - {image_reward.origin(key)[0] for key in wanted}
    assert len(wanted) == 620 and len(spare) == 5


def test_the_aesthetic_head_is_five_layers():
    theirs = {name: torch.empty(shape, device="meta") for name, shape in tiny.five_layers(768, seed=None).items()}
    assert len(mapped(theirs, head.skeleton(), aesthetic.origin)) == 10


# -- values


def open_clip_features(state, pixels, ids, heads):
    """open_clip's two towers, from the format alone: the features, normalised."""

    def tower(x, at, n, mask=None):
        for i in range(n):
            get = lambda name, at=f"{at}.resblocks.{i}": state[f"{at}.{name}"]  # noqa: E731
            y = norm(x, get("ln_1.weight"), get("ln_1.bias")).transpose(0, 1)
            y, _ = functional.multi_head_attention_forward(
                *(y, y, y, y.shape[-1], heads[at], get("attn.in_proj_weight"), get("attn.in_proj_bias"), None, None),
                *(False, 0.0, get("attn.out_proj.weight"), get("attn.out_proj.bias")),
                training=False,
                need_weights=False,
                attn_mask=mask,
            )
            x = x + y.transpose(0, 1)
            y = functional.linear(
                norm(x, get("ln_2.weight"), get("ln_2.bias")), get("mlp.c_fc.weight"), get("mlp.c_fc.bias")
            )
            x = x + functional.linear(functional.gelu(y), get("mlp.c_proj.weight"), get("mlp.c_proj.bias"))
        return x

    def norm(x, weight, bias):
        return functional.layer_norm(x, x.shape[-1:], weight, bias)

    def ln(x, name):
        return norm(x, state[f"{name}.weight"], state[f"{name}.bias"])

    conv = state["visual.conv1.weight"]
    x = functional.conv2d(pixels, conv, stride=conv.shape[-1]).flatten(2).transpose(1, 2)
    first = state["visual.class_embedding"].expand(len(x), 1, -1)
    x = ln(torch.cat([first, x], 1) + state["visual.positional_embedding"], "visual.ln_pre")
    seen = ln(tower(x, "visual.transformer", 2)[:, 0], "visual.ln_post") @ state["visual.proj"]
    t = state["token_embedding.weight"][ids] + state["positional_embedding"]
    t = ln(tower(t, "transformer", 2, torch.full((77, 77), -torch.inf).triu(1)), "ln_final")
    read = t[torch.arange(len(t)), ids.argmax(-1)] @ state["text_projection"]
    return functional.normalize(seen, dim=-1), functional.normalize(read, dim=-1)


def test_hps_is_what_the_format_says(world):
    """Against the two towers written out over the published keys: their order of sums is another, 2e-6 at most."""
    images, texts = [tiny.picture(seed=i) for i in range(3)], ["a red circle", "", LONG]
    ids = torch.zeros(3, 77, dtype=torch.long)
    for row, text in zip(ids, texts, strict=True):
        tokens = tiny.clip_tokenizer()(text).input_ids
        tokens = tokens if len(tokens) <= 77 else [*tokens[:76], 513]
        row[: len(tokens)] = torch.tensor(tokens)
    pixels = normalised(torch.stack([letterbox(image, tiny.SIDE) for image in images]))
    heads = {"visual.transformer": 2, "transformer": 4}
    seen, read = open_clip_features(tiny.open_clip(), pixels, ids, heads)
    found = scores(world["hps"], images, texts)
    assert found == pytest.approx((100 * (seen * read).sum(-1)).tolist(), abs=2e-4)


def test_the_aesthetic_score_is_linear_layers_on_a_unit_embedding(world):
    from transformers import CLIPModel

    image, state = tiny.picture(), tiny.five_layers()
    model = CLIPModel.from_pretrained(world["aesthetic"].pretrained)
    x = model.visual_projection(model.vision_model(pixel_values=squares([image], tiny.SIDE)).pooler_output)
    x = x / x.norm()
    for n in (0, 2, 4, 6, 7):
        x = x @ state[f"layers.{n}.weight"].T + state[f"layers.{n}.bias"]
    assert scores(world["aesthetic"], [image], ["anything"]) == pytest.approx([x.item()], rel=1e-5)


def test_pickscore_is_the_logit_scale_times_the_cosine(world):
    from dataclasses import replace

    from transformers import CLIPModel

    image, scorer = tiny.picture(), world["pickscore"]
    found = scores(scorer, [image], ["a red circle"])
    assert found == pytest.approx(
        [
            x * CLIPModel.from_pretrained(scorer.pretrained).logit_scale.exp().item()
            for x in scores(replace(scorer, scale=1.0), [image], ["a red circle"])
        ]
    )
    assert found[0] == pytest.approx(
        scores(world["similarity"], [image], ["a red circle"])[0] / 100 * np.exp(2.6592), rel=1e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_single_pictures_give(world, name):
    """Kernels sum in another order for another batch size: float32's 6e-8, over some thousand terms of numbers up to
    100, stays below 1e-3; the pictures differ by far more."""
    images = [tiny.picture(40 + 30 * i, 60 + 11 * i, seed=i) for i in range(len(TEXTS))]
    with world[name].open() as score:
        together = score(images, said(TEXTS))
        alone = [score([image], said([text]))[0] for image, text in zip(images, TEXTS, strict=True)]
        assert score([], []) == []
    assert together == pytest.approx(alone, abs=1e-3) and np.isfinite(together).all()
    assert np.ptp(together) > 0.01


@pytest.mark.parametrize(("name", "most"), [("hps", 77), ("image_reward", 35), ("pickscore", 77), ("similarity", 77)])
def test_a_prompt_is_read_up_to_a_length_and_that_is_said(world, name, most):
    with world[name].open() as score:
        assert isinstance(score, Limited)
        assert score.cut(["a star", "", LONG]) == {LONG: most} and score.cut([]) == {}
        image = tiny.picture()
        one, other = score([image] * 2, said([LONG, LONG + " that nobody reads"]))
        assert one == pytest.approx(other, abs=1e-4)


def test_the_aesthetic_score_reads_no_prompt(world):
    with world["aesthetic"].open() as score:
        assert not isinstance(score, Limited)
        one, other = score([tiny.picture()] * 2, said(["a", LONG]))
    assert one == other


@pytest.mark.parametrize("name", NAMES)
def test_scale_and_unit_are_one_and_part_of_the_identity(world, name):
    from dataclasses import replace

    from zz.lab.scoring.names import identity

    scorer, image = world[name], tiny.picture()
    half = replace(scorer, scale=50.0)
    assert identity(half) != identity(scorer) and half.unit != scorer.unit and "50" in half.unit
    tenth = replace(scorer, scale=5.0)
    assert scores(half, [image], ["a star"])[0] == pytest.approx(10 * scores(tenth, [image], ["a star"])[0], rel=1e-5)


def test_identities_need_no_file():
    file = Published("hf:nobody/nothing@main/x.pt")
    assert HPS(file, file).settings()["file"] == "hf:nobody/nothing@main/x.pt"
    assert Aesthetic(file, "nobody/nothing", "abc").settings()["weights"] == "nobody/nothing@abc"
    assert ClipSimilarity("nobody/nothing").settings()["weights"] == "nobody/nothing@main"
    assert set(PickScore(file).needs.weights) == {"yuvalkirstain/PickScore_v1"}


# -- broken files


def refusal(scorer):
    with pytest.raises(ValueError) as error, scorer.open():
        pass
    said = str(error.value)
    assert "\n" not in said and ("again" in said or "anew" in said), said
    return said


CHECKPOINTS = {
    "hps": "visual.conv1.weight",
    "image_reward": "blip.visual_encoder.pos_embed",
    "aesthetic": "layers.4.bias",
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_broken_checkpoint_is_one_message(world, name, tmp_path, monkeypatch):
    from dataclasses import replace

    scorer, key = world[name], CHECKPOINTS[name]
    state = torch.load(scorer.file.place, weights_only=True)
    inner = state["state_dict"] if name == "hps" else state

    def broken(write):
        file = Published(f"https://example.org/{tmp_path.name}/{name}.pt")
        file.place.parent.mkdir(parents=True, exist_ok=True)
        file.place.with_name(f"{file.place.name}.sha256").unlink(missing_ok=True)
        write(file.place)
        return refusal(replace(scorer, file=file))

    def saved(changed):
        return partial(torch.save, {"state_dict": changed} if name == "hps" else changed)

    kept = {k: x for k, x in inner.items() if k != key}
    assert f"lacks {key};" in broken(saved(kept))
    assert "has besides of.another.model;" in broken(saved(inner | {"of.another.model": torch.ones(1)}))
    assert f"has in another shape {key};" in broken(saved(kept | {key: torch.ones(2)}))
    assert "lacks" in broken(saved({})) and "more" in broken(saved({}))
    assert "cannot be read as a checkpoint" in broken(
        lambda path: path.write_bytes(scorer.file.place.read_bytes()[:9000])
    )
    assert "cannot be read as a checkpoint" in broken(lambda path: path.write_text("<html>404</html>"))
    assert "cannot be read as a checkpoint" in broken(lambda path: path.write_bytes(b""))
    assert "holds" in broken(partial(torch.save, [torch.ones(1)]))
    assert "cannot be read" in broken(partial(torch.save, {"state_dict": tiny.Image.new}))  # code, which is not run


def test_a_broken_tokenizer_is_one_message(world):
    from dataclasses import replace

    file = tiny.published("broken/tokenizer.json", lambda path: path.write_text("{}"))
    assert "scorers.hps.tokenizer" in refusal(replace(world["hps"], tokenizer=file))


def test_a_folder_with_weights_of_another_model_is_refused(world, tmp_path):
    from dataclasses import replace

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "clip"
    shutil.copytree(world["pickscore"].pretrained, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    for name in ("pickscore", "similarity", "aesthetic"):
        assert "lacks visual_projection.weight" in refusal(replace(world[name], pretrained=str(folder)))
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    assert "cannot be loaded" in refusal(replace(world["pickscore"], pretrained=str(folder)))


# -- pictures of all kinds


def test_a_picture_is_read_as_a_person_sees_it():
    base = tiny.picture(60, 40)
    assert rgb(base) is base
    clear = base.copy()
    clear.putalpha(0)
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert rgb(clear).getextrema() == ((255, 255),) * 3
    assert rgb(half).getpixel((0, 0)) == (127, 127, 127)
    grey = Image.fromarray(np.array([[0, 257, 32896, 65535]], dtype=np.uint16))
    assert [rgb(grey).getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]
    assert rgb(grey.convert("I")).getpixel((2, 0)) == (128, 128, 128)
    palette = base.quantize(8)
    assert np.array_equal(np.asarray(rgb(palette)), np.asarray(palette.convert("RGB")))
    hole = Image.new("P", (2, 2), 0)
    hole.putpalette([10, 20, 30])
    hole.info["transparency"] = 0
    assert rgb(hole).getpixel((0, 0)) == (255, 255, 255)
    for mode in ("1", "L", "LA", "CMYK", "YCbCr", "HSV", "LAB"):
        source = base if mode != "LAB" else Image.new("LAB", (60, 40))
        found = rgb(source.convert(mode) if mode != "LAB" else source)
        assert found.mode == "RGB" and found.size == (60, 40)
    with pytest.raises(ValueError, match="8 or 16 bits"):
        rgb(base.convert("F"))


def test_a_picture_that_its_exif_turns_is_upright(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    tiny.picture(60, 40).save(tmp_path / "x.jpg", exif=turned)
    with Image.open(tmp_path / "x.jpg") as image:
        assert image.size == (60, 40) and rgb(image).size == (40, 60)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_any_kind_has_a_score(world, name):
    base = tiny.picture(70, 30)
    kinds = [base.convert(mode) for mode in ("RGBA", "LA", "P", "1", "L", "CMYK", "I")]
    kinds += [Image.fromarray((np.asarray(base.convert("L")).astype(np.uint16)) * 257), base.resize((1, 1))]
    kinds += [base.resize((900, 3)), base.resize((2, 500)), base.resize((224, 224)), base.resize((56, 20))]
    found = scores(world[name], kinds, ["a star"] * len(kinds))
    assert np.isfinite(found).all()
    assert found[4] == pytest.approx(found[7], abs=1e-3)  # grey of 8 and of 16 bits


def test_hps_sees_the_whole_picture_on_black():
    x = letterbox(Image.new("RGB", (100, 50), "white"), 56)
    assert x.shape == (3, 56, 56)
    assert (x[:, 14:42] > 0.999).all() and (x[:, :14] == 0).all() and (x[:, 42:] == 0).all()
    assert letterbox(Image.new("RGB", (56, 20), "white"), 56)[:, 18:38].min() == 1


def test_the_middle_is_cut_out_where_torchvision_does():
    """A longer side of 227 after resizing: round(1.5) = 2, where rounding down gives 1."""
    x = torch.zeros(227, 224, 3, dtype=torch.uint8)
    x[2] = 255
    found = squares([Image.fromarray(x.numpy())])[0]
    assert (found[:, 0] > 1).all() and (found[:, 1] < 0).all()


# -- words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a  red\n\tstar ", "a red star"),
        ("\u201cit\u2019s\u201d", '"it\'s"'),
        ("salt &amp; pepper &amp;lt;3", "salt & pepper <3"),
        ("\ufb01ne \uff21\uff0c\u3000B", "fine A, B"),
        ("e\u0301", "é"),
        ("a\x00b\x1b[31mc\ufeff", "abc"),
        ("<b>&rsquo;</b>", "<b>\u2019</b>"),
        ("", ""),
    ],
)
def test_clip_cleans_prompts(text, wanted):
    assert cleaned(text) == wanted
