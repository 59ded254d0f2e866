"""Figure 14: pictures by style, on SDXL."""

from zz.analysis.paper.spec import Spec
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, ZIGZAG, grid, inline
from zz.lab.experiment import Scales

PROMPTS = (
    "Mario characters as realistic people in a movie still",
    "a fox in the style of a Japanese woodblock print",
    "a city street as a pencil sketch",
    "a still life in the style of cubism",
    "a robot in the style of a Renaissance portrait",
    "a mountain lake in pixel art style",
)
FIGURE = Spec(
    title="Figure 14",
    claim="Z-Sampling renders what a prompt says of style.",
    rows=(STANDARD, *ZIGZAG),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=("model; here SDXL", OURS),
)
EXPERIMENT = grid(FIGURE, "model=sdxl", Scales())  # the shapes world has no styles
