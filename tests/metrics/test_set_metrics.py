"""Set metrics: each formula computed a second way in float64, and what they refuse.

Beside torch-fidelity 0.4.0 they were compared in an environment of its own; docs/set_metrics.md has the figures.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg

from zz.data.base import Prompt
from zz.hub.published import Published
from zz.scorers.base import Features
from zz.scorers.cmmd import CMMD
from zz.scorers.embeddings import Embedding
from zz.scorers.fid import FrechetDistance
from zz.scorers.frechet import frechet, moments, tally
from zz.scorers.inception import Inception, InceptionFeatures
from zz.scorers.inception_score import InceptionScore
from zz.scorers.kid import KernelDistance
from zz.scorers.precision_recall import Precision, Recall
from zz.scorers.reference import Reference
from zz.scorers.resizing import resized

D = 12
RNG = np.random.default_rng(7)
MIX = RNG.normal(size=(D, D))


def drawn(n, shift=0.0, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, D)) @ MIX + 3 + shift, 0)


def prompts(n, repeats=1):
    return [Prompt(f"prompt {i}", {}, i) for _ in range(repeats) for i in range(n // repeats)]


@dataclass(frozen=True)
class Colours(Features):
    """A picture's mean colour and its spread."""

    name: str = "colours"
    version: ClassVar[int] = 1

    def settings(self):
        return {}

    def open(self, device="cpu"):
        raise NotImplementedError


def extract(images):
    x = [np.asarray(image, dtype=np.float64) for image in images]
    return np.array([[*one.mean((0, 1)), *one.std((0, 1))] for one in x])


OF, AGAINST = Colours(), Reference("real")
INCEPTION = InceptionFeatures(Published("https://host/weights.pth"))


