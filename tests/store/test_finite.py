"""Numbers that are not finite never become a result: a picture, latents, a measurement, a score, a set metric."""

import json
import math
import pickle
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

import zz
import zz.run
from tests.parity import tiny
from zz.diffusion.finite import NotFinite, bad_rows
from zz.diffusion.guidance.cfg import CFG
from zz.diffusion.leg import Leg
from zz.diffusion.prediction import Prediction
from zz.lab.store.store import Store
from zz.models.mixture import Mixture, MixturePipeline

NAN, INF = float("nan"), float("inf")
WORDS = ["model=mixture", "steps=4", "lambda=2", "limit=6", "runner.batch_size=4"]


def images(store_path):
    (row,) = Store(store_path).cells()
    folder = Store(store_path).folder(row.cell)
    return {path.name: path.read_bytes() for path in sorted((folder / "images").glob("*.png"))}


def spoil(monkeypatch, prompt, value=NAN, when=lambda leg, node: True, part="predict"):
    """The exact model, whose network or decoder says `value` for one prompt."""
    opened = Mixture.open

    @contextmanager
    def spoiled(self, device="cpu", precision="32"):
        with opened(self, device, precision) as pipeline:
            texts: list[str] = []
            encode, predict, decode = pipeline.encode, MixturePipeline.__call__, pipeline.decode

            def remember(prompts, negative_prompts):
                texts[:] = prompts
                return encode(prompts, negative_prompts)

            def call(self, x, node, *conds):
                found = predict(self, x, node, *conds)
                rows = [n for n, text in enumerate(texts) if text == prompt]
                for one in found:
                    one.eps[rows] = one.eps[rows] + (value if when(None, node) else 0)
                return found

            def show(x):
                x = x.clone()
                x[[n for n, text in enumerate(texts) if text == prompt and x[n].abs().sum() > 0]] = value
                return decode(x)

            pipeline.encode = remember
            if part == "predict":
                monkeypatch.setattr(MixturePipeline, "__call__", call)
            else:
                pipeline.decode = show
            yield pipeline

    monkeypatch.setattr(Mixture, "open", spoiled)


@pytest.mark.slow
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("part", ["predict", "decode"])
def test_one_prompt_fails_and_the_others_keep_their_bits(cli, store_path, tmp_path, monkeypatch, part, value):
    assert cli(*WORDS, f"store={tmp_path}/good")[0] == 0
    good = images(tmp_path / "good")
    with monkeypatch.context() as patch:
        spoil(patch, "a blue star", value, part=part)
        code, out, err = cli(*WORDS, "limit=16")
    assert code == 1 and err == ""
    assert out.count("failed:") == 1 and "'a blue star': NotFinite: " in out
    assert ("step 0 (zig) on: the network's prediction" in out) == (part == "predict")
    made = images(store_path)
    assert len(made) == 15 and good.items() <= made.items()
    (row,) = Store(store_path).cells()
    assert all(n == 15 for n in row.scores.values())
    assert [failed["prompt"] for failed in Store(store_path).failures(row.cell).values()] == ["a blue star"]
    code, out, _ = cli(*WORDS, "limit=16")
    assert code == 0 and "1 images to make, 15 there already" in out and len(images(store_path)) == 16
    assert Store(store_path).failures(row.cell) == {}


def test_a_decoder_that_says_nan_leaves_no_picture(cli, store_path, tmp_path):
    pipe = tiny.sd()
    pipe.vae.decoder.conv_out.bias.data.fill_(NAN)
    pipe.save_pretrained(tmp_path / "broken")
    words = [
        "model=sd15",
        f"model.pretrained={tmp_path}/broken",
        "model.variant=null",
        "steps=2",
        "size=16",
        "scorers=[]",
    ]
    code, out, err = cli(*words, "dataset=inline", "dataset.texts=[a red circle,a blue star]")
    assert code == 1 and out.count("failed:") == 2, err
    assert "autoencoder" in out and "runner.precision=32" in out and "model.vae=" in out
    assert images(store_path) == {}


