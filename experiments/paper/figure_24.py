"""Figure 24: pictures at high guidance, on DreamShaper."""

from zz.analysis.paper.spec import Line, Spec
from zz.experiments.paper.figure_16 import PROMPTS
from zz.experiments.paper.rows import OURS, PREFERENCE, grid, inline
from zz.lab.experiment import Scales

GAMMAS = (3.5, 7.5, 11.5)
FIGURE = Spec(
    title="Figure 24",
    claim="Too much guidance leaves artifacts and oversaturation in standard sampling, and less in Z-Sampling.",
    rows=tuple(
        Line(f"{name}, gamma1 = {gamma:g}", f"{words} gamma1={gamma:g}")
        for gamma in GAMMAS
        for name, words in (("standard", "sampler=standard"), ("Z-Sampling", "sampler=zigzag"))
    ),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=(OURS,),
)
EXPERIMENT = grid(FIGURE, "model=dreamshaper", Scales(dataset="dataset=shapes dataset.where.tag=color_attr limit=6"))