def pictures(folder, n, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(folder / f"{i:03}.png")
    return folder


# -- Fréchet distances -----------------------------------------------------------------------------------------------


def by_definition(x, y):
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) by a matrix root."""
    (m1, s1), (m2, s2) = ((z.mean(0), np.cov(z, rowvar=False)) for z in (x, y))
    return ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(linalg.sqrtm(s1 @ s2)))


def test_frechet_distance_is_its_definition_with_the_jackknifes_interval():
    x, y = drawn(300), drawn(400, 0.4, 1)
    ps, reference = prompts(300, repeats=3), moments(y)._asdict()
    found = FrechetDistance(OF, AGAINST).measure(x, ps, reference)
    assert found.value == pytest.approx(by_definition(x, y), rel=1e-9)
    group = np.tile(np.arange(100), 3) % 20  # the three pictures of a prompt are left out together
    without = np.array([by_definition(x[group != g], y) for g in range(20)])
    half = 2.093024054408263 * math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())  # Student's, 19 degrees
    assert found.high - found.value == pytest.approx(half, rel=1e-6)
    assert found.value - found.low == pytest.approx(half, rel=1e-6)


def test_of_fewer_pictures_than_dimensions_the_root_is_exact():
    """Of two pictures the covariance is d d^T / 2, and the trace of the root sqrt(d^T S d / 2)."""
    x, y = drawn(2), drawn(400, 0.4, 1)
    mean, covariance = moments(y)
    d = x[0] - x[1]
    wanted = ((x.mean(0) - mean) ** 2).sum() + d @ d / 2 + np.trace(covariance) - 2 * math.sqrt(d @ covariance @ d / 2)
    assert frechet(moments(x), moments(y)) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("cut", [1, 150, 299])
def test_merged_parts_are_the_whole(cut):
    x = drawn(300) + 1e4  # a large mean, where sums of squares would lose it
    parts, whole = tally(x[:cut]).merged(tally(x[cut:], chunk=7)), moments(x)
    assert parts.n == 300
    assert parts.moments.mean == pytest.approx(whole.mean, rel=1e-12)
    assert parts.moments.covariance == pytest.approx(whole.covariance, rel=1e-10, abs=1e-10)
    assert tally(x, chunk=11).moments.covariance == pytest.approx(whole.covariance, rel=1e-10, abs=1e-10)


def test_one_picture_has_no_covariance():
    with pytest.raises(ValueError, match="1 pictures: a covariance needs two or more"):
        _ = tally(drawn(1)).moments
    assert math.isinf(FrechetDistance(OF, AGAINST).measure(drawn(2), prompts(2), moments(drawn(9))._asdict()).high)


# -- KID -------------------------------------------------------------------------------------------------------------


def explicit_mmd(x, y):
    """Bińkowski et al., 2018, equation 4, pair by pair."""

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / D + 1) ** 3

    m, n = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (m * n)


def test_kid_is_the_mean_of_explicit_double_sums_over_the_drawn_subsets():
    x, y = drawn(40), drawn(30, 0.5, 1)
    metric = KernelDistance(OF, AGAINST, subsets=4, subset_size=9)
    found = metric.measure(x, prompts(40), {"features": y})
    rng = np.random.RandomState(2020)
    each = []
    for _ in range(4):  # of each subset first ours, then theirs
        ours, theirs = rng.choice(40, 9, replace=False), rng.choice(30, 9, replace=False)
        each.append(explicit_mmd(x[ours], y[theirs]))
    assert found.value == pytest.approx(np.mean(each), rel=1e-11)
    half = 3.182446305284263 * np.std(each, ddof=1) * math.sqrt(9 / 30 + 1 / 4)  # Student's, 3 degrees
    assert found.high - found.value == pytest.approx(half, rel=1e-9)
    blocks = replace(metric, order="prompt").measure(x, prompts(40), {"features": y})
    wanted = np.mean([explicit_mmd(x[i : i + 9], y[i : i + 9]) for i in (0, 9, 18)])
    assert blocks.value == pytest.approx(wanted, rel=1e-11)


def test_kid_of_a_set_with_itself_is_below_zero():
    x = drawn(60)
    assert KernelDistance(OF, AGAINST, subsets=20, subset_size=60).measure(x, prompts(60), {"features": x}).value < 0


def test_kid_refuses_subsets_larger_than_a_set_and_one_subset_has_no_interval():
    said = r"subset_size=1000 is more than there are: 16 pictures, 30 in the reference; make more, or say .*size=16"
    with pytest.raises(ValueError, match=said):
        KernelDistance(OF, AGAINST).measure(drawn(16), prompts(16), {"features": drawn(30)})
    one = KernelDistance(OF, AGAINST, subset_size=16, order="prompt")
    assert math.isinf(one.measure(drawn(16), prompts(16), {"features": drawn(30)}).low)


# -- Inception Score -------------------------------------------------------------------------------------------------

CLASSIFIER = {"classifier": RNG.normal(size=(5, D))}


def score_by_hand(logits, splits):
    found = []
    for i in range(splits):
        rows = logits[i * len(logits) // splits : (i + 1) * len(logits) // splits]
        p = [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in rows]
        q = [sum(one[c] for one in p) / len(p) for c in range(5)]
        kl = [sum(one[c] * math.log(one[c] / q[c]) for c in range(5)) for one in p]
        found.append(math.exp(sum(kl) / len(kl)))
    return found


def test_inception_score_by_hand_in_each_order():
    x, ps = drawn(43), prompts(43)
    metric = InceptionScore(INCEPTION, splits=4, least=4)
    logits = x @ CLASSIFIER["classifier"].T
    shuffled = logits[np.random.RandomState(2020).permutation(43)]
    assert metric.measure(x, ps, CLASSIFIER).value == pytest.approx(np.mean(score_by_hand(shuffled, 4)), rel=1e-11)
    in_order = replace(metric, order="prompt").measure(x, ps, CLASSIFIER)
    each = score_by_hand(logits, 4)
    assert in_order.value == pytest.approx(np.mean(each), rel=1e-11)
    assert in_order.high - in_order.value == pytest.approx(3.182446305284263 * np.std(each, ddof=1) / 2, rel=1e-9)


def test_the_order_is_worth_naming():
    """Pictures sorted by class: in order each split holds one class, and the score is 1."""
    x = np.repeat(np.eye(D)[:5], 20, axis=0)
    classifier = {"classifier": 50 * np.eye(5, D)}
    metric = InceptionScore(INCEPTION, splits=5, least=5)
    assert metric.measure(x, prompts(100), classifier).value > 4
    assert replace(metric, order="prompt").measure(x, prompts(100), classifier).value == pytest.approx(1)


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (InceptionScore(INCEPTION, splits=4, least=4, order="hash"), CLASSIFIER),
        (KernelDistance(OF, AGAINST, subsets=5, subset_size=10, order="hash"), {"features": drawn(30, 0.5, 1)}),
    ],
    ids=["inception_score", "kid"],
)
def test_hashed_no_order_of_the_pictures_moves_the_number(metric, reference):
    x, ps = drawn(48), prompts(48, repeats=2)
    wanted = metric.measure(x, ps, reference)
    moved = False
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(48)
        shuffled = x[order], [ps[i] for i in order]
        assert metric.measure(*shuffled, reference) == wanted
        moved |= replace(metric, order="torch_fidelity").measure(*shuffled, reference) != wanted
    assert moved, "the default does depend on the order"


# -- precision and recall --------------------------------------------------------------------------------------------


def brute_share(points, others, k):
    """The share of points that lie within some other's distance to its k-th nearest neighbour."""
    radius = [sorted(math.dist(a, b) for b in others)[k] for a in others]
    inside = [any(math.dist(p, o) <= r for o, r in zip(others, radius, strict=True)) for p in points]
    return np.mean(inside)


