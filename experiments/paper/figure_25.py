"""Figure 25: pictures at high guidance, on SDXL."""

from zz.analysis.paper.spec import Line, Spec
from zz.experiments.paper.figure_16 import PROMPTS
from zz.experiments.paper.rows import OURS, PREFERENCE, grid, inline
from zz.lab.experiment import Scales

GAMMAS = (5.5, 11.5, 25.5)
FIGURE = Spec(
    title="Figure 25",
    claim="Standard sampling oversaturates at high guidance more than Z-Sampling does.",
    rows=tuple(
        Line(f"{name}, gamma1 = {gamma:g}", f"{words} gamma1={gamma:g}")
        for gamma in GAMMAS
        for name, words in (("standard", "sampler=standard"), ("Z-Sampling", "sampler=zigzag"))
    ),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    small={"gamma1 = 5.5": "gamma1 = 4", "gamma1 = 11.5": "gamma1 = 7", "gamma1 = 25.5": "gamma1 = 14"},
    unknown=("the scales; here 5.5, 11.5 and 25.5", OURS),
)
IN_MINIATURE = {"gamma1=5.5": "4", "gamma1=11.5": "7", "gamma1=25.5": "14"}
EXPERIMENT = grid(
    FIGURE, "model=sdxl", Scales(dataset="dataset=shapes dataset.where.tag=color_attr limit=6", mini=IN_MINIATURE)
)
