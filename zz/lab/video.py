"""The videos of clips, made of their strips.

A strip is what is missing or there, scored and shown, as any picture. A video is a view of it, and costs no sampling:
whatever was killed between the two, the next run makes the videos that are not there. Equal frames give equal files,
by one version of PyAV: one thread, no dates, and none of x264's assembly, which does not give the same bytes each time.
"""

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from PIL import Image

from zz.lab.job import Job
from zz.lab.store.store import Store
from zz.lab.strip import frames

X264 = {"crf": "15", "preset": "medium", "x264-params": "asm=0"}


def check_videos(jobs: Sequence[Job]) -> None:
    """Raise ValueError if a job makes clips, and nothing here can write their videos."""
    for job in jobs:
        if job.model.frames > 1 and find_spec("av") is None:
            raise ValueError(
                f"model={job.model.name} makes clips, and their videos are written by PyAV, which is not installed: "
                "pip install av (or zz's extra: video)"
            )


def without_video(jobs: Sequence[Job], store: Store) -> list[tuple[Job, str]]:
    """The clips that are there, and whose videos are not."""
    found = []
    for job in jobs:
        if job.model.frames > 1:
            clips = store.there(job.cell, job.names())
            found += [(job, n) for n in clips if not store.video_path(job.cell, n, job.model.fps).is_file()]
    return found


def put_videos(todo: Sequence[tuple[Job, str]], store: Store, tell: Callable[[int], None]) -> None:
    """Write what `without_video` found; `tell` hears of each. Raises StoreError on a strip that cannot be read."""
    for job, name in todo:
        clip = frames(store.image(job.cell, name), job.model.frames)
        store.put_video(job.cell, name, job.model.fps, video(clip, job.model.fps))
        tell(1)


def video(clip: Sequence[Image.Image], fps: int) -> bytes:
    """An MP4 file: H.264, near lossless to the eye, colour at half resolution, which every player shows."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=X264)
        stream.width, stream.height = (side + side % 2 for side in clip[0].size)  # colour is kept for two pixels a side
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for one in clip:
            frame = av.VideoFrame.from_ndarray(_yuv(one, stream.width, stream.height), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def _yuv(frame: Image.Image, width: int, height: int) -> np.ndarray:
    """Planes of BT.601 luma, then colour at half resolution: here, where no processor has kernels of its own for it."""
    pad = ((0, height - frame.height), (0, width - frame.width), (0, 0))
    r, g, b = np.moveaxis(np.pad(np.asarray(frame.convert("RGB")), pad, "edge").astype(np.float64), -1, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    colours = [(b - luma) / 1.772, (r - luma) / 1.402]
    halves = [c.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for c in colours]
    planes = [16 + luma * 219 / 255, *(128 + half * 224 / 255 for half in halves)]
    return np.concatenate([plane.round().astype(np.uint8).ravel() for plane in planes]).reshape(-1, width)
