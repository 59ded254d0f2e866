"""A worker that misbehaves as it is told: worker.py HABIT FOLDER. It answers with the length of the prompt.

Numbers in HABIT count from the first answer of a process; files in FOLDER outlive it.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from zz.scorers.isolated import protocol

HABIT, FOLDER = sys.argv[1], Path(sys.argv[2])
with (FOLDER / "starts").open("a") as file:
    file.write(f"{os.getpid()}\n")
FIRST = len((FOLDER / "starts").read_text().split()) == 1
DONE = []


def load():
    if HABIT == "stillborn":
        sys.exit("no such checkpoint")
    return {"fake": "1"}, answer


def answer(request):
    with (FOLDER / "asked").open("a") as file:
        file.write(json.dumps(request) + "\n")
    assert Path(request["picture"]).is_file()
    DONE.append(request)
    third = len(DONE) == 3
    if (HABIT == "crashes" and third and FIRST) or HABIT == "crashes always":
        os._exit(9)
    if HABIT == "poisoned" and request["prompt"] == "poison":
        os._exit(9)
    if HABIT == "hangs" and third and FIRST:
        time.sleep(600)
    if HABIT == "freezes" and third and FIRST:  # no sign of life either
        protocol.BEAT = 600
        os.kill(os.getpid(), 19)
    if HABIT == "floods":
        sys.stderr.write(("x" * 99 + "\n") * 20_000)
    if HABIT == "floods a line":
        sys.stderr.write("x" * 2_000_000)
    if HABIT == "prints":
        sys.stdout.write("loading checkpoint from nowhere\n")
    if HABIT == "picky" and request["prompt"] == "poison":
        raise RuntimeError("not this one\nat line 1")
    if HABIT == "slow":
        time.sleep(0.02)
    if HABIT == "nan":
        return float("nan")
    if HABIT == "texts":
        return "good"
    return len(request["prompt"])


def backwards():
    """Answers in the wrong order, each twice, with answers to questions that nobody asked."""

    def say(what):
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    say({"ready": {"fake": "1"}})
    waiting, lock = [], threading.Lock()

    def read():
        for line in sys.stdin:
            with lock:
                waiting.append(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        time.sleep(0.05)
        with lock:
            batch, waiting[:] = waiting[::-1], []
        for request in batch:
            for _ in range(2):
                say({"id": request["id"], "answer": len(request["prompt"])})
            say({"id": 10_000, "answer": -1})
            say({"id": None, "answer": -1})


if HABIT == "out of order":
    backwards()
if HABIT == "babbles":
    sys.stdout.write("Hello! I am no JSON\n")
    sys.stdout.flush()
    time.sleep(600)
protocol.BEAT = 0.05
protocol.serve(load)
