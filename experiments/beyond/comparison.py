"""Zigzag and the paper's baselines with all controls on the shapes model, at the best guidance of each."""

from zz.analysis.pages.comparison import page
from zz.lab.experiment import Experiment, Layout

BEST = 4.0  # gamma1 that is best for standard sampling; zigzag's is half of it

EXPERIMENT = Experiment(
    claim="zigzag gains over standard sampling, and over more guidance and more steps for the same work (to be tested)",
    common="model=shapes controls=true scorers=[shapes_correct,shapes_strict,shapes_alignment,shapes_similarity,"
    "cleanliness,shapes_fd,shapes_diversity]",
    cells=tuple(
        f"{words} gamma1={gamma:g} {steps}"
        for gamma in (BEST, BEST / 2)
        for steps in ("steps=4,20", "steps=10,50 limit=200")
        for words in (
            f"sampler=zigzag gamma2=0,{gamma:g},{2 * gamma:g}",
            "sampler=zigzag inversion=ref_0_22",
            "sampler=resampling sampler.resamples=1,2",
            "sampler=end_to_end",
        )
    ),
    cost="about six hours on one CPU core with runner.precision=bf16",
    layout=Layout(scores=("shapes_correct", "shapes_alignment", "shapes_fd"), by="tag"),
    page=page,
)
