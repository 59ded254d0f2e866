"""Clips: the picture of a clip is the strip of its frames, side by side; its video is made of that.

The strip is what is missing or there, scored and shown, as any picture. A video is a view of it, and costs no sampling:
whatever was killed between the two, the next run makes the videos that are not there. Equal frames give equal files:
one thread, no dates, H.264 and one version of PyAV.
"""

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from PIL import Image
from torch import Tensor

from zz.lab.planner import Job
from zz.lab.store import Store


def picture(pixels: Tensor) -> Image.Image:
    """(H, W, 3) as it is; the frames of a clip, (F, H, W, 3), as a strip, H by F * W."""
    strip = pixels if pixels.ndim == 3 else pixels.transpose(0, 1).flatten(1, 2)
    return Image.fromarray(strip.contiguous().numpy())


def frames(strip: Image.Image, n: int) -> list[Image.Image]:
    """The n frames of a strip; of a picture, n = 1, itself."""
    width = strip.width // n
    return [strip.crop((i * width, 0, (i + 1) * width, strip.height)) for i in range(n)]


def check_videos(jobs: Sequence[Job]) -> None:
    """Raise ValueError if a job makes clips, and nothing here can write their videos."""
    for job in jobs:
        if job.model.frames > 1 and find_spec("av") is None:
            raise ValueError(
                f"model={job.model.name} makes clips, and their videos are written by PyAV, which is not installed: "
                "pip install av (or zz's extra: video)"
            )


def without_video(jobs: Sequence[Job], store: Store) -> list[tuple[Job, int]]:
    """The clips that are there, and whose videos are not."""
    clips = [(job, i) for job in jobs if job.model.frames > 1 for i in sorted(store.images(job.cell)) if i < job.wanted]
    return [(job, i) for job, i in clips if not store.video_path(job.cell, i, job.model.fps).is_file()]


def put_videos(todo: Sequence[tuple[Job, int]], store: Store, tell: Callable[[int], None]) -> None:
    """Write what `without_video` found; `tell` hears of each. Raises StoreError on a strip that cannot be read."""
    for job, i in todo:
        clip = frames(store.image(job.cell, i), job.model.frames)
        store.put_video(job.cell, i, job.model.fps, video(clip, job.model.fps))
        tell(1)


def video(clip: Sequence[Image.Image], fps: int) -> bytes:
    """An MP4 file: H.264, near lossless to the eye, colour at half resolution, which every player shows."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "15", "preset": "medium"})
        stream.width, stream.height = (side + side % 2 for side in clip[0].size)  # colour is kept for two pixels a side
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for one in clip:
            pixels = np.asarray(one.convert("RGB"))
            pixels = np.pad(pixels, ((0, stream.height - one.height), (0, stream.width - one.width), (0, 0)), "edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