def test_precision_and_recall_against_brute_force_with_the_jackknifes_interval():
    x, y, ps = drawn(45), drawn(40, 1.0, 1), prompts(45)
    precision = Precision(OF, AGAINST, least=10).measure(x, ps, {"features": y})
    recall = Recall(OF, AGAINST, least=10).measure(x, ps, {"features": y})
    assert 0 < recall.value < 1
    assert precision.value == pytest.approx(brute_share(x, y, 3), abs=1e-12)
    assert recall.value == pytest.approx(brute_share(y, x, 3), abs=1e-12)
    kept = [np.arange(45) % 20 != g for g in range(20)]
    for found, without in [
        (recall, np.array([brute_share(y, x[there], 3) for there in kept])),
        (precision, np.array([brute_share(x[there], y, 3) for there in kept])),
    ]:
        half = 2.093024054408263 * math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
        assert found.high - found.value == pytest.approx(half, rel=1e-9)


def test_a_set_lies_among_itself_even_far_from_the_origin():
    """In float32 a mean of 10,000 would drown the distances."""
    x = drawn(50) + 1e4
    for metric in (Precision(OF, AGAINST, least=5), Recall(OF, AGAINST, least=5)):
        assert metric.measure(x, prompts(50), {"features": x}).value == 1
        assert metric.measure(x + 1e3, prompts(50), {"features": x}).value == 0


# -- CMMD ------------------------------------------------------------------------------------------------------------


def cmmd_by_formula(x, y):
    """1000 (mean k(x, x) + mean k(y, y) - 2 mean k(x, y)), each picture with itself included."""
    x, y = ([row / math.sqrt(sum(v * v for v in row)) for row in z] for z in (x, y))

    def mean_kernel(a, b):
        return np.mean([math.exp(-sum((p - q) ** 2) / 200) for p in a for q in b])

    return 1000 * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


def test_cmmd_is_its_formula_with_the_jackknifes_interval():
    x, y = drawn(60), drawn(50, 1.0, 1)
    found = CMMD(OF, AGAINST, least=10).measure(x, prompts(60, repeats=2), {"features": y})
    assert found.value == pytest.approx(cmmd_by_formula(x, y), rel=1e-9)
    group = np.tile(np.arange(30), 2) % 20
    without = np.array([cmmd_by_formula(x[group != g], y) for g in range(20)])
    half = 2.093024054408263 * math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    assert found.high - found.value == pytest.approx(half, rel=1e-6)
    assert CMMD(OF, AGAINST, least=10).measure(x, prompts(60), {"features": x}).value == pytest.approx(0, abs=1e-9)


# -- what they refuse ------------------------------------------------------------------------------------------------

OTHERS = [
    InceptionScore(INCEPTION),
    Precision(OF, AGAINST),
    Recall(OF, AGAINST),
    CMMD(OF, AGAINST),
]
EVERY = [
    FrechetDistance(OF, AGAINST),
    KernelDistance(OF, AGAINST, subset_size=5),
    *(replace(m, least=5) for m in OTHERS),
]


@pytest.mark.parametrize("metric", OTHERS, ids=lambda m: m.name)
def test_too_few_pictures_are_refused_with_the_way_out(metric):
    said = f"16 pictures are too few for {metric.name}, .*: make 1000 or more; scorers.{metric.name}.least=16"
    with pytest.raises(ValueError, match=said):
        metric.measure(drawn(16), prompts(16), {"features": drawn(2000), **CLASSIFIER})
    if metric.name == "cmmd":  # which is defined of two
        return
    with pytest.raises(ValueError, match="too few"):
        replace(metric, least=1).measure(drawn(2), prompts(2), {"features": drawn(2000), **CLASSIFIER})


def test_a_small_reference_is_refused_too():
    for metric in OTHERS[1:]:
        with pytest.raises(ValueError, match="20 pictures are too few"):
            metric.measure(drawn(1200), prompts(1200), {"features": drawn(20)})


@pytest.mark.parametrize("metric", EVERY, ids=lambda m: m.name)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused_by_its_place(metric, bad):
    x = drawn(30)
    x[3, 2] = bad
    reference = {"features": drawn(40), **moments(drawn(40))._asdict(), **CLASSIFIER}
    with pytest.raises(ValueError, match=r"features\[\d+, 2\] is (nan|inf)"):
        metric.measure(x, prompts(30), reference)


@pytest.mark.parametrize("metric", [m for m in EVERY if m.name != "inception_score"], ids=lambda m: m.name)
def test_a_reference_of_another_network_is_refused(metric):
    other = drawn(40)[:, :9]
    with pytest.raises(
        ValueError, match=f"scorers.{metric.name}.against has features of 9 dimensions, the pictures of 12"
    ):
        metric.measure(drawn(30), prompts(30), {"features": other, **moments(other)._asdict()})


# -- the reference set -----------------------------------------------------------------------------------------------


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


# -- networks --------------------------------------------------------------------------------------------------------


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
