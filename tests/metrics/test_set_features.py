"""Set metrics: references, resizing, the networks of features, and a whole run."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.metrics.sets import INCEPTION, OF, drawn, extract, pictures
from zz.hub.published import Published
from zz.scorers.embeddings import Embedding
from zz.scorers.fid import FrechetDistance
from zz.scorers.frechet import moments
from zz.scorers.inception import Inception, InceptionFeatures
from zz.scorers.inception_score import InceptionScore
from zz.scorers.reference import Reference
from zz.scorers.resizing import resized


def test_a_folder_is_read_by_chunks_and_known_by_its_contents(tmp_path, monkeypatch):
    monkeypatch.setattr("zz.scorers.reference.CHUNK", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = pictures(tmp_path / "real" / "inside", 11).parent
    reference = Reference(str(folder))
    x = extract([Image.open(path) for path in sorted(folder.rglob("*.png"))])
    assert reference.features(extract, "kid") == pytest.approx(x)
    assert reference.moments(extract, "fid").covariance == pytest.approx(np.cov(x, rowvar=False), rel=1e-10)
    known = reference.identity("fid")
    assert Reference(str(pictures(tmp_path / "copy", 11))).identity("fid") == known  # whatever the path
    assert Reference(str(pictures(tmp_path / "copy", 10, seed=1))).identity("fid") != known
    (folder / "notes.txt").write_text("no picture")
    assert reference.identity("fid") == known


def test_statistics_are_read_from_a_file_and_those_of_another_form_are_named(tmp_path):
    path = tmp_path / "stats.npz"
    mean, covariance = moments(drawn(50))
    np.savez(path, mu=mean, sigma=covariance)
    found = Reference(str(path)).moments(extract, "fid")
    assert (found.mean == mean).all() and (found.covariance == covariance).all()
    first = Reference(str(path)).identity("fid")
    with pytest.raises(ValueError, match=r"scorers.kid.against.path=.*stats.npz: it needs the pictures themselves"):
        Reference(str(path)).features(extract, "kid")
    for wrong, said in [
        ({"mean": mean}, "is no .npz of mu and sigma"),
        ({"mu": mean, "sigma": covariance[:5]}, r"mu \(12,\) and sigma \(5, 12\)"),
        ({"mu": mean * math.nan, "sigma": covariance}, "not finite"),
    ]:
        np.savez(path, **wrong)
        with pytest.raises(ValueError, match=said):
            Reference(str(path)).moments(extract, "fid")
        assert Reference(str(path)).identity("fid") != first


def test_what_is_not_there_is_named_before_anything_runs(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, said in [
        (None, "scorers.fid.against.path=null: give a folder of real pictures"),
        (str(tmp_path / "nowhere"), "nowhere is not there; give a folder"),
        (str(tmp_path / "empty"), "empty has no pictures"),
    ]:
        with pytest.raises(ValueError, match=said):
            FrechetDistance(OF, Reference(path)).settings()
    (pictures(tmp_path / "real", 2) / "000.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"against: .*000.png cannot be read"):
        Reference(str(tmp_path / "real")).moments(extract, "fid")


def test_published_statistics_are_known_by_their_source_and_are_a_need():
    file = Published("https://host/stats.npz")
    metric = FrechetDistance(INCEPTION, Reference(file=file))
    assert metric.settings() == {"against": "https://host/stats.npz"}
    assert metric.needs.files == (INCEPTION.file, file)
    assert FrechetDistance(INCEPTION, Reference("real", file)).needs.files == (INCEPTION.file,)


def test_tensorflows_bilinear_reads_pixel_i_at_i_times_the_scale():
    x = np.zeros((4, 6, 3), dtype=np.uint8)
    x[..., 0] = [[0, 10, 20, 30, 40, 50]] * 4
    x[..., 1] = np.array([0, 60, 120, 180])[:, None]
    found = resized(Image.fromarray(x), 3, "tf")
    assert found[0].tolist() == [[0, 20, 40]] * 3
    assert found[1][:, 0].tolist() == pytest.approx([0, 80, 160], abs=1e-4)
    assert (resized(Image.fromarray(x), 12, "tf")[0, 0, -2:] == 50).all()  # beyond the last pixel it stays


def test_clean_and_crop_are_pils_bicubic_on_floats_and_on_bytes_of_the_centre():
    x = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    clean, crop = resized(Image.fromarray(x), 8, "clean"), resized(Image.fromarray(x), 8, "crop")
    whole = np.asarray(Image.fromarray(x).resize((8, 8), Image.Resampling.BICUBIC), dtype=float).transpose(2, 0, 1)
    assert np.abs(clean.numpy() - whole).max() <= 0.51 + 0.5  # each of PIL's two passes rounds bytes
    assert (clean != clean.round()).any()
    square = Image.fromarray(x[:, 5:25]).resize((8, 8), Image.Resampling.BICUBIC)
    assert (crop.permute(1, 2, 0).numpy() == np.asarray(square)).all()


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(Inception().state_dict(), path)
    return path


def test_the_network_loads_strictly_and_gives_float64_features(inception, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = INCEPTION.file.place
    place.parent.mkdir(parents=True)
    place.write_bytes(inception.read_bytes())
    images = [Image.new("RGB", (20, 30), colour) for colour in ("red", "#123")]
    seen = {}
    for resize in ("tf", "text2image"):
        with replace(INCEPTION, resize=resize).open() as features:
            seen[resize] = features(images)
            assert seen[resize].shape == (2, 2048) and seen[resize].dtype == np.float64
            assert features(images[1:]) == pytest.approx(seen[resize][1:], rel=1e-4)
    assert (seen["tf"] != seen["text2image"]).any()
    weights = InceptionScore(INCEPTION).reference(features)["classifier"]
    assert weights.shape == (1008, 2048)
    state = torch.load(inception)
    state.pop("Mixed_7c.branch_pool.bn.weight")
    torch.save(state, place)
    place.with_name("weights.pth.sha256").unlink()
    with pytest.raises(ValueError, match=r"weights.pth is no state dict of FID's Inception"):
        INCEPTION.network()


def test_the_digits_in_the_name_of_a_file_of_weights_are_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    named = InceptionFeatures(Published("https://host/inception-6726825d.pth"))
    named.file.place.parent.mkdir(parents=True)
    named.file.place.write_bytes(b"others")
    with pytest.raises(ValueError, match=r"is not what its name says: .* not 6726825d"):
        named.network()


def test_the_average_pool_leaves_padding_out_and_the_last_block_has_a_maximum():
    """On a constant input both pools give it back at every place; padding counted in would darken the corners."""
    torch.manual_seed(0)
    network = Inception().eval()
    for block, width in ((network.Mixed_5b, 192), (network.Mixed_6b, 768), (network.Mixed_7b, 1280)):
        x = torch.ones(1, width, 5, 5)
        pooled = block(x)[:, -block.branch_pool.conv.out_channels :]
        assert torch.allclose(pooled, block.branch_pool(x))
    x = torch.randn(1, 2048, 5, 5)
    last = network.Mixed_7c(x)[:, -192:]
    assert torch.allclose(last, network.Mixed_7c.branch_pool(torch.nn.functional.max_pool2d(x, 3, 1, 1)))


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_embeddings_load_from_a_folder_and_are_those_of_the_model(kind, tmp_path):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    if kind == "clip":
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**small, intermediate_size=8, projection_dim=6)).eval()
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    else:
        model = Dinov2Model(Dinov2Config(**small, mlp_ratio=1)).eval()
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    model.save_pretrained(tmp_path)
    if kind == "clip":  # as the hub's folders name themselves: the whole CLIP
        config = (tmp_path / "config.json").read_text().replace("clip_vision_model", "clip")
        (tmp_path / "config.json").write_text(config)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 31, 3), dtype=np.uint8))
    embedding = Embedding(str(tmp_path), side=28, resize="clean")
    with embedding.open() as features:
        found = features([image] * 3)
    x = resized(image, 28, "clean") / 255
    x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.no_grad():
        said = model(pixel_values=x[None])
    wanted = said.image_embeds if kind == "clip" else said.last_hidden_state[:, 0]
    assert found == pytest.approx(np.repeat(wanted.double().numpy(), 3, 0), rel=1e-4, abs=1e-6)
    assert re.fullmatch("[0-9a-f]{16}", embedding.settings()["weights"])
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="is a bert; give a clip or a dinov2"), embedding.open():
        pass


@pytest.mark.slow
def test_a_run_stores_features_once_and_shows_each_metric(cli, store_path, inception, tmp_path, monkeypatch):
    """From pictures of the exact model to a table: three metrics of the same features, resumed without the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = INCEPTION.file.place
    place.parent.mkdir(parents=True)
    place.write_bytes(inception.read_bytes())
    pictures(tmp_path / "real", 5)
    words = ["model=mixture", "steps=4", "lambda=null", "limit=5", "scorers=[kid,precision,inception_score]"]
    for name in ("kid", "precision", "inception_score"):
        words.append(f"scorers.{name}.of.file.source={INCEPTION.file.source}")
    words += ["scorers.kid.against.path=real", "scorers.precision.against.path=real", "scorers.kid.subset_size=3"]
    code, out, err = cli(*words)
    assert code == 1 and "5 pictures are too few for precision" in out + err  # the others have their numbers
    words += ["scorers.precision.least=4", "scorers.inception_score.least=2", "scorers.inception_score.splits=2"]
    place.unlink()  # features are there: only what reads the weights would ask for them
    code, out, err = cli(*words)
    assert code == 1 and "scorer inception_score" in out and "needs weights.pth" in out  # for its classifier
    assert "scorer precision" not in out and "scorer kid" not in out
    place.write_bytes(inception.read_bytes())
    code, out, err = cli(*words)
    assert code == 0, out + err
    folders = list(store_path.glob("cells/*/features/*"))
    assert len(folders) == 1 and folders[0].name.startswith("inception-")
