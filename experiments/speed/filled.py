"""What the commands cost on a store that is full: wall seconds, peak memory, and file system calls a picture.

Claim:   none of the paper's; resuming and tables should cost seconds, however many pictures there are
Command: python -m zz.experiments.speed.filled --prompts 30000 --cells 20
Cost:    ten minutes and 3 GB for those 600,000 pictures, seconds for --prompts 300 --cells 2
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hydra import initialize_config_dir
from PIL import Image

from zz.cli.compose import cells, composed
from zz.cli.conf import conf_dir
from zz.cli.request import Request, put, request
from zz.lab.scoring.names import about, identity, score_names
from zz.lab.store.store import Store
from zz.scorers.base import ImageScorer

SCORERS = "scorers=[log_odds,atypicality,shapes_correct,cleanliness]"
PEAK = """\
import atexit, re, runpy, sys
from pathlib import Path
atexit.register(lambda: sys.stderr.write(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""  # a child's own peak: what wait4 gives has its parent's in it
CALLS = "trace=%file,getdents64,fsync"  # what names a path, and listings


def words(folder: Path, n: int) -> list[str]:
    """What asks for the cells of the benchmark."""
    gammas = ",".join(str(i / 8) for i in range(n))
    text = ["dataset=text", f"dataset.path={folder / 'prompts.txt'}"]
    return ["model=mixture", "steps=4", *text, SCORERS, f"gamma2={gammas}", f"store={folder / 'store'}", "-m"]


def fill(folder: Path, prompts: int, n: int) -> Request:
    """A store with every picture and every score, through its own calls; the pictures of a cell are one file."""
    colours, shapes = ("red", "green", "blue", "yellow"), ("circle", "square", "triangle")
    texts = [f"a photo of a {colours[i % 4]} {shapes[i % 3]}" for i in range(prompts)]
    (folder / "prompts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        asked = request(list(composed(cells(words(folder, n)[:-1]))))
    rng, store = random.Random(0), asked.store
    store.check_writable()
    put(asked)
    for job in asked.plan.jobs:
        store.begin_row(job.id, job.cell, job.prompts.record_digest, 16)
        first, *others = job.names()
        store.put_image(job.cell, first, Image.fromarray(np.zeros((32, 32, 3), np.uint8)), texts[0], 0)
        for name in others:
            os.link(store.image_path(job.cell, first), store.image_path(job.cell, name))
        for metric in asked.metrics[job.id]:
            assert isinstance(metric, ImageScorer)
            named = score_names(metric.reads, job.prompts, job.limit)
            for start in range(0, prompts, 1000):  # as scoring leaves them
                values = {name: float(rng.random() < 0.5) for name in named[start : start + 1000]}
                store.put_scores(job.cell, identity(metric), about(metric), values)
    return asked


def measured(command: str, arguments: Sequence[str]) -> str:
    """Wall and CPU seconds and peak memory of a command that must not fail."""
    start, before = time.perf_counter(), os.times()
    line = [sys.executable, "-c", PEAK, command, *arguments]
    peak = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True).stderr
    after, wall = os.times(), time.perf_counter() - start
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return f"{wall:6.1f} s, {cpu:6.1f} s of CPU, {int(peak.split()[-1]) / 1024:5.0f} MB"


def calls(command: str, arguments: Sequence[str], store: Store) -> int | None:
    """System calls that name a path in the store; None without strace."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as log:
        line = ["strace", "-f", "-y", "-qq", "-e", CALLS, "-o", log.name, sys.executable, "-m", command, *arguments]
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        return len(re.findall(rf"^.*{re.escape(str(store.root))}.*$", log.read(), re.MULTILINE))


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prompts", type=int, default=3000, help="pictures of each cell")
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to leave the store; one that is there is measured again")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "store").exists():
            print(f"filled in {_seconds(lambda: fill(folder, asked.prompts, asked.cells)):.0f} s", flush=True)
        store, line = Store(folder / "store"), words(folder, asked.cells)
        everything = [("zz.plan", line), ("zz.run", line), ("zz.score", line), ("zz.table", [f"store={store.root}"])]
        everything.append(("zz.ls", [f"store={store.root}"]))
        print(f"zz.plan, each picture looked at:  {measured('zz.plan', line)}", flush=True)
        for command, given in everything:
            n = calls(command, given, store)
            counted = "" if n is None else f", {n} calls: {n / asked.prompts / asked.cells:.3f} a picture"
            print(f"{command + ', nothing missing:':33} {measured(command, given)}{counted}", flush=True)
        cell = sorted((store.root / "cells").iterdir())[asked.cells // 2]
        sorted((cell / "images").iterdir())[asked.prompts // 2].unlink()
        print(f"zz.run, one picture missing:      {measured('zz.run', line)}", flush=True)
        shutil.rmtree(next((cell / "scores").glob("log_odds-*")))
        print(f"zz.score, one scorer of one cell: {measured('zz.score', line)}", flush=True)


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