@pytest.mark.parametrize("words", [[], ["measurements=[reflections]"]])
def test_a_network_that_says_nan_stops_the_run_after_some_slots(cli, store_path, monkeypatch, words):
    broken = lambda self, x, node, *conds: [Prediction(x * NAN, x)] * len(conds)  # noqa: E731
    monkeypatch.setattr(MixturePipeline, "__call__", broken)
    code, _, err = cli("model=mixture", "steps=4", "runner.batch_size=1", *words)
    assert code == 2 and "latents are not finite from step 0 (zig) on: the network's prediction is not; run in" in err
    (row,) = Store(store_path).cells()
    assert len(Store(store_path).failures(row.cell)) == 8 and images(store_path) == {}


def test_what_is_asked_of_zz_is_named():
    model = Mixture()
    pictures = zz.sample(model, ["a red circle", "a blue star"], steps=4, output="latent")
    pictures[1, 0, 0, 0] = INF
    with pytest.raises(NotFinite, match=r"prompts\[1\]: the starting latents are not finite: .*initial_latents"):
        zz.sample(model, ["a red circle", "a blue star"], steps=4, initial_latents=pictures, batch_size=1)
    with pytest.raises(ValueError, match=r"prompts\[0\]: .* from step 0 \(zig\) on: .* a smaller guidance scale"):
        zz.sample(model, "a red circle", steps=4, sampler=zz.Standard(1e300))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("vae.encoder.conv_in", "the autoencoder's latents of the picture are not finite; "),
        ("unet.conv_in", r"latents are not finite from step 3 \(zag\) on: the network's prediction is not"),
        ("text_encoder", "what the text encoder makes of the prompts is not finite; "),
    ],
)
def test_inversion_names_the_picture_and_the_part(part, said):
    pipe = tiny.sd()
    first, _, rest = part.partition(".")
    list(getattr(pipe, first).get_submodule(rest).parameters())[-1].data.fill_(NAN)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    with pytest.raises(NotFinite, match=r"images\[0\], images\[1\]: " + said):
        zz.invert(pipe, [picture, picture], "a red circle", steps=4, gamma=2.0)


def test_rows_and_where_they_are():
    x = torch.zeros(3, 2, 4, 4)
    assert bad_rows(x) == []
    x[2, 1, 3, 3] = -INF
    assert bad_rows(x) == [2]
    error = NotFinite("why", [2], x)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.rows, again.latents) == ("why", (2,), None)


def test_rescaled_guidance_of_a_flat_output_is_finite():
    """Lin et al. divide by the output's standard deviation, which is 0 where it is flat."""
    flat = Prediction(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    guided = CFG(rescale=0.7).bind(lambda x, node, *conds: (flat,) * len(conds), None, None)
    found = guided(torch.zeros(2, 3, 4, 4), zz.diffusion.schedule.Node(0.6, 0.8, 500.0), 5.0, Leg.ZIG)
    assert found.eps.isfinite().all() and found.x0.isfinite().all()


def test_effective_guidance_is_finite_from_pure_noise_on(cli, store_path):
    """At zero terminal SNR alpha is 0 on the first node."""
    words = ["model.prediction=v", "model.levels.zero_terminal_snr=true", "schedule=trailing"]
    code, _, err = cli(*WORDS, *words, "measurements=[effective_guidance]", "scorers=[]")
    assert code == 0, err
    (row,) = Store(store_path).cells()
    for name in Store(store_path).names(row.cell):
        (identity,) = Store(store_path).measurements(row.cell)
        values = Store(store_path).measured(row.cell, identity, name)
        assert all(np.isfinite(found).all() for found in values.values())


def test_a_set_metric_that_is_not_finite_is_not_kept(cli, store_path, monkeypatch):
    from zz.scorers.diversity import Diversity
    from zz.scorers.interval import Interval

    monkeypatch.setattr(Diversity, "measure", lambda *args: Interval(math.inf, math.inf, math.inf))
    code, out, _ = cli("steps=2", "limit=4", "scorers=[shapes_diversity,shapes_correct]")
    assert code == 1 and "scorer shapes_diversity, " in out and "it gave no finite number for 4 pictures" in out
    for path in (store_path / "sets").glob("*.json"):
        assert "NaN" not in path.read_text() and json.loads(path.read_text())
