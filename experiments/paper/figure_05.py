"""Figure 5: where standard sampling and zigzag's two legs look for a prompt's words, on SDXL."""

from functools import partial

from zz.analysis.paper.attention import Seen, view
from zz.lab.experiment import Experiment, Scales
from zz.worlds.shapes import SHAPES

CLAIM = "Z-Sampling makes the attention to a prompt's words more focused in the first steps."
PROMPTS = (
    "a dog and a cat",
    "a dog on a bench",
    "a red car and a tree",
    "a bird above a house",
)  # "dog" is the paper's
WORDS = ("dog", "cat", "bench", "car", "tree", "bird", "house")
ROWS = {"standard": "sampler=standard", "zigzag": "sampler=zigzag", "zigzag, gamma2 = 1": "sampler=zigzag gamma2=1"}
LINES = {  # at gamma2 = 0 the zag does not read the prompt
    "standard": Seen("standard", "zig"),
    "zigzag: zig": Seen("zigzag", "zig"),
    "zigzag, gamma2 = 1: zag": Seen("zigzag, gamma2 = 1", "zag"),
}
EXPERIMENT = Experiment(
    claim=CLAIM,
    common=f"model=sdxl measurements=[attention] measurements.attention.words=[{','.join(WORDS)}] scorers=[pickscore]",
    cells=tuple(
        f"label='{label}' dataset=inline dataset.texts='[{','.join(PROMPTS)}]' {words}" for label, words in ROWS.items()
    ),
    cost="3 cells of 4 pictures, measured",
    view=partial(view, title="Figure 5", claim=CLAIM, lines=LINES, ours="zigzag: zig", theirs="standard"),
    scales=Scales(
        dataset="dataset=shapes dataset.where.tag=two_object limit=60",
        mini={"measurements.attention.words": f"[{','.join(SHAPES)}]"},
    ),
)
