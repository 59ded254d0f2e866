"""Figure 16: pictures by color, on SDXL."""

from zz.analysis.paper.spec import Spec
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, ZIGZAG, grid, inline
from zz.lab.experiment import Scales

PROMPTS = (
    "a red apple and a green vase",
    "a blue backpack and a yellow umbrella",
    "a purple car and a white dog",
    "a pink elephant and a black chair",
    "an orange cat and a blue sofa",
    "a brown bear and a red balloon",
)
FIGURE = Spec(
    title="Figure 16",
    claim="Z-Sampling gives each object its colour.",
    rows=(STANDARD, *ZIGZAG),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=("model; here SDXL", OURS),
)
EXPERIMENT = grid(FIGURE, "model=sdxl", Scales(dataset="dataset=shapes dataset.where.tag=color_attr limit=6"))
