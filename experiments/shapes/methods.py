"""Every sampler and guidance on a shapes model, alone and with zigzag: `python -m experiments.shapes.methods`.

Claim:   zigzag composes with what others have found, and its gain is its guidance gap (to be tested).
Command: the above, with --store STORE; then `python -m analysis.methods --store STORE`
Cost:    see the estimate that `--plan` prints; about two hours on one CPU core in bf16.

On the first 200 prompts, at 20 steps and at 4; the best of these, with controls, on all. Every line that it prints is a
command of its own; what a store holds of `experiments.shapes.compare` is not made again.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

from experiments.shapes.compare import SCORERS, run

GUIDANCES = ("cfg", "seg", "pag", "sag", "scfg", "interval")
BOTH = "gamma1=4,2"  # the best for standard sampling, and for zigzag
MORE_STEPS = "steps=2,7,10,30,40,60,100"  # what standard sampling makes of more work
FIRST = "limit=200"
NOISY = "euler_ancestral"


def guidances() -> Iterator[list[str]]:
    """Each guidance, alone and with zigzag."""
    for name in GUIDANCES:
        own = ["guidance.reduction=1"] if name == "scfg" else []  # its maps are as small as the network's
        yield [f"guidance={name}", *own, "sampler=standard,zigzag", BOTH]
    yield ["guidance.rescale=0.7", "sampler=standard,zigzag", BOTH]
    yield ["guidance=cfgpp", "sampler=standard,zigzag", "gamma1=0.2,0.4,0.8"]


def samplers() -> Iterator[list[str]]:
    """Each sampler under classifier-free guidance."""
    yield ["sampler=implicit_zigzag", "sampler.gap=own,last", BOTH]
    yield ["sampler=fixed_point,end_to_end,guidance_matched", BOTH]
    yield ["sampler=resampling", "sampler.resamples=1,2", BOTH]
    yield ["sampler=repaint", "sampler.jump=2", "sampler.passes=2,4", BOTH]
    yield ["sampler=free_init", "sampler@sampler.inner=standard,zigzag", BOTH]
    yield ["sampler=reflection", "gamma2=1", "weak.prompt='a photo'", BOTH]
    yield ["sampler=standard,zigzag", "solver=euler_ancestral,euler_ancestral_stored", BOTH]
    yield ["sampler=standard,zigzag", "solver=dpmpp_2m", BOTH]


def ingredients() -> Iterator[list[str]]:
    """What zigzag is made of: each of its fields, beside the guidance that it amounts to."""
    pair = "sampler=zigzag,guidance_matched"
    yield ["sampler=standard,zigzag,guidance_matched", "gamma1=1.5,2,3,4,6"]
    yield [pair, "gamma1=2,4", "gamma2=1,2"]
    yield [pair, "gamma1=2", "rounds=2"]
    yield [pair, "gamma1=2", "k=2"]
    yield ["sampler=zigzag", "gamma1=2", "inversion=ref_0_22"]
    yield ["sampler=guidance_matched", f"solver={NOISY}", BOTH]


def best() -> Iterator[list[str]]:
    """The five that were best at 20 steps, with standard sampling for as much work."""
    for words in (
        ["sampler=standard,zigzag,guidance_matched", f"solver={NOISY}"],
        ["sampler=zigzag", "solver=euler_ancestral_stored"],
        ["sampler=repaint", "sampler.jump=2", "sampler.passes=2,4"],
        ["sampler=implicit_zigzag"],
    ):
        yield [*words, BOTH, "steps=20"]
    yield ["sampler=standard", f"solver=ddim,{NOISY}", BOTH, "steps=7,10,40,50"]
    yield ["sampler=standard", f"solver={NOISY}", BOTH, "steps=75"]


def commands() -> Iterator[list[str]]:
    """The words of each `python -m zz.run`."""
    for steps in (4, 20):
        for words in (*guidances(), *samplers(), *ingredients()):
            yield [*words, f"steps={steps}", FIRST]
        lambdas = "lambda=1,2" if steps == 4 else "lambda=1,2,5,10"
        yield ["sampler=zigzag,guidance_matched", "gamma1=2", lambdas, f"steps={steps}", FIRST]
    yield ["sampler=standard", BOTH, MORE_STEPS, FIRST]
    yield from best()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them, or say what they would take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="store")
    parser.add_argument("--plan", action="store_true", help="say what it would take, and make nothing")
    parser.add_argument("words", nargs="*", help="more words for every command, such as runner.precision=bf16")
    asked = parser.parse_args(arguments)
    usual = ["model=shapes", f"scorers=[{','.join(SCORERS)}]", f"store={asked.store}", *asked.words]
    return run(commands(), usual, asked.plan)


if __name__ == "__main__":
    sys.exit(main())
