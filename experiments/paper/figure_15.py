"""Figure 15: pictures by position, on SDXL."""

from zz.analysis.paper.spec import Spec
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, ZIGZAG, grid, inline
from zz.lab.experiment import Scales

PROMPTS = (
    "a cat underneath a table",
    "a book on top of a laptop",
    "a dog on the right of a bicycle",
    "a cup on the left of a keyboard",
    "a bird above a bench",
    "a ball in front of a chair",
)
FIGURE = Spec(
    title="Figure 15",
    claim="Z-Sampling places objects as a prompt says.",
    rows=(STANDARD, *ZIGZAG),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=("model; here SDXL", OURS),
)
EXPERIMENT = grid(FIGURE, "model=sdxl", Scales(dataset="dataset=shapes dataset.where.tag=position limit=6"))
