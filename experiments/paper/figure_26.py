"""Figure 26: pictures without a gap, end to end and step by step: what the inversion's error alone does, on SDXL."""

from zz.analysis.paper.spec import Line, Spec
from zz.experiments.paper.figure_16 import PROMPTS
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, grid, inline
from zz.lab.experiment import Scales

FIGURE = Spec(
    title="Figure 26",
    claim="The error alone degrades pictures, end to end more than step by step.",
    rows=(
        STANDARD,
        Line("End-to-End | gap = 0", "sampler=end_to_end gamma2=${gamma1}"),
        Line("Step-by-Step | gap = 0", "sampler=zigzag gamma2=${gamma1}"),
        Line("Step-by-Step | gap = 0, ref_0_22", "sampler=zigzag inversion=ref_0_22 gamma2=${gamma1}"),
    ),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=(OURS,),
)
EXPERIMENT = grid(
    FIGURE, "model=sdxl runner.precision=32", Scales(dataset="dataset=shapes dataset.where.tag=color_attr limit=6")
)
