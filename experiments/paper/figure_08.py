"""Figure 8: pictures with a large gap, without one, and with one below zero, on SDXL."""

from zz.analysis.paper.spec import Line, Spec
from zz.experiments.paper.figure_17 import PROMPTS
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, grid, inline
from zz.lab.experiment import Scales

FIGURE = Spec(
    title="Figure 8",
    claim="A large gap gains plainly; without one pictures are nearly those of standard sampling; below zero, worse.",
    rows=(
        STANDARD,
        Line("gap = 5", "sampler=zigzag gamma2=0.5 controls=true"),
        Line("gap = 0", "sampler=zigzag gamma2=5.5 controls=true"),
        Line("gap = -2.5", "sampler=zigzag gamma2=8 controls=true"),
        Line("gap = 5, ref_0_22", "sampler=zigzag gamma2=0.5 inversion=ref_0_22"),
    ),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    small={"gap = 5": "gap = 4", "gap = -2.5": "gap = -2"},
    unknown=("model, prompts and the gap below zero; here SDXL and -2.5", OURS),
)
EXPERIMENT = grid(
    FIGURE,
    "model=sdxl",
    Scales(dataset="dataset=shapes limit=6", mini={"gamma2=0.5": "0", "gamma2=5.5": "4", "gamma2=8": "6"}),
)
