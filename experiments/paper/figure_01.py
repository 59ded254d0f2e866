"""Figure 1: one prompt each for style, position, colour, counting, text and co-occurrence."""

from zz.analysis.paper.spec import Spec
from zz.experiments.paper.rows import OURS, PREFERENCE, STANDARD, ZIGZAG, grid, inline
from zz.lab.experiment import Scales

PROMPTS = (
    "Mario characters as realistic people in a movie still",
    "a book on top of a laptop",
    "a purple car and a white dog",
    "a photo of four buses",
    "a shop window with the words OPEN LATE",
    "an elephant in the sea",
)
FIGURE = Spec(
    title="Figure 1",
    claim="Z-Sampling helps with style, position, colour, counting, text and co-occurrence.",
    rows=(STANDARD, *ZIGZAG),
    columns=PREFERENCE,
    sets={"": inline(PROMPTS)},
    unknown=("model; here SDXL", OURS),
)
EXPERIMENT = grid(FIGURE, "model=sdxl", Scales(dataset="dataset=shapes limit=6"))  # no styles, no text
