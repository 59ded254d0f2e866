"""Clips: strips and videos, one made of the other, and scores of frames."""

import hashlib
import io
from contextlib import contextmanager

import av
import numpy as np
import pytest
import torch
from PIL import Image

import zz
from tests.make import job, scored
from tests.store.film import Film
from zz.lab import video as video_module
from zz.lab.runner import Runner
from zz.lab.scoring.names import identity
from zz.lab.sheet import contact_sheet
from zz.lab.store.store import Store, StoreError
from zz.lab.strip import frames, picture
from zz.lab.video import check_videos, put_videos, video, without_video
from zz.scorers.base import ImageScorer

PROMPTS = ("a red circle", "a blue star", "a green square", "a red star", "a blue circle")


def film(**fields):
    return job(**({"model": Film(), "prompts": PROMPTS, "steps": 4} | fields))


NAMES = film().names()


def make(store, *jobs, **fields):
    runner = Runner(**({"devices": "cpu", "batch_size": 2} | fields))
    missing = runner.run(jobs, store, lambda done: None, lambda text: None)
    put_videos(without_video(jobs, store), store, lambda n: None)
    return missing


def files(store):
    paths = [p for p in store.root.rglob("[0-9]*.*") if p.suffix in (".png", ".mp4")]
    return {str(p.relative_to(store.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("clips"))
    assert make(store, film()) == 0
    return store


def test_a_strip_holds_every_pixel_of_every_frame():
    clip = torch.randint(0, 256, (3, 10, 14, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    strip = picture(clip)
    assert strip.size == (3 * 14, 10)
    assert all(np.array_equal(np.asarray(f), c) for f, c in zip(frames(strip, 3), clip, strict=True))
    assert np.array_equal(np.asarray(picture(clip[0])), clip[0]) and len(frames(picture(clip[0]), 1)) == 1


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_equal_frames_are_equal_videos_that_play(size):
    """Smooth ones: what is lost is a few grey levels, and colour at edges."""
    ramp = np.linspace(0, 200, size[0] * size[1]).reshape(size)
    clip = [Image.fromarray(np.stack([ramp + 10 * i] * 3, -1).astype(np.uint8)) for i in range(4)]
    content = video(clip, 5)
    assert {video([f.copy() for f in clip], 5) for _ in range(30)} == {content}  # with its assembly x264 gives several
    assert content != video(clip[::-1], 5)
    with av.open(io.BytesIO(content)) as container:
        assert container.streams.video[0].average_rate == 5
        shown = [f.to_ndarray(format="rgb24")[: size[0], : size[1]] for f in container.decode(video=0)]
    assert len(shown) == 4
    assert max(np.abs(s.astype(int) - np.asarray(f)).max() for s, f in zip(shown, clip, strict=True)) <= 12


def test_a_cell_of_clips_has_a_strip_and_a_video_each(made):
    cell, name = film().cell, NAMES[3]
    assert made.names(cell) == set(NAMES) and without_video([film()], made) == []
    strip = made.image(cell, name)
    assert strip.size == (96, 32)
    with Image.open(made.image_path(cell, name)) as image:
        assert image.text == {"key": cell.key, "prompt": "a red star", "seed": "3"}
    with av.open(str(made.video_path(cell, name, 4))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert made.video_path(cell, name, 4).read_bytes() == video(frames(strip, 3), 4)


def test_the_strip_is_what_zz_sample_gives(made):
    (clip,) = zz.sample(Film(), "a red star", sampler=film().recipe.sampler, steps=4, seeds=[3])
    assert [type(f) for f in clip] == [Image.Image] * 3
    for ours, kept in zip(clip, frames(made.image(film().cell, NAMES[3]), 3), strict=True):
        assert np.abs(np.asarray(ours).astype(int) - np.asarray(kept)).max() <= 1  # another batch size
    assert not np.array_equal(*(np.asarray(f) for f in clip[:2]))


@pytest.mark.ci
def test_two_workers_make_the_same_files(made, store_path):
    assert make(Store(store_path), film(), devices=2) == 0
    assert files(Store(store_path)) == files(made)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["video", "strip", "both"])
def test_what_is_lost_is_made_again_equal(made, store_path, lost):
    store, cell = Store(store_path), film().cell
    make(store, film())
    for path in (store.video_path(cell, NAMES[2], 4), store.image_path(cell, NAMES[2])):
        if lost in ("both", {".mp4": "video", ".png": "strip"}[path.suffix]):
            path.unlink()
    assert [name for _, name in without_video([film()], store)] == ([NAMES[2]] if lost == "video" else [])
    assert make(store, film()) == 0
    assert files(store) == files(made)


def test_frames_a_second_are_no_identity_but_their_own_files(store_path):
    store, slow = Store(store_path), film(model=Film(fps=2), limit=1)
    assert slow.cell == film().cell != film(model=Film(frames=2)).cell
    make(store, film(limit=1))
    before = files(store)
    make(store, slow)
    assert before.items() < files(store).items() and len(files(store)) == 3


def test_a_limit_and_pictures_get_no_videos(made):
    assert without_video([job()], made) == []
    assert without_video([film(model=Film(fps=9), limit=2)], made) == [
        (film(model=Film(fps=9), limit=2), name) for name in NAMES[:2]
    ]


def test_a_strip_that_cannot_be_read_is_named(store_path):
    store = Store(store_path)
    make(store, film(limit=1))
    store.video_path(film().cell, NAMES[0], 4).unlink()
    store.image_path(film().cell, NAMES[0]).write_bytes(b"broken")
    with pytest.raises(StoreError, match=rf"{NAMES[0]}\.png cannot be read as a picture"):
        put_videos(without_video([film(limit=1)], store), store, lambda n: None)


def test_a_missing_package_is_said_before_anything_runs(monkeypatch):
    check_videos([job(), film()])
    monkeypatch.setattr(video_module, "find_spec", lambda name: None)
    check_videos([job()])
    with pytest.raises(ValueError, match=r"model=film makes clips.*PyAV, which is not installed: pip install av"):
        check_videos([job(), film()])


class Brightness(ImageScorer):
    """Of each picture it sees."""

    name, version, unit, higher_is_better = "brightness", 1, "", True

    def settings(self):
        return {}

    @contextmanager
    def open(self, device="cpu"):
        yield lambda pictures, prompts: [
            float(np.asarray(p).mean()) + len(t.text) for p, t in zip(pictures, prompts, strict=True)
        ]


class Length(Brightness):
    """Of the clip."""

    name, reads_clips = "length", True

    @contextmanager
    def open(self, device="cpu"):
        yield lambda films, prompts: [float(len(film)) for film in films]


def test_scorers_see_frames(made):
    one = film()
    assert scored(made, one, scorers=(Brightness(), Length())) == (10, (), {})
    assert made.scores(one.cell, identity(Length())) == dict.fromkeys(NAMES, 3.0)
    means = made.scores(one.cell, identity(Brightness()))
    for name, prompt in zip(NAMES, PROMPTS, strict=True):
        assert means[name] == pytest.approx(np.asarray(made.image(one.cell, name)).mean() + len(prompt))


def test_a_contact_sheet_shows_the_middle_frame(made):
    with Image.open(contact_sheet([("film", film())], made)) as sheet:
        shown = np.asarray(sheet.crop((190, 84, 190 + 128, 84 + 128)))
    middle = frames(made.image(film().cell, NAMES[0]), 3)[1].resize((128, 128), Image.Resampling.NEAREST)
    assert np.array_equal(shown, np.asarray(middle))
