"""What a logger adds to a run: whole runs with it and without, in pairs, in seconds on the clock and of the CPU.

Claim:   none of the paper's; logging should cost a run less than a fiftieth of its time
Command: python -m zz.experiments.speed.loggers --logger wandb --pairs 5
Cost:    a minute a pair or more on two CPU cores, on the embedded model; pairs alternate, so that load falls on both
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

WORDS = ("dataset=shapes", "steps=20", "runner.precision=bf16", "scorers=[shapes_correct]")


def run(limit: int, *words: str) -> tuple[float, float]:
    """Seconds on the clock, and of the CPU, of one run into a new store; what it starts is counted."""
    with tempfile.TemporaryDirectory() as store:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "zz.run", f"store={store}", f"limit={limit}", *WORDS, *words]
        environment = os.environ | {"WANDB_MODE": "offline"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the medians, and the median of what each pair differs by."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logger", default="wandb", help="wandb, tensorboard or csv")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=320, help="pictures of a run")
    given = parser.parse_args()
    run(16, f"logger={given.logger}")  # what is read from the disk for the first time
    pairs = []
    for n in range(given.pairs):
        order = ((), (f"logger={given.logger}",))
        found = {words: run(given.limit, *words) for words in (order if n % 2 else order[::-1])}
        pairs.append((found[()], found[(f"logger={given.logger}",)]))
    for which, unit in enumerate(("on the clock", "of the CPU")):
        plain, added = (median(pair[0][which] for pair in pairs), [pair[1][which] - pair[0][which] for pair in pairs])
        low, middle, high = min(added), median(added), max(added)
        share = 100 * middle / plain
        print(
            f"seconds {unit}: {plain:.1f}; {given.logger} adds {middle:+.2f} [{low:+.2f}, {high:+.2f}], {share:+.1f} %"
        )


if __name__ == "__main__":
    main()
