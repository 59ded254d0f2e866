"""Figure 17: pictures by counting, on SDXL."""

from zz.analysis.paper.spec import Spec
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, ZIGZAG, grid, inline
from zz.lab.experiment import Scales

PROMPTS = (
    "a photo of three suitcases",
    "a photo of four buses",
    "a photo of two beds",
    "a photo of three dogs",
    "a photo of four clocks",
    "a photo of two giraffes",
)
FIGURE = Spec(
    title="Figure 17",
    claim="Z-Sampling counts.",
    rows=(STANDARD, *ZIGZAG),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=("model; here SDXL", OURS),
)
EXPERIMENT = grid(FIGURE, "model=sdxl", Scales(dataset="dataset=shapes dataset.where.tag=counting limit=6"))
