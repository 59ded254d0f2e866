"""Figure 2: latents that make flowers by themselves make better flowers with a prompt: the pictures of Figure 11."""

from dataclasses import replace
from functools import partial

from zz.analysis.paper.latents import view
from zz.experiments.paper.figure_11 import FIGURE as WHOLE
from zz.experiments.paper.figure_11 import FREE, GUIDED, SCALES
from zz.experiments.paper.rows import drawn

FIGURE = replace(WHOLE, title="Figure 2", claim="Latents rich in a concept make pictures of it that fit better.")
EXPERIMENT = drawn(
    FIGURE, "model=sdxl", "the 2 cells of Figure 11", SCALES, partial(view, spec=FIGURE, free=FREE, guided=GUIDED)
)
