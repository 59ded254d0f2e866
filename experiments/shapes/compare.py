"""The methods and their controls on a shapes model: `python -m experiments.shapes.compare --store STORE`.

Claim:   zigzag gains over standard sampling, and over more guidance and more steps for the same work (to be tested).
Command: the above; then `python -m analysis.compare --store STORE`
Cost:    see the estimate that `--plan` prints.

Every line that it prints is a command of its own; all of them share what they have in common.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

from zz.models.shapes import shapes

STEPS = (["steps=4,20"], ["steps=10,50", "limit=200"])  # all prompts, and the first 200
GUIDANCE = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
SCORERS = ("shapes_correct", "shapes_strict", "shapes_alignment", "shapes_similarity", "cleanliness")


def tuning() -> Iterator[list[str]]:
    """Standard and zigzag over guidance, on prompts apart from those reported."""
    scales = ",".join(f"{gamma:g}" for gamma in GUIDANCE)
    yield ["sampler=standard,zigzag", f"gamma1={scales}", "dataset=shapes_tune", *STEPS[0]]


def methods(gamma: float) -> Iterator[list[str]]:
    """The words of each `python -m zz.run` at one guidance."""
    for steps in STEPS:
        usual = [f"gamma1={gamma:g}", "controls=true", *steps]
        yield [f"gamma2=0,{gamma:g},{2 * gamma:g}", *usual]
        yield ["inversion=ref_0_22", *usual]
        yield ["sampler=resampling", "sampler.resamples=1,2", *usual]
        yield ["sampler=end_to_end", *usual]


def run(work: Iterable[list[str]], usual: Sequence[str], plan: bool) -> int:
    """Each as a command of its own, printed first, or what it would take; stops at the first that fails."""
    for words in work:
        command = ["-m", "zz.plan" if plan else "zz.run", *words, *usual, "-m"]
        print("python", *command, flush=True)
        if code := subprocess.run([sys.executable, *command]).returncode:
            return code
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="store")
    parser.add_argument("--model", help="another folder than the model that comes with zz")
    parser.add_argument("--gamma1", type=float, default=shapes().gamma1)
    parser.add_argument("--only", choices=["tuning", "methods"], help="a part of the work")
    parser.add_argument("--plan", action="store_true", help="say what it would take, and make nothing")
    parser.add_argument("words", nargs="*", help="more words for every command, such as runner.devices=2")
    asked = parser.parse_args(arguments)
    usual = ["model=shapes", f"scorers=[{','.join(SCORERS)}]", f"store={asked.store}"]
    usual += [*([f"model.pretrained={asked.model}"] if asked.model else []), *asked.words]
    work = list(tuning()) if asked.only != "methods" else []
    for gamma in (asked.gamma1, asked.gamma1 / 2) if asked.only != "tuning" else ():
        work += methods(gamma)
    return run(work, usual, asked.plan)


if __name__ == "__main__":
    sys.exit(main())
