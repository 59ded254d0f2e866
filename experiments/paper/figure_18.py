"""Figure 18: pictures by co-occurrence, on SDXL."""

from zz.analysis.paper.spec import Spec
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, ZIGZAG, grid, inline
from zz.lab.experiment import Scales

PROMPTS = (
    "a mouse and a bowl",
    "an elephant in the sea",
    "a penguin in a desert",
    "a piano in a forest",
    "a horse and a laptop",
    "a shark in a swimming pool",
)
FIGURE = Spec(
    title="Figure 18",
    claim="Z-Sampling brings together what is seldom seen together.",
    rows=(STANDARD, *ZIGZAG),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=("model; here SDXL", OURS),
)
EXPERIMENT = grid(FIGURE, "model=sdxl", Scales(dataset="dataset=shapes dataset.where.tag=two_object limit=6"))
