"""What the runner itself costs: its share of the time, resuming, planning, and two workers against one.

Claim:   none of the paper's; sampling should wait for the network and for nothing else
Command: python -m zz.experiments.speed.overhead
Cost:    about five minutes on two CPU cores, on the embedded model; pairs alternate, so that load falls on both
"""

import argparse
import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from hydra import compose, initialize_config_dir
from PIL import Image

from zz.cli.conf import conf_dir
from zz.cli.request import request
from zz.data.base import PromptList
from zz.lab.job import Job
from zz.lab.plan import plan
from zz.lab.runner import Runner
from zz.lab.store.store import Store
from zz.models.pretrained.unet import UNetPipeline


def job(*overrides: str) -> Job:
    """What zz.run would make of these words."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return request([compose("config", list(overrides))]).jobs[0]


@contextlib.contextmanager
def timed_calls() -> Iterator[list[float]]:
    """Seconds spent in the model: encoding, predicting, decoding."""
    seconds: list[float] = []

    def timed(method):
        def call(*args):
            start = time.perf_counter()
            try:
                return method(*args)
            finally:
                seconds.append(time.perf_counter() - start)

        return call

    with contextlib.ExitStack() as stack:
        for name in ("encode", "__call__", "decode"):
            stack.enter_context(patch.object(UNetPipeline, name, timed(getattr(UNetPipeline, name))))
        yield seconds


def overhead(batch: int, images: int, folder: Path) -> float:
    """The share of a run that is not the model's, loading left out: standard sampling, 20 steps, slot by slot."""
    one, store = job("sampler=standard", "steps=20", f"limit={images}"), Store(folder)
    spans: list[float] = []
    with timed_calls() as seconds:
        runner = Runner("cpu", batch)
        runner.run([one], store, lambda done: spans.append(time.perf_counter()), print)
        calls = len(seconds) // len(spans)  # a slot
        return 1 - sum(seconds[calls:]) / (spans[-1] - spans[0])


def resume(images: int, folder: Path) -> float:
    """Seconds to find out that a cell of so many pictures is whole."""
    one, store = job("model=mixture"), Store(folder)
    one = replace(one, prompts=PromptList.of(["a red circle"] * images))
    first, *others = one.names()
    store.put_image(one.cell, first, Image.fromarray(np.zeros((32, 32, 3), np.uint8)), "a red circle", 0)
    for name in others:
        shutil.copyfile(store.image_path(one.cell, first), store.image_path(one.cell, name))
    start = time.perf_counter()
    assert plan([one], 1, store).images == 0
    assert Runner("cpu").run([one], store, lambda done: None, print) == 0
    return time.perf_counter() - start


def planning(folder: Path) -> float:
    """Seconds from 1,000 configurations to a plan: 40 guidances x 25 lambdas on the embedded model."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        configs = [
            compose("config", [f"gamma2={g / 10}", f"lambda={n}", f"store={folder}"])
            for g in range(40)
            for n in range(1, 26)
        ]
    start = time.perf_counter()
    assert len(request(configs).plan.jobs) == 1000
    return time.perf_counter() - start


def command(workers: int, images: int, folder: Path) -> tuple[float, str]:
    """Wall seconds of a whole zz.run of one cell, and a digest of its files."""
    words = ["steps=20", f"limit={images}", "scorers=[]", f"runner.devices={workers}", f"store={folder}"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "zz.run", *words], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    files = sorted(folder.glob("cells/*/images/*.png"))
    return seconds, hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=3, help="pairs of one worker and two")
    parser.add_argument("--images", type=int, default=200, help="pictures of each run of a pair")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for batch, images in ((1, 24), (16, 64)):
            print(
                f"overhead at batch size {batch}: {100 * overhead(batch, images, folder / str(batch)):.1f} %",
                flush=True,
            )
        print(f"resuming a cell of 5,000 pictures: {resume(5000, folder / 'many'):.2f} s", flush=True)
        print(f"planning 1,000 cells: {planning(folder / 'plan'):.1f} s", flush=True)
        ratios = []
        for n in range(asked.pairs):
            (one, files), (two, others) = (command(w, asked.images, folder / f"{n}-{w}") for w in (1, 2))
            ratios.append(one / two)
            same = "the same files" if files == others else "OTHER FILES"
            print(
                f"{asked.images} pictures: one worker {one:.1f} s, two {two:.1f} s, ratio {one / two:.2f}; {same}",
                flush=True,
            )
        print(f"speed-up of two workers, median: {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
